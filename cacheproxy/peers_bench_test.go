package cacheproxy

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/media"
)

// BenchmarkSiblingHop fetches a part that a sibling has in memory, over a kept connection, and without the sibling of a
// node of net/http's.
func BenchmarkSiblingHop(b *testing.B) {
	node := httptest.NewServer(fixed(string(make([]byte, 60<<10)), immutable, "Etag", `"1"`))
	defer node.Close()
	d := httptest.NewServer(newDirectory(node.URL))
	defer d.Close()
	edge := func(id string) *Proxy {
		p := New(Config{Directories: []string{d.URL}, Tokens: admission.MustFixed(b, siteToken), ID: id, Asked: true},
			map[string]http.Handler{"": http.NotFoundHandler()}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
		p.setPolicies(media.PlaybackPolicies{Version: 1})
		b.Cleanup(func() { _ = p.Close() })
		return p
	}
	path := segmentOf(b, "e2", "e1")
	for _, way := range []string{"lane", "net/http", "node"} {
		b.Run(way, func(b *testing.B) {
			one, two := edge("e1"), edge("e2")
			server := httptest.NewUnstartedServer(two.Peers())
			if way == "lane" {
				front := fastlane.New(fastlane.Config{Handler: two.Peers(), HTTP: server.Config, Logger: slog.New(slog.DiscardHandler)})
				l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				go func() { _ = front.Serve(l) }()
				defer func() { _ = front.Close() }()
				one.SetPeers(media.EdgePeers{Siblings: []media.EdgePeer{{ID: "e2", URL: "http://" + l.Addr().String()}}})
			} else if server.Start(); way == "net/http" {
				one.SetPeers(media.EdgePeers{Siblings: []media.EdgePeer{{ID: "e2", URL: server.URL}}})
			}
			defer server.Close()
			req := httptest.NewRequest(http.MethodGet, path, nil)
			b.ReportAllocs()
			for b.Loop() {
				one.cache.drop(groupOf(path), false)
				w := &discarded{head: make(http.Header)}
				one.ServeHTTP(w, req)
				if w.n != 60<<10 {
					b.Fatalf("%d bytes", w.n)
				}
			}
		})
	}
}

// discarded counts a body.
type discarded struct {
	head http.Header
	n    int
}

func (d *discarded) Header() http.Header { return d.head }

func (d *discarded) WriteHeader(int) {}

func (d *discarded) Write(b []byte) (int, error) {
	n, err := io.Discard.Write(b)
	d.n += n
	return n, err
}

// BenchmarkPlan is what a miss costs beside its fetch.
func BenchmarkPlan(b *testing.B) {
	s := newSite(b, "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8")
	p := s.edges["e1"].Proxy
	b.ReportAllocs()
	for b.Loop() {
		p.peers.plan(segPath, nil)
	}
}
