package registry

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

// TestMain has calls wait longer than a machine stands still.
func TestMain(m *testing.M) {
	callTimeout, netTimeout = 6*time.Second, 5*time.Second
	goleak.VerifyTestMain(m)
}

// A process that starts again gives higher ids, so that a reader that comes back knows that it missed something.
func TestEventIDsGrowOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		before := NewMemory(Config{})
		for range 100 {
			noError(t, before.Publish(ctx, media.Event{}))
		}
		stood, err := before.Tail(ctx)
		noError(t, err)
		time.Sleep(time.Millisecond) // in the bubble: no process starts faster
		after := NewMemory(Config{})
		noError(t, after.Publish(ctx, media.Event{}))
		_, err = after.Read(ctx, stood)
		wantError(t, err, media.ErrGone)
	})
}

// TestLeaseModel drives random nodes against the invariants: per stream the epoch only grows, and of all the leases
// that nodes believe they have only the newest is renewed.
func TestLeaseModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		m := NewMemory(Config{LeaseTTL: time.Hour})
		type grant struct {
			node  string
			epoch uint64
		}
		var leases []grant // all ever given, oldest first
		released := map[uint64]bool{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 2).Draw(rt, "act") {
			case 0:
				node := fmt.Sprint(rapid.IntRange(0, 3).Draw(rt, "node"))
				floor := rapid.Uint64Range(0, 40).Draw(rt, "floor")
				epoch, err := m.Acquire(ctx, owned(show, node, 0), floor)
				if err != nil || epoch <= floor || len(leases) > 0 && epoch <= leases[len(leases)-1].epoch {
					rt.Fatalf("Acquire over floor %d = %d, %v; leases %v", floor, epoch, err, leases)
				}
				leases = append(leases, grant{node, epoch})
			case 1, 2:
				if len(leases) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(leases)-1).Draw(rt, "lease")
				l, newest := leases[i], i == len(leases)-1
				if rapid.Bool().Draw(rt, "release") {
					if err := m.Release(ctx, show, l.node, l.epoch); err != nil {
						rt.Fatal(err)
					}
					released[l.epoch] = released[l.epoch] || newest
				} else if ok := m.Renew(ctx, owned(show, l.node, l.epoch)) == nil; ok != (newest && !released[l.epoch]) {
					rt.Fatalf("Renew of lease %d of %v = %v (released %v)", i, leases, ok, released)
				}
			}
			lease, ok, err := m.Owner(ctx, show)
			if err != nil {
				rt.Fatal(err)
			}
			if len(leases) == 0 {
				if ok {
					rt.Fatal("an owner without a lease")
				}
				continue
			}
			last := leases[len(leases)-1]
			if ok == released[last.epoch] || ok && (grant{lease.Node, lease.Epoch}) != last {
				rt.Fatalf("Owner = %+v, %v, want %v (released %v)", lease, ok, last, released)
			}
		}
	})
}

func BenchmarkRenew(b *testing.B) {
	m := NewMemory(Config{})
	epoch, err := m.Acquire(b.Context(), owned(show, "a", 0), 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Renew(b.Context(), owned(show, "a", epoch)); err != nil {
			b.Fatal(err)
		}
	}
}
