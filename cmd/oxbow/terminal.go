package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/progress"
)

// columns gives the width of the terminal that a stream is, as it is now; zero is no terminal, or one that knows no
// control characters.
func columns(w io.Writer) func() int {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return func() int {
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0
		}
		if size.Col == 0 { // a terminal that nobody told its size, like a serial line's
			return 80
		}
		return int(size.Col)
	}
}

// quietFlag is of every tool that shows progress.
type quietFlag struct {
	Quiet bool `short:"q" help:"Show no progress."`
}

// show shows how far a command is, unless it is to be quiet.
func (ctx runContext) show(f quietFlag, name string, ask func() progress.State) (stop func()) {
	if f.Quiet {
		return func() {}
	}
	return ctx.screen.Show(name, ask)
}
