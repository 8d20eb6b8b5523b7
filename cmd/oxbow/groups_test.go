package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
	"github.com/oxbow-video/oxbow/packager"
)

// A group's lease is held from its first member to its last, and only members publish it, on one node.
func TestGroupsHoldTheirShowsLease(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	db, err := catalog.OpenSQLite(t.Context(), t.TempDir()+"/catalog.db", logger)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	root, err := reclog.OpenRoot(reclog.Config{Dir: t.TempDir()}, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	memory := registry.NewMemory(registry.Config{})
	held := &leases{registry: memory, node: registry.Node{ID: "a", URL: "http://a"}, logger: logger}
	newID := func() media.RecordingID { return "01k00000000000000000000001" }
	g := &groups{
		packager: packager.New(packager.Config{}, root, db, memory, newID, logger, prometheus.NewRegistry()),
		leases:   held, stream: db.Stream, members: db.Members,
		elsewhere: func(ctx context.Context, path media.StreamPath) (bool, error) {
			node, _, owned, err := memory.Owner(ctx, path)
			return owned && node != "a", err
		},
	}
	path := func(name string) media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: name} }
	if err := db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	streams := map[string]media.Stream{}
	for _, name := range []string{"show", "show_1080", "show_720"} {
		var patch media.SettingsPatch
		if name != "show" {
			patch.Group = new("show")
		}
		if streams[name], err = db.CreateStream(t.Context(), path(name), patch); err != nil {
			t.Fatal(err)
		}
	}
	owner := func(want string) {
		t.Helper()
		if node, _, _, err := memory.Owner(t.Context(), path("show")); err != nil || node != want {
			t.Errorf("the show's lease is %q's, want %q's: %v", node, want, err)
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
	first, err := g.Publish(t.Context(), streams["show_1080"], 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := g.Publish(t.Context(), streams["show_720"], 1)
	if err != nil {
		t.Fatal(err)
	}
	owner("a")
	if paths := g.connected(path("show")); len(paths) != 2 {
		t.Errorf("connected are %v", paths)
	}
	if err := errors.Join(first.Close(false), first.Close(false)); err != nil {
		t.Error(err)
	}
	owner("a")
	if err := second.Close(true); err != nil {
		t.Error(err)
	}
	owner("")
	if paths := g.connected(path("show")); len(paths) != 0 {
		t.Errorf("connected are %v", paths)
	}

	if _, err := memory.Acquire(t.Context(), path("show"), "b", 0); err != nil {
		t.Fatal(err)
	}
	refused("show_720", "another server")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Publish(cancelled, streams["show_720"], 2); err == nil || len(g.connected(path("show"))) != 0 {
		t.Errorf("without a lease: %v, connected are %v", err, g.connected(path("show")))
	}
	owner("b")
}
