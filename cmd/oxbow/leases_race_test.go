package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// lateRegistry is a real registry whose answers, or the questions to it, are late.
type lateRegistry struct {
	registry.Registry
	acquired func() // before an Acquire's answer is read
	silent   bool   // what is acquired is given, and the answer is lost
	renewing func() // before a renewal is sent
	renewed  func() // before its answer is read
}

func (r *lateRegistry) Acquire(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	epoch, err := r.Registry.Acquire(ctx, lease, floor)
	if r.acquired != nil {
		r.acquired()
	}
	if r.silent {
		return 0, media.ErrUnavailable
	}
	return epoch, err
}

func (r *lateRegistry) Renew(ctx context.Context, lease media.Lease) error {
	return r.RenewAll(ctx, []media.Lease{lease})[0]
}

func (r *lateRegistry) RenewAll(ctx context.Context, leases []media.Lease) []error {
	if f := r.renewing; f != nil {
		r.renewing = nil
		f()
	}
	errs := r.Registry.RenewAll(ctx, leases)
	if f := r.renewed; f != nil {
		r.renewed = nil
		f()
	}
	return errs
}

func inLateWorld(t *testing.T, name string, f func(t *testing.T, w *leaseWorld, late *lateRegistry)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			late := &lateRegistry{Registry: registry.NewMemory(registry.Config{})}
			f(t, newLeaseWorld(late), late)
		})
	})
}

// takenBy has another node take the stream.
func takenBy(t *testing.T, r registry.Registry, node string) {
	t.Helper()
	if _, err := r.Acquire(t.Context(), media.Lease{Path: acme("show"), Node: node, Cluster: "main"}, 0); err != nil {
		t.Fatal(err)
	}
}

// What a beat asks for may be outdated by the time that it is answered.
func TestLeasesInEveryOrder(t *testing.T) {
	inLateWorld(t, "a publisher that takes over during a beat is not lost", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.acquire(t)
		late.renewing = func() { w.acquire(t) }
		w.beat(t.Context())
		w.beat(t.Context())
		if len(w.lost) != 0 {
			t.Error("sent away who has the newest lease")
		}
		wantOwner(t, late, "a")
	})
	inLateWorld(t, "nor is one whose answer is late", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.acquire(t)
		late.acquired = func() {
			go w.beat(t.Context())
			time.Sleep(300 * time.Millisecond)
		}
		w.acquire(t)
		time.Sleep(time.Second)
		w.beat(t.Context())
		if len(w.lost) != 0 {
			t.Error("sent away who has the newest lease")
		}
	})
	inLateWorld(t, "a registry that forgot starts above this node's newest", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		var before uint64
		for range 4 {
			before = w.acquire(t)
		}
		late.Registry = registry.NewMemory(registry.Config{})
		if epoch := w.acquire(t); epoch <= before {
			t.Errorf("epoch %d after %d", epoch, before)
		}
		w.beat(t.Context())
		if len(w.lost)+len(w.outdated) != 0 {
			t.Errorf("lost %v, outdated %v", w.lost, w.outdated)
		}
		wantOwner(t, late, "a")
	})
	inLateWorld(t, "what was given without an answer is this node's", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		epoch := w.acquire(t)
		late.silent = true
		if again, again2 := w.acquire(t), w.acquire(t); again != epoch || again2 != epoch {
			t.Errorf("epochs %d and %d, want %d", again, again2, epoch)
		}
		late.silent = false
		time.Sleep(time.Minute) // the registry was away
		w.beat(t.Context())
		w.beat(t.Context())
		if len(w.lost) != 0 {
			t.Error("sent away when the registry was back")
		}
		wantOwner(t, late, "a")
		late.silent = true
		w.acquire(t)
		late.silent = false
		takenBy(t, late, "b")
		w.beat(t.Context())
		if len(w.lost) != 1 {
			t.Error("what another node took since is not lost")
		}
		wantOwner(t, late, "b")
	})
	inLateWorld(t, "two that acquire at once are counted both", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.acquire(t)
		pause := 400 * time.Millisecond
		late.acquired = func() {
			pause /= 2 // who asks later is answered sooner
			time.Sleep(pause)
		}
		epochs := make(chan uint64, 2)
		for range 2 {
			go func() { epochs <- w.acquire(t) }()
		}
		for _, epoch := range []uint64{8, <-epochs, <-epochs} {
			if err := w.Release(t.Context(), acme("show"), epoch); err != nil {
				t.Error(err)
			}
		}
		if len(w.outdated) != 0 {
			t.Error("this node's own show is taken for an old one")
		}
		wantOwner(t, late, "")
	})
	inLateWorld(t, "who comes while a loss is dealt with waits", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		first := w.acquire(t)
		takenBy(t, late, "b")
		ended := false
		w.leases.lost = func(media.StreamPath) {
			if w.Holds(acme("show"), first) {
				t.Error("a lease that is lost is held")
			}
			time.Sleep(5 * time.Second) // storage hangs
			ended = true
		}
		begun := time.Now()
		w.beat(t.Context())
		if took := time.Since(begun); took > beatTimeout {
			t.Errorf("the beat took %v: other leases run out", took)
		}
		if epoch := w.acquire(t); !ended || !w.Holds(acme("show"), epoch) || w.Holds(acme("show"), first) {
			t.Errorf("epoch %d, the show before it had ended: %v", epoch, ended)
		}
		if err := w.Release(t.Context(), acme("show"), first); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, late, "a")
	})
	inLateWorld(t, "a lease lasts while its show is on its way from storage", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		epoch, err := w.claim(t.Context(), w.lease(acme("show"), 0), 7, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(heartbeat)
			w.beat(t.Context())
		}
		if lease := wantOwner(t, late, "a"); lease.Feed != media.FeedNone {
			t.Errorf("feed %q: nobody publishes", lease.Feed)
		}
		w.shows[acme("show")] = "01m9zv8q0000000000000000aa"
		if err := w.Release(t.Context(), acme("show"), epoch); err != nil {
			t.Fatal(err)
		}
		w.beat(t.Context())
		wantOwner(t, late, "a")
		delete(w.shows, acme("show"))
		w.beat(t.Context())
		wantOwner(t, late, "")
	})
	inLateWorld(t, "who has the stream does not adopt it", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		epoch := w.acquire(t)
		if _, err := w.claim(t.Context(), w.lease(acme("show"), 0), 7, 0); !errors.Is(err, media.ErrConflict) {
			t.Errorf("claimed beside its publisher: %v", err)
		}
		w.beat(t.Context())
		if !w.Holds(acme("show"), epoch) || len(w.lost) != 0 {
			t.Error("its publisher was sent away")
		}
	})
	inLateWorld(t, "a lease from before a restart is taken from no other node", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		takenBy(t, late, "a")
		takenBy(t, late, "b") // since this node asked who owns it
		if _, err := w.claim(t.Context(), w.lease(acme("show"), 0), 0, 1); !errors.Is(err, media.ErrConflict) {
			t.Errorf("claimed what is b's: %v", err)
		}
		wantOwner(t, late, "b")
	})
	inLateWorld(t, "a node that left is not listed again", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		for _, listed := range []int{1, 0} {
			w.beat(t.Context())
			if nodes, err := late.Nodes(t.Context()); err != nil || len(nodes) != listed {
				t.Errorf("listed are %v, want %d: %v", nodes, listed, err)
			}
			w.left.Store(true)
			if err := late.Unregister(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
	})
	inLateWorld(t, "a show without a lease is given up", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.shows[acme("show")] = "01m9zv8q0000000000000000aa"
		w.beat(t.Context())
		synctest.Wait()
		if len(w.lost) != 0 {
			t.Fatal("given up at once: its lease may be on its way")
		}
		w.beat(t.Context())
		synctest.Wait()
		if len(w.lost) != 1 {
			t.Errorf("told %v", w.lost)
		}
	})
}

// A process that is stopped while it waits for the registry does not believe what it then reads.
func TestLeasesDistrustAnAnswerFromBeforeASleep(t *testing.T) {
	sleep := func(t *testing.T, late *lateRegistry) func() {
		return func() {
			takenBy(t, late, "b")
			time.Sleep(20 * time.Second)
		}
	}
	inLateWorld(t, "a beat's", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.acquire(t)
		late.renewed = sleep(t, late)
		w.beat(t.Context())
		if w.Awake() {
			t.Error("awake by an answer of 20 s ago")
		}
	})
	inLateWorld(t, "a question's", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.acquire(t)
		late.renewed = sleep(t, late)
		if err := w.Confirm(t.Context(), acme("show")); !errors.Is(err, media.ErrFenced) || len(w.lost) != 1 {
			t.Errorf("a stream that was taken 20 s ago: %v, told %v", err, w.lost)
		}
	})
	inLateWorld(t, "one question is asked for all who ask", func(t *testing.T, w *leaseWorld, late *lateRegistry) {
		w.acquire(t)
		asked := 0
		var count func()
		count = func() {
			asked++
			late.renewing = count
			time.Sleep(50 * time.Millisecond)
		}
		late.renewing = count
		done := make(chan error)
		for range 1000 {
			go func() { done <- w.Confirm(t.Context(), acme("show")) }()
		}
		for range 1000 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}
