package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// A process does not start beside one that has its name, and does beside what is left of its own last run.
func TestNameOfAnotherProcess(t *testing.T) {
	there := httptest.NewServer(http.NotFoundHandler())
	defer there.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, c := range []struct {
		name  string
		other media.Node
		says  string
	}{
		{"nobody has it", media.Node{ID: "b", URL: there.URL}, ""},
		{"another process has it", media.Node{ID: "a", URL: there.URL, Role: media.RoleArchiver}, "give each process its own"},
		{"it is from before a kill", media.Node{ID: "a", URL: gone.URL}, ""},
		{"it is from this one's last run", media.Node{ID: "a", URL: "http://127.0.0.1:1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &node{
				registry: registry.NewMemory(registry.Config{}), self: media.Node{ID: "a", URL: "http://127.0.0.1:1"},
				logger: slog.New(slog.DiscardHandler),
			}
			if err := n.registry.Register(t.Context(), c.other); err != nil {
				t.Fatal(err)
			}
			err := n.checkName(t.Context())
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestMemoryRegistryIsOfOneProcess(t *testing.T) {
	n := &node{self: media.Node{ID: "a"}, adapterFlags: adapterFlags{Registry: memoryRegistry}}
	if err := n.openRegistry(t.Context()); err == nil || !strings.Contains(err.Error(), "oxbow serve") {
		t.Errorf("of a cluster's node: %v", err)
	}
	n.self.ID = aloneID
	if err := n.openRegistry(t.Context()); err != nil {
		t.Errorf("of serve: %v", err)
	}
}
