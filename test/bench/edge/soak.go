//go:build linux

package main

import (
	"context"
	"errors"
	"strings"
)

type soakResult struct{ Faults []string }

func (s settings) soakEdge(context.Context, *report) error { return errors.New("not there") }

func (r *soakResult) print(*strings.Builder) {}
