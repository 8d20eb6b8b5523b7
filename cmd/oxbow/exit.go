package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/operator"
)

// The exit codes; docs/cli.md has them as a table.
const (
	exitDone        = 0
	exitFailed      = 1   // it could not be done, or what was checked is not as it should be
	exitUsage       = 2   // the command line is wrong, and nothing was done
	exitInterrupted = 130 // SIGINT or SIGTERM came before it was done; a server that is told to stop is done
)

// usageError is a wrong command line that only its command can tell.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errInterrupted is for commands that were cut off and have told what was done so far.
var errInterrupted = fmt.Errorf("interrupted: %w", context.Canceled)

// cutOff gives errInterrupted if the command was told to stop before it was done.
func (ctx runContext) cutOff() error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// exitCode tells a person what a command came to, and gives its code.
func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitDone
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(stderr, "oxbow: interrupted")
		return exitInterrupted
	}
	_, _ = fmt.Fprintf(stderr, "oxbow: %v\n", err)
	if errors.As(err, new(usageError)) || errors.As(err, new(operator.UsageError)) {
		return exitUsage
	}
	return exitFailed
}
