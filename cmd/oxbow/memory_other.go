//go:build !linux

package main

func memoryTrouble() string { return "" }
