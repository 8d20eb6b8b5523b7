package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// leaseWorld is node a with its leases, and what it is told.
type leaseWorld struct {
	*leases
	shows          map[media.StreamPath]media.RecordingID
	fromStorage    uint64
	growsInStorage media.RecordingID
	lost, outdated []media.StreamPath
}

func newLeaseWorld(r registry.Registry) *leaseWorld {
	w := &leaseWorld{shows: map[media.StreamPath]media.RecordingID{}, fromStorage: 7, growsInStorage: "01kept"}
	w.leases = newLeases(r, media.Node{ID: "a", Cluster: "main", URL: "http://a"}, slog.New(slog.DiscardHandler))
	w.stored = func(context.Context, media.StreamPath) (media.RecordingID, uint64) {
		return w.growsInStorage, w.fromStorage
	}
	w.growing = func() map[media.StreamPath]media.RecordingID { return w.shows }
	w.feed = func(media.StreamPath) (string, time.Duration) { return media.FeedNone, 0 }
	w.leases.lost = func(p media.StreamPath) { w.lost = append(w.lost, p) }
	w.leases.outdated = func(p media.StreamPath) { w.outdated = append(w.outdated, p) }
	return w
}

func inLeaseWorld(t *testing.T, name string, f func(t *testing.T, w *leaseWorld, memory *registry.Memory)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			memory := registry.NewMemory(registry.Config{})
			f(t, newLeaseWorld(memory), memory)
		})
	})
}

func (w *leaseWorld) acquire(t *testing.T) uint64 {
	t.Helper()
	epoch, err := w.Acquire(t.Context(), acme("show"), media.FeedPrimary)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

func wantOwner(t *testing.T, r registry.Registry, node string) media.Lease {
	t.Helper()
	lease, _, err := r.Owner(t.Context(), acme("show"))
	if err != nil || lease.Node != node {
		t.Fatalf("the owner is %q, want %q: %v", lease.Node, node, err)
	}
	return lease
}

func TestLeases(t *testing.T) {
	other := media.Lease{Path: acme("show"), Node: "b", Cluster: "main"}
	inLeaseWorld(t, "epochs are above what storage knows", func(t *testing.T, w *leaseWorld, _ *registry.Memory) {
		if epoch := w.acquire(t); epoch != 8 {
			t.Errorf("epoch %d over 7", epoch)
		}
	})
	inLeaseWorld(t, "the recording that is continued is known at once", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		w.acquire(t)
		if lease := wantOwner(t, m, "a"); lease.Recording != "01kept" {
			t.Errorf("the lease names recording %q", lease.Recording)
		}
		w.shows[acme("show")] = "01grows"
		w.acquire(t)
		if lease := wantOwner(t, m, "a"); lease.Recording != "01grows" {
			t.Errorf("the second connection's lease names recording %q", lease.Recording)
		}
	})
	inLeaseWorld(t, "who loses one is told once, within one beat", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		epoch := w.acquire(t)
		w.beat(t.Context())
		if len(w.lost) != 0 {
			t.Fatal("lost a lease that is held")
		}
		if _, err := m.Acquire(t.Context(), other, 0); err != nil {
			t.Fatal(err)
		}
		w.beat(t.Context())
		w.beat(t.Context())
		if len(w.lost) != 1 || w.lost[0] != acme("show") {
			t.Fatalf("told %v", w.lost)
		}
		if err := w.Release(t.Context(), acme("show"), epoch); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, m, "b")
	})
	inLeaseWorld(t, "it lasts as long as the show", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		epoch := w.acquire(t)
		if lease := wantOwner(t, m, "a"); lease.Feed != media.FeedPrimary {
			t.Errorf("feed %q", lease.Feed)
		}
		w.shows[acme("show")] = "01m9zv8q0000000000000000aa"
		if err := w.Release(t.Context(), acme("show"), epoch); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(heartbeat)
			w.beat(t.Context())
		}
		if lease := wantOwner(t, m, "a"); lease.Feed != media.FeedNone || lease.Recording != w.shows[acme("show")] {
			t.Errorf("the lease of a show that waits: %+v", lease)
		}
		delete(w.shows, acme("show"))
		w.beat(t.Context())
		wantOwner(t, m, "")
	})
	inLeaseWorld(t, "it is kept while storage takes its time with an adoption", func(
		t *testing.T, w *leaseWorld, m *registry.Memory,
	) {
		epoch, err := w.claim(t.Context(), w.lease(acme("show"), 0), 7, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(heartbeat)
			w.beat(t.Context())
			wantOwner(t, m, "a")
		}
		if err := w.Release(t.Context(), acme("show"), epoch); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, m, "") // nothing came of it
	})
	inLeaseWorld(t, "it names what is being brought here", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		w.growsInStorage = "01m9zv8q0000000000000000aa"
		w.acquire(t)
		w.beat(t.Context())
		if lease := wantOwner(t, m, "a"); lease.Recording != w.growsInStorage {
			t.Errorf("before the show has come the lease names %q", lease.Recording)
		}
		w.shows[acme("show")] = w.growsInStorage
		w.beat(t.Context())
		delete(w.shows, acme("show"))
		w.beat(t.Context())
		if lease := wantOwner(t, m, "a"); lease.Recording != "" {
			t.Errorf("after the show has ended the lease names %q", lease.Recording)
		}
	})
	inLeaseWorld(t, "it goes with its last publisher where no show grows", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		first := w.acquire(t)
		second := w.acquire(t)
		if err := w.Release(t.Context(), acme("show"), first); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, m, "a")
		if err := w.Release(t.Context(), acme("show"), second); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, m, "")
	})
	inLeaseWorld(t, "a show is outdated that another node had since", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		first := w.acquire(t)
		if _, err := m.Acquire(t.Context(), other, 0); err != nil {
			t.Fatal(err)
		}
		w.acquire(t)
		if len(w.outdated) != 1 || len(w.lost) != 0 {
			t.Errorf("outdated %v, lost %v", w.outdated, w.lost)
		}
		// The connection from before leaves late, and gives nothing back.
		if err := w.Release(t.Context(), acme("show"), first); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, m, "a")
		w.acquire(t)
		if len(w.outdated) != 1 {
			t.Error("its own show is taken for an old one")
		}
	})
	inLeaseWorld(t, "handed over", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		w.acquire(t)
		if err := w.giveUp(t.Context(), acme("show")); err != nil {
			t.Fatal(err)
		}
		w.beat(t.Context())
		wantOwner(t, m, "")
	})
}

// A process that was stopped for a while asks before it goes on.
func TestLeasesAfterASleep(t *testing.T) {
	inLeaseWorld(t, "asleep", func(t *testing.T, w *leaseWorld, m *registry.Memory) {
		w.acquire(t)
		w.beat(t.Context())
		time.Sleep(heartbeat + beatTimeout)
		if !w.Awake() {
			t.Error("a beat that waits for the registry counts as sleep")
		}
		time.Sleep(20 * time.Second)
		if w.Awake() {
			t.Fatal("no beat for 20 s, and awake")
		}
		if err := w.Confirm(t.Context(), acme("show")); err != nil {
			t.Errorf("a stream that nobody else took: %v", err)
		}
		if _, err := m.Acquire(t.Context(), media.Lease{Path: acme("show"), Node: "b"}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * answerHolds)
		if err := w.Confirm(t.Context(), acme("show")); !errors.Is(err, media.ErrFenced) {
			t.Errorf("a stream that another node took: %v", err)
		}
		if len(w.lost) != 1 {
			t.Errorf("told %v", w.lost)
		}
		if err := w.Confirm(t.Context(), acme("show")); err != nil {
			t.Errorf("one that is not held: %v", err)
		}
	})
}

// While the registry is away a node goes on with what it has, and begins nothing.
func TestLeasesWhileTheRegistryIsAway(t *testing.T) {
	away, err := registry.OpenRedis(t.Context(), registry.RedisConfig{URL: "redis://127.0.0.1:1"},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = away.Close() }()
	w := newLeaseWorld(away)
	if _, err := w.Acquire(t.Context(), acme("show"), media.FeedPrimary); !errors.Is(err, media.ErrUnavailable) {
		t.Errorf("a new stream: %v", err)
	}
	w.mu.held[acme("show")] = &hold{epoch: 12, first: 12}
	w.shows[acme("show")] = "01m9zv8q0000000000000000aa"
	w.beat(t.Context())
	if epoch := w.acquire(t); epoch != 12 {
		t.Errorf("its publisher came back and got epoch %d, want 12, which the node has", epoch)
	}
	if err := w.Confirm(t.Context(), acme("show")); !errors.Is(err, media.ErrUnavailable) || len(w.lost) > 0 {
		t.Errorf("a registry that is away took the lease: %v, %v", err, w.lost)
	}
}
