package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// helpCommand is `oxbow help`.
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command, like recording list."`
}

// Run prints what --help of the command does.
func (c *helpCommand) Run(ctx runContext) error {
	parser, err := newParser(new(commands), ctx.stdout, ctx.stderr)
	if err != nil {
		return err
	}
	trace, err := kong.Trace(parser, c.Command)
	if err == nil {
		err = trace.Error
	}
	if err != nil {
		return usageError{fmt.Errorf("%w: `oxbow help` lists the commands", err)}
	}
	return trace.PrintUsage(false)
}

// leadOn prints the help of what was begun if the command line only ends too early, and says whether it did.
func leadOn(parser *kong.Kong, args []string, stderr io.Writer) bool {
	trace, err := kong.Trace(parser, args)
	if err != nil || trace.Error != nil {
		return false
	}
	if node := trace.Selected(); node != nil && node.Leaf() {
		return false
	}
	parser.Stdout = stderr
	return trace.PrintUsage(false) == nil
}
