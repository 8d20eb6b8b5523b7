package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
	"github.com/oxbow-video/oxbow/packager"
)

// groupWorld is a node with the streams of a group: show, and its members show_1080 and show_720.
type groupWorld struct {
	*groups
	leases  *leases
	memory  *registry.Memory
	streams map[string]media.Stream
}

func newGroupWorld(t *testing.T) *groupWorld {
	logger := slog.New(slog.DiscardHandler)
	db, err := catalog.OpenSQLite(t.Context(), t.TempDir()+"/catalog.db", logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	root, err := reclog.OpenRoot(reclog.Config{Dir: t.TempDir()}, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	w := &groupWorld{memory: registry.NewMemory(registry.Config{}), streams: map[string]media.Stream{}}
	w.leases = newLeaseWorld(w.memory).leases
	p := packager.New(packager.Config{}, root, db, w.memory, newRecordingID, logger, prometheus.NewRegistry())
	w.groups = &groups{
		packager: p, prepare: (&takeover{root: root, packager: p, logger: logger}).prepare, leases: w.leases, stream: db.Stream, members: db.Members,
		elsewhere: func(ctx context.Context, path media.StreamPath) (bool, error) {
			lease, owned, err := w.memory.Owner(ctx, path)
			return owned && lease.Node != "a", err
		},
	}
	if err := db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"show", "show_1080", "show_720"} {
		var patch media.SettingsPatch
		if name != "show" {
			patch.Group = new("show")
		}
		if w.streams[name], err = db.CreateStream(t.Context(), acme(name), patch); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func acme(name string) media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: name} }

// publish publishes a member.
func (w *groupWorld) publish(t *testing.T, name string) ingest.Publication {
	t.Helper()
	epoch, err := w.leases.Acquire(t.Context(), acme(name), media.FeedPrimary)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Publish(t.Context(), w.streams[name], epoch)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A group's lease is held from its first member to its last, and only members publish it, on one node.
func TestGroupsHoldTheirShowsLease(t *testing.T) {
	g := newGroupWorld(t)
	streams, memory, path := g.streams, g.memory, acme
	owner := func(want string) {
		t.Helper()
		if lease, _, err := memory.Owner(t.Context(), path("show")); err != nil || lease.Node != want {
			t.Errorf("the show's lease is %q's, want %q's: %v", lease.Node, want, err)
		}
	}
	refused := func(name, says string) {
		t.Helper()
		if err := g.refuse(t.Context(), streams[name]); !errors.Is(err, media.ErrConflict) || !strings.Contains(err.Error(), says) {
			t.Errorf("publish %s: %v", name, err)
		}
	}
	refused("show", "show_1080, show_720")
	if err := g.refuse(t.Context(), streams["show_720"]); err != nil {
		t.Error(err)
	}
	first, second := g.publish(t, "show_1080"), g.publish(t, "show_720")
	owner("a")
	if err := errors.Join(first.Close(false), first.Close(false)); err != nil {
		t.Error(err)
	}
	owner("a")
	if err := second.Close(true); err != nil {
		t.Error(err)
	}
	owner("")
	if len(g.mu.live) != 0 {
		t.Errorf("left are %v", g.mu.live)
	}

	if _, err := memory.Acquire(t.Context(), media.Lease{Path: path("show"), Node: "b"}, 0); err != nil {
		t.Fatal(err)
	}
	refused("show_720", "another server")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Publish(cancelled, streams["show_720"], 2); err == nil || len(g.mu.live) != 0 {
		t.Errorf("without a lease: %v, left are %v", err, g.mu.live)
	}
	owner("b")
}

// A show's lease that is lost sends every member away, and who is back before all have left acquires it anew.
func TestGroupsAcquireALostLeaseAnew(t *testing.T) {
	g := newGroupWorld(t)
	var kicked []media.StreamPath
	lost := make(chan struct{}, 8) // a beat does not wait for long on what a loss brings with it
	g.leases.lost = func(path media.StreamPath) {
		kicked = append(kicked, g.lost(path)...)
		lost <- struct{}{}
	}
	first, second := g.publish(t, "show_1080"), g.publish(t, "show_720")
	if _, err := g.memory.Acquire(t.Context(), media.Lease{Path: acme("show"), Node: "b"}, 0); err != nil {
		t.Fatal(err)
	}
	g.leases.beat(t.Context())
	<-lost
	g.leases.beat(t.Context())
	slices.SortFunc(kicked, func(a, b media.StreamPath) int { return strings.Compare(a.Stream, b.Stream) })
	if !slices.Equal(kicked, []media.StreamPath{acme("show_1080"), acme("show_720")}) {
		t.Errorf("sent away are %v", kicked)
	}
	if err := first.Close(false); err != nil {
		t.Error(err)
	}
	again := g.publish(t, "show_1080")
	if lease, _, err := g.memory.Owner(t.Context(), acme("show")); err != nil || lease.Node != "a" {
		t.Errorf("a member is back, and the show's lease is %q's: %v", lease.Node, err)
	}
	// The one that was sent away leaves late, and gives back only what was its own.
	if err := second.Close(false); err != nil {
		t.Error(err)
	}
	g.leases.beat(t.Context())
	if lease, _, err := g.memory.Owner(t.Context(), acme("show")); err != nil || lease.Node != "a" || len(kicked) != 2 {
		t.Errorf("the show's lease is %q's, sent away are %v: %v", lease.Node, kicked, err)
	}
	if err := again.Close(true); err != nil {
		t.Error(err)
	}
	if lease, owned, err := g.memory.Owner(t.Context(), acme("show")); err != nil || owned {
		t.Errorf("the show's lease is %q's: %v", lease.Node, err)
	}
}

// lateLeases are leases of which each is lost as soon as it is acquired.
type lateLeases struct {
	*leases
	lost func(media.StreamPath) []media.StreamPath
}

func (l lateLeases) Acquire(ctx context.Context, path media.StreamPath, feed string) (uint64, error) {
	epoch, err := l.leases.Acquire(ctx, path, feed)
	l.lost(path)
	return epoch, err
}

func TestGroupsRefuseAMemberWhoseLeaseIsLostMeanwhile(t *testing.T) {
	g := newGroupWorld(t)
	g.groups.leases = lateLeases{g.leases, g.lost}
	if p, err := g.Publish(t.Context(), g.streams["show_720"], 1); !errors.Is(err, media.ErrUnavailable) || p != nil {
		t.Errorf("published %v: %v", p, err)
	}
	if _, owned, err := g.memory.Owner(t.Context(), acme("show")); owned || err != nil || len(g.mu.live) != 0 {
		t.Errorf("owned %v, left are %v: %v", owned, g.mu.live, err)
	}
	g.groups.leases = g.leases
	if err := g.publish(t, "show_720").Close(true); err != nil {
		t.Error(err)
	}
}

// A group whose show can't be gone on with has no lease: its members may be published elsewhere.
func TestGroupsGiveBackTheLeaseOfAShowThatCanNotGoOn(t *testing.T) {
	g := newGroupWorld(t)
	hung := fmt.Errorf("%w: the recordings' volume does not answer", media.ErrUnavailable)
	g.prepare = func(context.Context, media.StreamPath, uint64) error { return hung }
	if _, err := g.Publish(t.Context(), g.streams["show_720"], 1); !errors.Is(err, media.ErrUnavailable) {
		t.Errorf("published: %v", err)
	}
	g.leases.beat(t.Context())
	if lease, owned, err := g.memory.Owner(t.Context(), acme("show")); owned || err != nil || len(g.mu.live) != 0 {
		t.Errorf("the show is owned: %+v, left are %v: %v", lease, g.mu.live, err)
	}
}
