package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// startRedis starts a real redis-server until the test ends. It remembers nothing, unless more arguments have it do so.
func startRedis(t *testing.T, more ...string) (url string, process *os.Process) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("OXBOW_TEST_REQUIRE") != "all" {
		t.Skip("redis-server is missing: run `make tools`")
	}
	if err != nil {
		t.Fatal(err)
	}
	address := awayAddress(t)
	host, port, _ := net.SplitHostPort(address)
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
	return "redis://" + address, cmd.Process
}

// hangingRegistry answers nothing while it hangs, and takes what it is asked until the questioner's patience ends.
type hangingRegistry struct {
	registry.Registry
	hangs atomic.Bool
}

func (r *hangingRegistry) meet(ctx context.Context) error {
	if !r.hangs.Load() {
		return nil
	}
	<-ctx.Done()
	return fmt.Errorf("%w: it hangs", media.ErrUnavailable)
}

func (r *hangingRegistry) Register(ctx context.Context, node media.Node) error {
	return errors.Join(r.meet(ctx), r.Registry.Register(ctx, node))
}

func (r *hangingRegistry) Acquire(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	if err := r.meet(ctx); err != nil {
		return 0, err
	}
	return r.Registry.Acquire(ctx, lease, floor)
}

func (r *hangingRegistry) Renew(ctx context.Context, lease media.Lease) error {
	return r.RenewAll(ctx, []media.Lease{lease})[0]
}

func (r *hangingRegistry) RenewAll(ctx context.Context, leases []media.Lease) []error {
	if err := r.meet(ctx); err != nil {
		return slices.Repeat([]error{err}, len(leases))
	}
	return r.Registry.RenewAll(ctx, leases)
}

func (r *hangingRegistry) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	if err := r.meet(ctx); err != nil {
		return media.Lease{}, false, err
	}
	return r.Registry.Owner(ctx, path)
}

// Frames do not wait for a registry that hangs, for no time at all, and nobody is taken to sleep for that.
func TestFramesDoNotWaitForAHangingRegistry(t *testing.T) {
	const before, hung, after = 1500 * time.Millisecond, 6 * time.Second, 1500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		r := &hangingRegistry{Registry: registry.NewMemory(registry.Config{})}
		o := newOwner(t, "a", t.TempDir(), r)
		running, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- o.leases.Run(running) }()
		go func() { ended <- o.packager.Run(running) }()
		p, epoch, err := o.come(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun, last := time.Now(), time.Duration(0)
		for last < before+hung+after {
			time.Sleep(20 * time.Millisecond)
			now := time.Since(begun)
			r.hangs.Store(now > before && now < before+hung)
			if !o.leases.Awake() {
				t.Errorf("after %v the process is taken to sleep", now)
			}
			if err := send(p, last, now); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun) - now; took > 0 {
				t.Errorf("after %v frames waited for %v", now, took)
			}
			last = now
		}
		wantKept(t, o, r, epoch)
		stop()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
}

// wantKept says that the lease is a's still, also after the registry hung.
func wantKept(t *testing.T, o *owner, r registry.Registry, epoch uint64) {
	t.Helper()
	if !o.leases.Holds(acme("show"), epoch) || len(o.kicked) > 0 {
		t.Error("a registry that hung took the lease")
	}
	lease, owned, err := r.Owner(t.Context(), acme("show"))
	if !owned || lease.Recording == "" || lease.Node != "a" || lease.Epoch != epoch {
		t.Errorf("when it goes on the lease is %+v: %v", lease, err)
	}
}

// A real Redis takes connections and questions while it is stopped, and answers nothing: beats end all the same, a
// publisher's frames are taken, and the lease is kept.
func TestLeaseOutlastsARedisThatIsStopped(t *testing.T) {
	t.Parallel() // it mostly waits
	url, redis := startRedis(t)
	r, err := registry.OpenRedis(t.Context(), registry.RedisConfig{URL: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	o := newOwner(t, "a", t.TempDir(), r)
	soon(t, "Redis has answered", func() bool { return r.Ping(t.Context()) == nil })
	p, epoch, err := o.come(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := send(p, 0, 5*time.Second); err != nil { // with its first segment there is a recording to tell of
		t.Fatal(err)
	}
	if err := redis.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		o.leases.beat(t.Context())
		if err := send(p, time.Duration(5+i)*time.Second, time.Duration(6+i)*time.Second); err != nil {
			t.Error(err)
		}
	}
	if err := redis.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	soon(t, "the lease is renewed", func() bool {
		o.leases.beat(t.Context())
		lease, _, err := r.Owner(t.Context(), acme("show"))
		return err == nil && lease.Recording != ""
	})
	wantKept(t, o, r, epoch)
}
