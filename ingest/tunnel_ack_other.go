//go:build !linux

package ingest

func sendAcknowledgement(uintptr) {}
