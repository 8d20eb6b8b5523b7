package main

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// A lease lives while its node beats; who loses it to another node is told within one beat.
func TestLeaseLostToAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := registry.NewMemory(registry.Config{})
		path := media.StreamPath{Publisher: "acme", Stream: "show"}
		var lost []media.StreamPath
		l := &leases{
			registry: memory, node: media.Node{ID: "a", URL: "http://a"}, logger: slog.New(slog.DiscardHandler), floor: 7,
			lost: func(p media.StreamPath) { lost = append(lost, p) },
		}
		epoch, err := l.Acquire(t.Context(), path, media.FeedPrimary)
		if err != nil || epoch <= 7 {
			t.Fatalf("epoch %d, %v: want one above what storage knows", epoch, err)
		}
		l.renew(t.Context())
		if len(lost) != 0 {
			t.Fatal("lost a lease that is held")
		}
		if _, err := memory.Acquire(t.Context(), media.Lease{Path: path, Node: "b"}, 0); err != nil {
			t.Fatal(err)
		}
		l.renew(t.Context())
		l.renew(t.Context())
		if len(lost) != 1 || lost[0] != path {
			t.Fatalf("told %v, want once %v", lost, path)
		}
		if err := l.Release(t.Context(), path, epoch); err != nil {
			t.Fatal(err)
		}
		if lease, ok, err := memory.Owner(t.Context(), path); err != nil || !ok || lease.Node != "b" {
			t.Errorf("owner %+v %v %v, want b", lease, ok, err)
		}
	})
}
