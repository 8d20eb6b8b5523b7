package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Child is a server at work.
type Child struct {
	cmd  *exec.Cmd
	out  string // file of what it says
	done chan struct{}
}

// StartOn starts a program on one core. Its output goes to a file of dir, which is its working directory too; env is
// added to ours.
func StartOn(ctx context.Context, core int, dir string, env []string, args ...string) (*Child, error) {
	c := &Child{out: filepath.Join(dir, "out-"+filepath.Base(args[0])), done: make(chan struct{})}
	out, err := os.OpenFile(c.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	c.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(core)}, args...)...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Dir = dir
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait() // how it exits is its own affair
		close(c.done)
	}()
	return c, nil
}

// PID is the process's, for taskset becomes the program.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when it has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Stop ends it, by force when it does not end within 15 s.
func (c *Child) Stop() error {
	select {
	case <-c.done:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	force := time.AfterFunc(15*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer force.Stop()
	<-c.done
	return nil
}

// Said gives the end of what it logged.
func (c *Child) Said() string {
	text, err := os.ReadFile(c.out)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// Await waits until a TCP port of loopback answers, or the child ends.
func (c *Child) Await(ctx context.Context, port int) error {
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-c.done:
			return fmt.Errorf("%s ended; it said: %s", c.cmd.Args[3], c.Said())
		case <-ctx.Done():
			return fmt.Errorf("%s: no answer on port %d: %w; it said: %s", c.cmd.Args[3], port, ctx.Err(), c.Said())
		}
	}
}

// FreePort gives a TCP port of loopback that nobody has.
func FreePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}
