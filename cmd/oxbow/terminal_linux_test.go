package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what is written to tty can be read from the other end.
func openTerminal(t *testing.T, columns uint16) (tty, other *os.File) {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err) // a sandbox without terminals
	}
	t.Cleanup(func() { _ = other.Close() })
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return tty, other
}

func TestColumnsOfATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	tty, _ := openTerminal(t, 93)
	if got := columns(tty); got == nil || got() != 93 {
		t.Error("the width is not 93")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if got := columns(null); got() != 0 || columns(&bytes.Buffer{}) != nil {
		t.Error("what is no terminal has a width")
	}
	t.Setenv("TERM", "dumb")
	if columns(tty) != nil {
		t.Error("a dumb terminal has a width")
	}
}

// A real process at a real terminal: its progress is on that alone, Ctrl-C ends it with what was done, and the line of
// progress is gone then.
func TestCtrlCAtATerminal(t *testing.T) {
	tty, other := openTerminal(t, 60)
	cmd := program(t.Context(), "bench", "publish", "--url", "rtmp://"+awayAddress(t)+"/live", "--file", sampleFile(t),
		"--duration", "10m", "--json")
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, tty
	cmd.Env = append(cmd.Env, "TERM=xterm")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{}, 1)
	said := make(chan string)
	go func() {
		var text strings.Builder
		buffer := make([]byte, 4096)
		for {
			n, err := other.Read(buffer)
			text.Write(buffer[:n])
			if strings.Contains(text.String(), "0 of 1 streams") {
				select {
				case seen <- struct{}{}:
				default:
				}
			}
			if err != nil { // nobody has the terminal open any more
				said <- text.String()
				return
			}
		}
	}()
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-seen:
	case <-time.After(5 * time.Minute):
		t.Error("no progress is shown")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("it ended with %v", err)
	}
	var result struct{ Streams int }
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil || result.Streams != 1 {
		t.Errorf("%v: %s", err, &stdout)
	}
	if text := <-said; !strings.HasSuffix(text, "\r\x1b[Koxbow: interrupted\r\n") {
		t.Errorf("the terminal's end is %q", text[max(0, len(text)-200):])
	}
}
