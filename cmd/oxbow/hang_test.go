package main

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/registry"
)

// startRedis starts a real redis-server until the test ends. It remembers nothing, unless more arguments have it do so.
func startRedis(t *testing.T, more ...string) (url string, process *os.Process) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("OXBOW_TEST_REQUIRE") != "all" {
		t.Skip("redis-server is missing: run `make tools`")
	}
	l, lerr := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, lerr); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	args := []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir()}
	cmd := exec.CommandContext(context.Background(), binary, append(args, more...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				ready <- true
			}
		}
		close(ready)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	if !<-ready {
		t.Fatal("redis-server did not start")
	}
	return "redis://" + l.Addr().String(), cmd.Process
}

// Frames do not wait for a registry that hangs: it takes connections and questions, and answers nothing. What waits for
// it waits every time; what a busy machine holds up once is sent again.
func TestFramesDoNotWaitForAHangingRegistry(t *testing.T) {
	const most = 200 * time.Millisecond // for whatever: less than a part
	slowest, asleep := framesBesideAHang(t)
	if slowest > most || asleep > 0 {
		t.Logf("frames waited for %v, and the process was taken to sleep %d times: once more", slowest, asleep)
		slowest, asleep = framesBesideAHang(t)
	}
	if slowest > most || asleep > 0 {
		t.Errorf("frames waited for %v, and the process was taken to sleep %d times", slowest, asleep)
	}
}

// framesBesideAHang sends frames before, while and after a registry hangs, and gives the longest time that one took and
// how often the process was taken to sleep. The lease stays.
func framesBesideAHang(t *testing.T) (slowest time.Duration, asleep int) {
	t.Helper()
	const before, hangs, after = 1500 * time.Millisecond, 6 * time.Second, 1500 * time.Millisecond
	url, redis := startRedis(t)
	r, err := registry.OpenRedis(t.Context(), registry.RedisConfig{URL: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	o := newOwner(t, "a", t.TempDir(), r)
	running, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- o.leases.Run(running) }()
	go func() { ended <- o.packager.Run(running) }()
	p, epoch, err := o.come(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var stretch time.Duration
	begun, last := time.Now(), time.Duration(0)
	hanging := false
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		<-pace.C
		now := time.Since(begun)
		if hang := now > before && now < before+hangs; hang != hanging {
			hanging = hang
			signal := syscall.SIGCONT
			if hang {
				signal = syscall.SIGSTOP
			}
			if err := redis.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
		if now > before+hangs+after {
			break
		}
		if !o.leases.Awake() {
			asleep++
		}
		stretch = max(stretch, now-last)
		at := time.Now()
		if err := send(p, last, now); err != nil {
			t.Fatal(err)
		}
		slowest, last = max(slowest, time.Since(at)), now
	}
	t.Logf("slowest frames %v, longest time between two %v", slowest, stretch)
	if !o.leases.Holds(acme("show"), epoch) || len(o.kicked) > 0 {
		t.Error("a registry that hung took the lease")
	}
	lease, owned, err := r.Owner(t.Context(), acme("show"))
	if !owned || lease.Recording == "" || lease.Node != "a" || lease.Epoch != epoch {
		t.Errorf("when it goes on the lease is %+v: %v", lease, err)
	}
	stop()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
	return slowest, asleep
}
