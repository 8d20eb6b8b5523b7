package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// bench is what the suite needs of an implementation.
type bench struct {
	// open makes an empty registry with the given times and sizes.
	open func(tb testing.TB, cfg Config) Registry
	// pass lets time go by for the registry.
	pass func(d time.Duration)
	// run runs a case where pass works.
	run func(t *testing.T, name string, f func(t *testing.T))
	// youth is for how long a new registry refuses claims, at most.
	youth time.Duration
}

// conformance is the suite that every registry passes.
func conformance(t *testing.T, b bench) {
	b.run(t, "nodes are listed by id until they stop registering", b.testNodes)
	b.run(t, "a node that leaves is gone at once", b.testUnregister)
	b.run(t, "epochs grow and respect the floor", b.testEpochs)
	b.run(t, "a lease ends unless it is renewed", b.testExpiry)
	b.run(t, "a lease that ran out is renewed while nobody took it", b.testLateRenewal)
	b.run(t, "acquiring takes over and fences the holder", b.testTakeover)
	b.run(t, "a released lease has no owner and is not renewed", b.testRelease)
	b.run(t, "releasing a lost lease leaves the new one alone", b.testReleaseLost)
	b.run(t, "a registry without memory learns from renewals", b.testForgotten)
	b.run(t, "one of many acquirers ends up as owner", b.testRace)
	b.run(t, "of two that assert themselves the later owner stays", b.testLearnt)
	b.run(t, "only what nobody holds is claimed", b.testClaim)
	b.run(t, "a lease says what its owner shows", b.testShow)
	b.run(t, "leases are listed by path while they last", b.testLeases)
	b.run(t, "many leases are renewed at once", b.testRenewAll)
	b.run(t, "events are read in order and resumed", b.testEvents)
	b.run(t, "readers wait for events", b.testWait)
	b.run(t, "a reader that fell behind is told", b.testLost)
	b.run(t, "an unknown position is told", b.testUnknownPosition)
	b.run(t, "many readers and writers", b.testFanOut)
	b.run(t, "what makes no sense is refused", b.testRefusals)
}

var show = media.StreamPath{Publisher: "acme", Stream: "show"}

func (b bench) testNodes(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{NodeTTL: 10 * time.Second})
	wantNodes(t, r)
	noError(t, r.Register(ctx, media.Node{ID: "b", URL: "http://b:8080/"}))
	b.pass(6 * time.Second)
	noError(t, r.Register(ctx, media.Node{ID: "a", URL: "http://a:8080"}))
	wantNodes(t, r, media.Node{ID: "a", URL: "http://a:8080"}, media.Node{ID: "b", URL: "http://b:8080"})
	b.pass(6 * time.Second)
	wantNodes(t, r, media.Node{ID: "a", URL: "http://a:8080"})
	noError(t, r.Register(ctx, media.Node{ID: "a", URL: "http://a:9090"}))
	b.pass(6 * time.Second)
	wantNodes(t, r, media.Node{ID: "a", URL: "http://a:9090"})
	b.pass(6 * time.Second)
	wantNodes(t, r)
}

func (b bench) testUnregister(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	noError(t, r.Register(ctx, media.Node{ID: "a", URL: "http://a"}))
	noError(t, r.Unregister(ctx, "a"))
	noError(t, r.Unregister(ctx, "a"))
	wantNodes(t, r)
}

func (b bench) testEpochs(t *testing.T) {
	r := b.open(t, Config{})
	for _, step := range []struct {
		floor, want uint64
	}{{0, 1}, {0, 2}, {1, 3}, {3, 4}, {9, 10}, {0, 11}} {
		if got := acquire(t, r, show, "a", step.floor); got != step.want {
			t.Errorf("Acquire over floor %d = %d, want %d", step.floor, got, step.want)
		}
	}
	other := media.StreamPath{Publisher: "acme", Stream: "other"}
	if got := acquire(t, r, other, "a", 0); got != 1 {
		t.Errorf("first epoch of another stream = %d, want 1", got)
	}
}

func (b bench) testExpiry(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{}) // the default: 5 s
	wantOwner(t, r, show, "", 0)
	epoch := acquire(t, r, show, "a", 0)
	for range 3 {
		b.pass(4 * time.Second)
		wantOwner(t, r, show, "a", epoch)
		noError(t, r.Renew(ctx, owned(show, "a", epoch)))
	}
	b.pass(4500 * time.Millisecond)
	wantOwner(t, r, show, "a", epoch)
	b.pass(600 * time.Millisecond)
	wantOwner(t, r, show, "", 0)
	if again := acquire(t, r, show, "b", 0); again != epoch+1 {
		t.Errorf("epoch after expiry = %d, want %d", again, epoch+1)
	}
}

func (b bench) testLateRenewal(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	epoch := acquire(t, r, show, "a", 0)
	b.pass(time.Minute)
	noError(t, r.Renew(ctx, owned(show, "a", epoch)))
	wantOwner(t, r, show, "a", epoch)

	b.pass(time.Minute)
	acquire(t, r, show, "b", 0)
	b.pass(time.Minute) // b's lease has run out too: that does not make a's come back
	wantError(t, r.Renew(ctx, owned(show, "a", epoch)), media.ErrFenced)
	wantOwner(t, r, show, "", 0)
}

func (b bench) testTakeover(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	first := acquire(t, r, show, "a", 0)
	second := acquire(t, r, show, "b", 0)
	wantOwner(t, r, show, "b", second)
	wantError(t, r.Renew(ctx, owned(show, "a", first)), media.ErrFenced)
	wantError(t, r.Renew(ctx, owned(show, "a", second)), media.ErrFenced)
	noError(t, r.Renew(ctx, owned(show, "b", second)))
	// The same node publishing again takes over from itself.
	third := acquire(t, r, show, "b", 0)
	wantError(t, r.Renew(ctx, owned(show, "b", second)), media.ErrFenced)
	noError(t, r.Renew(ctx, owned(show, "b", third)))
}

func (b bench) testRelease(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	epoch := acquire(t, r, show, "a", 0)
	noError(t, r.Release(ctx, show, "a", epoch))
	noError(t, r.Release(ctx, show, "a", epoch))
	wantOwner(t, r, show, "", 0)
	wantError(t, r.Renew(ctx, owned(show, "a", epoch)), media.ErrFenced)
	if again := acquire(t, r, show, "a", 0); again != epoch+1 {
		t.Errorf("epoch after release = %d, want %d", again, epoch+1)
	}
}

func (b bench) testReleaseLost(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	first := acquire(t, r, show, "a", 0)
	second := acquire(t, r, show, "b", 0)
	noError(t, r.Release(ctx, show, "a", first))
	noError(t, r.Release(ctx, show, "a", second))
	noError(t, r.Release(ctx, media.StreamPath{Publisher: "no", Stream: "body"}, "a", 1))
	wantOwner(t, r, show, "b", second)
}

func (b bench) testForgotten(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{}) // it knows nothing: as after a restart
	noError(t, r.Renew(ctx, owned(show, "a", 7)))
	wantOwner(t, r, show, "a", 7)
	wantError(t, r.Renew(ctx, owned(show, "b", 7)), media.ErrFenced)
	if epoch := acquire(t, r, show, "b", 0); epoch != 8 {
		t.Errorf("epoch after a learnt lease = %d, want 8", epoch)
	}

	other := media.StreamPath{Publisher: "acme", Stream: "other"}
	acquire(t, r, other, "b", 3) // somebody was faster than the old owner's renewal
	wantError(t, r.Renew(ctx, owned(other, "a", 7)), media.ErrFenced)
	wantOwner(t, r, other, "b", 4)
}

func (b bench) testRace(t *testing.T) {
	r := b.open(t, Config{})
	const nodes, rounds = 8, 50
	epochs := make([][]uint64, nodes)
	var wg sync.WaitGroup
	for n := range nodes {
		wg.Go(func() {
			for range rounds {
				epoch, err := r.Acquire(context.Background(), owned(show, fmt.Sprint(n), 0), 0)
				if err != nil {
					t.Error(err)
				}
				epochs[n] = append(epochs[n], epoch)
			}
		})
	}
	wg.Wait()
	given := make(map[uint64]int)
	for n, list := range epochs {
		for i, epoch := range list {
			if i > 0 && epoch <= list[i-1] {
				t.Fatalf("node %d got epoch %d after %d", n, epoch, list[i-1])
			}
			if other, twice := given[epoch]; twice {
				t.Fatalf("epoch %d was given to nodes %d and %d", epoch, other, n)
			}
			given[epoch] = n
		}
	}
	wantOwner(t, r, show, fmt.Sprint(given[nodes*rounds]), nodes*rounds)
}

func (b bench) testRefusals(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	for _, url := range []string{"", "a", "http://", "ftp://a", "http://a?b", "http://a#b", "http://user:secret@a", "file:///a"} {
		err := r.Register(ctx, media.Node{ID: "a", URL: url})
		wantError(t, err, media.ErrInvalid)
		if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
	wantError(t, r.Register(ctx, media.Node{URL: "http://a"}), media.ErrInvalid)
	_, err := r.Acquire(ctx, owned(show, "", 0), 0)
	wantError(t, err, media.ErrInvalid)
	_, err = r.Claim(ctx, owned(show, "", 0), 0)
	wantError(t, err, media.ErrInvalid)
	wantError(t, r.Renew(ctx, owned(show, "a", 0)), media.ErrFenced)
	wantError(t, r.Renew(ctx, owned(show, "", 0)), media.ErrFenced)

	over, cancel := context.WithCancel(ctx)
	cancel()
	_, errNodes := r.Nodes(over)
	_, errAcquire := r.Acquire(over, owned(show, "a", 0), 0)
	_, _, errOwner := r.Owner(over, show)
	_, errTail := r.Tail(over)
	_, errRead := r.Read(over, 0)
	_, errClaim := r.Claim(over, owned(show, "a", 0), 0)
	_, errLeases := r.Leases(over, "")
	for _, err := range []error{
		r.Register(over, media.Node{ID: "a", URL: "http://a"}), r.Unregister(over, "a"), errNodes, errAcquire, errOwner,
		r.Renew(over, owned(show, "a", 1)), r.Release(over, show, "a", 1), r.Publish(over, media.Event{}), errTail, errRead,
		errClaim, errLeases, r.RenewAll(over, []media.Lease{owned(show, "a", 1)})[0],
	} {
		wantError(t, err, context.Canceled)
	}
}

func TestMemory(t *testing.T) {
	conformance(t, bench{
		open: func(_ testing.TB, cfg Config) Registry { return NewMemory(cfg) },
		pass: func(d time.Duration) { time.Sleep(d); synctest.Wait() }, // a bubble's clock
		run: func(t *testing.T, name string, f func(t *testing.T)) {
			t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
		},
	})
}

func acquire(t *testing.T, r Registry, path media.StreamPath, node string, floor uint64) uint64 {
	t.Helper()
	epoch, err := r.Acquire(t.Context(), owned(path, node, 0), floor)
	noError(t, err)
	return epoch
}

func wantNodes(t *testing.T, r Registry, want ...media.Node) {
	t.Helper()
	got, err := r.Nodes(t.Context())
	noError(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes differ (-want +got):\n%s", diff)
	}
}

func wantOwner(t *testing.T, r Registry, path media.StreamPath, node string, epoch uint64) {
	t.Helper()
	got, ok, err := r.Owner(t.Context(), path)
	noError(t, err)
	if got.Node != node || got.Epoch != epoch || ok != (node != "") {
		t.Errorf("Owner(%s) = %+v, %v, want %q, %d", path, got, ok, node, epoch)
	}
}

// owned is a node's lease on a stream.
func owned(path media.StreamPath, node string, epoch uint64) media.Lease {
	return media.Lease{Path: path, Node: node, Cluster: "main", Epoch: epoch}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}
