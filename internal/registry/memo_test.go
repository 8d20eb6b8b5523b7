package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// cut is a registry behind a line that a test cuts.
type cut struct {
	Registry
	mu    sync.Mutex
	asked int
	err   error
	hangs bool
}

func (c *cut) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *cut) line(ctx context.Context) error {
	c.mu.Lock()
	c.asked++
	err := c.err
	c.mu.Unlock()
	if c.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (c *cut) Nodes(ctx context.Context) ([]media.Node, error) {
	if err := c.line(ctx); err != nil {
		return nil, err
	}
	return c.Registry.Nodes(ctx)
}

func (c *cut) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	if err := c.line(ctx); err != nil {
		return media.Lease{}, false, err
	}
	return c.Registry.Owner(ctx, path)
}

func (c *cut) Leases(ctx context.Context, publisher string) ([]media.Lease, error) {
	if err := c.line(ctx); err != nil {
		return nil, err
	}
	return c.Registry.Leases(ctx, publisher)
}

var errCut = errors.New("connection refused")

// memoBench is a memo over a registry with one node that owns one show.
func memoBench(t *testing.T) (*Memo, *cut) {
	line := &cut{}
	line.fill(t)
	return NewMemo(line, MemoConfig{}, slog.New(slog.DiscardHandler)), line
}

func (c *cut) fill(t *testing.T) {
	t.Helper()
	c.Registry = NewMemory(Config{NodeTTL: time.Hour, LeaseTTL: time.Hour})
	noError(t, c.Register(t.Context(), media.Node{ID: "a", URL: "http://a"}))
	acquire(t, c, show, "a", 0)
}

func (m *Memo) want(t *testing.T, nodes int, owner string, sure bool) {
	t.Helper()
	got, err := m.Nodes(t.Context())
	if len(got) != nodes || (err != nil) != (nodes == 0 && !sure) {
		t.Errorf("nodes %v, %v, want %d", got, err, nodes)
	}
	lease, ok, err := m.Owner(t.Context(), show)
	if lease.Node != owner || ok != (owner != "") || (err == nil) != sure {
		t.Errorf("owner %+v, %v, %v, want %q, sure %v", lease, ok, err, owner, sure)
	}
	if !sure && !errors.Is(err, media.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestMemo(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, m *Memo, line *cut){
		"passes on what the registry says": func(t *testing.T, m *Memo, line *cut) {
			m.want(t, 1, "a", true)
			noError(t, line.Release(t.Context(), show, "a", 1))
			m.want(t, 1, "", true)
			noError(t, line.Unregister(t.Context(), "a"))
			m.want(t, 1, "", true) // a registry without any node may just have lost them all
			time.Sleep(m.cfg.Settle)
			m.want(t, 0, "", true)
			noError(t, line.Register(t.Context(), media.Node{ID: "b", URL: "http://b"}))
			m.want(t, 1, "", true)
		},
		"knows nothing of a registry that never answered": func(t *testing.T, m *Memo, line *cut) {
			line.fail(errCut)
			m.want(t, 0, "", false)
		},
		"answers for a registry that is away, also what nobody asked before": func(t *testing.T, m *Memo, line *cut) {
			noError(t, m.Refresh(t.Context()))
			line.fail(errCut)
			for range 100 {
				m.want(t, 1, "a", false)
				time.Sleep(time.Minute)
			}
		},
		"waits for a registry that hangs once a second": func(t *testing.T, m *Memo, line *cut) {
			noError(t, m.Refresh(t.Context()))
			line.hangs = true
			began := time.Now()
			for range 50 {
				m.want(t, 1, "a", false)
			}
			if d := time.Since(began); d != m.cfg.Wait {
				t.Errorf("took %s", d)
			}
		},
		"believes a registry that comes back empty after a while": func(t *testing.T, m *Memo, line *cut) {
			m.want(t, 1, "a", true)
			line.fail(errCut)
			m.want(t, 1, "a", false)
			time.Sleep(time.Minute)
			line.fail(nil)
			line.Registry = NewMemory(Config{})
			noError(t, m.Refresh(t.Context()))
			m.want(t, 1, "a", false)
			time.Sleep(m.cfg.Settle)
			noError(t, m.Refresh(t.Context()))
			m.want(t, 0, "", true)
		},
		"takes over from a registry that comes back what owners tell it": func(t *testing.T, m *Memo, line *cut) {
			m.want(t, 1, "a", true)
			line.fail(errCut)
			m.want(t, 1, "a", false)
			time.Sleep(time.Minute)
			line.fail(nil)
			acquire(t, line, show, "b", 7)
			noError(t, line.Register(t.Context(), media.Node{ID: "b", URL: "http://b"}))
			m.want(t, 2, "b", true)
		},
		"notes nothing of an asker who leaves": func(t *testing.T, m *Memo, line *cut) {
			line.hangs = true
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			if _, _, err := m.Owner(ctx, show); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			line.hangs = false
			m.want(t, 1, "a", true)
		},
		"keeps its picture by itself": func(t *testing.T, m *Memo, line *cut) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- m.Run(ctx) }()
			pass := func(d time.Duration) { time.Sleep(d + time.Millisecond); synctest.Wait() }
			pass(memoPeriod)
			line.fail(errCut)
			pass(time.Minute)
			m.want(t, 1, "a", false)
			line.mu.Lock()
			if line.asked < 30 {
				t.Errorf("asked %d times", line.asked)
			}
			line.mu.Unlock()
			line.fail(nil)
			noError(t, line.Release(t.Context(), show, "a", 1))
			pass(m.cfg.Settle + 2*memoPeriod)
			line.fail(errCut)
			pass(memoPeriod)
			m.want(t, 1, "", false)
			cancel()
			noError(t, <-done)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, line := memoBench(t)
				f(t, m, line)
			})
		})
	}
}
