package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// child is a process of a cluster or a service: started, killed, paused and started again any number of times. It does
// not outlive the test process, however that ends.
type child struct {
	tb   testing.TB
	name string
	out  *output

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{}
	paused bool
	starts int
}

func newChild(tb testing.TB, name string) *child {
	c := &child{tb: tb, name: name, out: &output{}}
	tb.Cleanup(c.kill)
	return c
}

// start starts the command. Its parent thread stays for as long as it runs: Linux takes a thread's end for the parent's.
func (c *child) start(cmd *exec.Cmd) error {
	if c.running() {
		return fmt.Errorf("%s runs already", c.name)
	}
	cmd.Stdout, cmd.Stderr = c.out, c.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd, c.done, c.paused, c.starts = cmd, done, false, c.starts+1
	return nil
}

func (c *child) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return false
	}
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// signal sends a signal and does not wait.
func (c *child) signal(s syscall.Signal) {
	c.tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		c.tb.Errorf("signal %v: %s does not run", s, c.name)
		return
	}
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.tb.Errorf("signal %v to %s: %v", s, c.name, err)
	}
}

// pause stops the process where it stands, as a virtual machine that is moved; resume lets it go on.
func (c *child) pause() {
	c.tb.Helper()
	c.signal(syscall.SIGSTOP)
	c.setPaused(true)
}

func (c *child) resume() {
	c.tb.Helper()
	c.setPaused(false)
	c.signal(syscall.SIGCONT)
}

func (c *child) setPaused(paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = paused
}

// stop sends the signal, and gives how long the process took to end. Past the limit it is killed and the test fails.
func (c *child) stop(s syscall.Signal, limit time.Duration) time.Duration {
	c.tb.Helper()
	if !c.running() {
		return 0
	}
	begun, limit := time.Now(), patient(limit)
	c.signal(s)
	select {
	case <-c.done:
	case <-time.After(limit):
		c.tb.Errorf("%s did not end within %v of %v:\n%s", c.name, limit, s, c.out.tail(30))
		c.kill()
	}
	return time.Since(begun)
}

// kill is kill -9; it returns once the process has gone.
func (c *child) kill() {
	if !c.running() {
		return
	}
	c.mu.Lock()
	cmd, done := c.cmd, c.done
	c.mu.Unlock()
	_ = cmd.Process.Kill()
	<-done
}

// awaitReady waits until the probe succeeds. A process that ends before fails the test.
func (c *child) awaitReady(limit time.Duration, probe func() error) {
	c.tb.Helper()
	err := errors.New("not asked yet")
	eventually(c.tb, limit, c.name+" is ready", func() bool {
		if !c.running() {
			c.tb.Fatalf("%s ended at start:\n%s", c.name, c.out.tail(50))
		}
		err = probe()
		return err == nil
	})
}

// steadyPorts are the addresses that tests which run have: most are not listened at all the time.
var steadyPorts sync.Map

const (
	steadyFirst  = 12_000
	steadyBlocks = 6
	steadyLength = 3_000 // of a block; the last ends below the ports that Linux gives to outgoing connections
)

// steadyBlock is the first port of a block that no other test process has: it is listened at for as long as this runs.
var steadyBlock = sync.OnceValues(func() (first int, held net.Listener) {
	for _, i := range rand.Perm(steadyBlocks) {
		first = steadyFirst + i*steadyLength
		var err error
		if held, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first)); err == nil {
			break
		}
	}
	return first, held
})

// steadyAddress gives a loopback address for what is stopped and started again: below the ports that Linux gives to
// outgoing connections, so that nobody takes it in between. TCP and UDP are both free. It is given again after the test.
func steadyAddress(tb testing.TB) string {
	tb.Helper()
	first, _ := steadyBlock()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+1+rand.IntN(steadyLength-1))
		if _, taken := steadyPorts.LoadOrStore(address, true); taken {
			continue
		}
		tb.Cleanup(func() { steadyPorts.Delete(address) })
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		p, err := net.ListenPacket("udp", address)
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = p.Close()
		return address
	}
	tb.Fatal("no free port")
	return ""
}
