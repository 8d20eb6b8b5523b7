package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

func TestBitRates(t *testing.T) {
	for text, want := range map[string]bitRate{
		"10G": 10_000_000_000, "2.5G": 2_500_000_000, "800M": 800_000_000, "64k": 64_000, "1T": 1e12, "12345": 12345,
	} {
		var r bitRate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: %d, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "G", "0", "-1G", "10GiB", "NaN", "Inf", "1e300", "10 G", "1TT"} {
		var r bitRate
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "like 10G") {
			t.Errorf("%q: %d, %v", text, r, err)
		}
	}
}

func TestEdgeNode(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8080}
	f := beatFlags{Node: "edge-1", PublicURL: "https://edge1.example.com", Site: "north", Region: "eu", Capacity: 10e9}
	n, err := f.edgeNode(at)
	if err != nil || n.ID != "edge-1" || n.Role != media.RoleEdge || n.URL != "http://10.0.0.1:8080" || n.StartedAt.IsZero() ||
		*n.Edge != (media.Edge{PublicURL: "https://edge1.example.com", Site: "north", Region: "eu", BitsCapacity: 10e9}) {
		t.Errorf("%+v, %v", n, err)
	}
	for want, f := range map[string]beatFlags{
		"--node":             {Node: "edge 1"},
		"--public-url, --si": {Node: "edge-1", Site: strings.Repeat("s", 65)},
	} {
		if _, err := f.edgeNode(at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestShortOfMemory(t *testing.T) {
	for text, want := range map[string]string{
		"MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 4000000 kB\n": "",
		"MemTotal: 8000000 kB\nMemAvailable: 204800 kB\n":                 "200 MiB of memory are left",
		"MemTotal: 8000000 kB\n":                                          "",
		"":                                                                "",
	} {
		if got := shortOfMemory([]byte(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if text := memoryTrouble(); strings.Contains(text, "-") {
		t.Error(text)
	}
}

func TestEdgeLoad(t *testing.T) {
	var requests, sent int64
	open := 0
	l := edgeLoad{busy: func() (int64, int, int64) { return requests, open, sent }}
	now := time.Unix(1000, 0)
	if load := l.read(now); load != (media.Load{}) || l.quiet(now) < time.Hour {
		t.Errorf("%+v before anybody asked", load)
	}
	for range 10 { // 8 Mbit/s
		now, requests, open, sent = now.Add(time.Second), requests+5, 3, sent+1_000_000
		if load := l.read(now); load.Viewers != 3 || load.BitsOut != 8_000_000 || l.quiet(now) != 0 {
			t.Errorf("%+v", load)
		}
	}
	for i := range 6 {
		now, open = now.Add(time.Second), 0
		load := l.read(now)
		if want := int64(max(0, 4-i)) * 1_000_000 * 8 / 5; load.BitsOut != want {
			t.Errorf("%d s after the last: %d bits/s, want %d", i+1, load.BitsOut, want)
		}
	}
	if quiet := l.quiet(now); quiet != 6*time.Second {
		t.Errorf("quiet for %s", quiet)
	}
	for want, of := range map[string][2]int64{
		"": {100, 0}, "sends 120 % of its capacity": {120, 100},
	} {
		if got := over(of[0], of[1]); got != want {
			t.Errorf("%v: %q", of, got)
		}
	}
}

// beatDirectory is an API process's internal port over a registry; while it is away it answers 503.
type beatDirectory struct {
	*httptest.Server
	away  atomic.Bool
	beats atomic.Int64
	rest  http.Handler
}

func newBeatDirectory(t *testing.T, r registry.Registry, db *catalog.DB) *beatDirectory {
	t.Helper()
	server := api.New(api.Config{Tokens: admission.MustFixed(t, "cluster")}, api.Deps{
		Publishers: db, Streams: db, Keys: db, Recordings: db, Tokens: db, Sources: db, Playback: db, Nodes: r.Nodes,
		Replies: db, Register: r.Register, Unregister: r.Unregister, Publish: r.Publish, EventLog: r,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	d := &beatDirectory{rest: server.Public()}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if d.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if strings.Contains(req.URL.Path, "/edges/") {
			d.beats.Add(1)
		}
		server.Internal().ServeHTTP(w, req)
	}))
	t.Cleanup(d.Close)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		d.CloseClientConnections()
	})
	return d
}

func newBeatCatalog(t *testing.T) *catalog.DB {
	t.Helper()
	db, err := catalog.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestBeatsGoToADirectoryThatAnswers has two directories of which one goes away.
func TestBeatsGoToADirectoryThatAnswers(t *testing.T) {
	r := registry.NewMemory(registry.Config{})
	db := newBeatCatalog(t)
	one, two := newBeatDirectory(t, r, db), newBeatDirectory(t, r, db)
	if err := r.Register(t.Context(), media.Node{
		ID: "edge-2", Role: media.RoleEdge, URL: "http://two:1", Edge: &media.Edge{Site: "north", Asks: true},
	}); err != nil {
		t.Fatal(err)
	}
	node, err := (&beatFlags{Node: "edge-1", Site: "north"}).edgeNode(&net.TCPAddr{Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	var orders []media.EdgeOrders
	var log strings.Builder
	b := &edgeBeat{
		directories: []string{one.URL, two.URL}, tokens: admission.MustFixed(t, "cluster"), node: func() media.Node { return node },
		obey:   func(o media.EdgeOrders) { orders = append(orders, o) },
		logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	b.start(prometheus.NewRegistry())
	b.patience = time.Minute // the machine may be busy
	b.client.Transport = admission.MustFixed(t, "cluster").Transport(http.DefaultTransport, b.logger)
	defer b.client.CloseIdleConnections()
	listed := func() bool {
		nodes, err := r.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if n.ID == "edge-1" {
				return true
			}
		}
		return false
	}
	b.beat(t.Context())
	if !listed() || len(orders) != 1 || len(orders[0].Peers.Siblings) != 1 || orders[0].Peers.Siblings[0].ID != "edge-2" {
		t.Fatalf("orders %+v\n%s", orders, &log)
	}
	one.away.Store(true)
	b.beat(t.Context())
	if len(orders) != 2 || two.beats.Load() != 1 {
		t.Fatalf("the other directory was not asked at once: %+v", orders)
	}
	b.beat(t.Context())
	if two.beats.Load() != 2 {
		t.Error("it did not stay with the one that answers")
	}
	two.away.Store(true)
	b.since = time.Now().Add(-time.Minute)
	b.beat(t.Context())
	b.beat(t.Context())
	if len(orders) != 3 || strings.Count(log.String(), "level=WARN") != 1 ||
		!strings.Contains(log.String(), "the last orders hold") {
		t.Errorf("orders %+v\n%s", orders, &log)
	}
	two.away.Store(false)
	b.client.Transport = admission.MustFixed(t, "other").Transport(http.DefaultTransport, b.logger)
	b.worried = false
	b.beat(t.Context())
	if !strings.Contains(log.String(), "--cluster-token of the API") {
		t.Errorf("%s", &log)
	}
	b.client.Transport = admission.MustFixed(t, "cluster").Transport(http.DefaultTransport, b.logger)
	one.away.Store(false)
	b.beat(t.Context())
	if !strings.Contains(log.String(), "lists this edge again") {
		t.Errorf("%s", &log)
	}
	for outcome, want := range map[string]float64{"taken": 4, "refused": 3, "unanswered": 0} {
		if got := testutil.ToFloat64(b.beats.WithLabelValues(outcome)); got != want {
			t.Errorf("%s: %v beats, want %v", outcome, got, want)
		}
	}
	b.leave(t.Context())
	if listed() {
		t.Error("it is listed after it has left")
	}
}

func TestBadOrdersAreRefused(t *testing.T) {
	for body, good := range map[string]bool{
		`{}`: true, `{"peers":{"siblings":[{"id":"a","url":"http://a:1"}]}}`: true,
		`{"peers":{"siblings":[{"id":"a b","url":"http://a:1"}]}}`: false,
		`{"peers":{"shields":[{"id":"a","url":"file:///etc"}]}}`:   false,
		`{"steering":{"url":"javascript:1"}}`:                      false,
		`[]`:                                                       false, `{"drain":`: false,
	} {
		d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		obeyed := false
		b := &edgeBeat{
			directories: []string{d.URL}, node: func() media.Node { return media.Node{ID: "e"} },
			obey:   func(media.EdgeOrders) { obeyed = true },
			logger: slog.New(slog.DiscardHandler),
		}
		b.start(prometheus.NewRegistry())
		b.patience = time.Minute
		b.client.Transport = http.DefaultTransport
		b.beat(t.Context())
		if obeyed != good {
			t.Errorf("%s: obeyed %v", body, obeyed)
		}
		b.client.CloseIdleConnections()
		d.Close()
	}
}

// TestOrderedDrain runs an edge that nobody asks anything: it is listed, drains when it is ordered to, and leaves.
func TestOrderedDrain(t *testing.T) {
	t.Parallel() // it mostly waits
	r := registry.NewMemory(registry.Config{})
	db := newBeatCatalog(t)
	d := newBeatDirectory(t, r, db)
	if _, err := db.AddToken(t.Context(), "test", adminTokenOfTest); err != nil {
		t.Fatal(err)
	}
	c := edgeCommand{
		HTTP: "127.0.0.1:0", Directory: []string{d.URL}, tokenFlags: tokenFlags{ClusterToken: "cluster"}, DrainTimeout: time.Minute,
		beatFlags:  beatFlags{Node: "edge-1", PublicURL: "http://127.0.0.1:1"},
		edgeFlags:  edgeFlags{CacheSize: 32 << 20, FastLane: true},
		adminFlags: adminFlags{Admin: "127.0.0.1:0"},
	}
	c.Archive = archiveURL{dir: t.TempDir()}
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(runContext{Context: t.Context(), stdout: io.Discard, stderr: io.Discard, logger: slog.New(slog.DiscardHandler)})
	}()
	ask := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(method, path, http.NoBody)
		req.Header.Set("Authorization", "Bearer "+adminTokenOfTest)
		d.rest.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	await := func(what string, there func(text string) bool) {
		t.Helper()
		deadline := time.After(2 * time.Minute)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, text := ask("GET", "/v1/nodes"); there(text) {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				_, text := ask("GET", "/v1/nodes")
				t.Fatalf("never %s: %s", what, text)
			}
		}
	}
	await("ready", func(text string) bool { return strings.Contains(text, `"ready":true`) })
	if code, text := ask("POST", "/v1/nodes/edge-1/drain"); code != http.StatusAccepted {
		t.Fatalf("%d %s", code, text)
	}
	await("gone", func(text string) bool { return !strings.Contains(text, "edge-1") })
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

const adminTokenOfTest = "test-token-of-enough-length"

// TestDrainWaitsForViewers has a drain wait for those who ask, and no longer.
func TestDrainWaitsForViewers(t *testing.T) {
	for name, c := range map[string]struct {
		most  time.Duration
		asks  time.Duration // for how long somebody asks, every second
		least time.Duration
		limit time.Duration
	}{
		"nobody":               {30 * time.Second, 0, 0, time.Second},
		"until they leave":     {30 * time.Second, 6 * time.Second, 13 * time.Second, 15 * time.Second},
		"those who do not":     {30 * time.Second, time.Hour, 30 * time.Second, 31 * time.Second},
		"at once if told so":   {0, time.Hour, 0, time.Second},
		"while one is waiting": {20 * time.Second, -1, 20 * time.Second, 21 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				n := &node{logger: slog.New(slog.DiscardHandler), services: newServices(slog.New(slog.DiscardHandler))}
				busy := func() (int64, int, int64) {
					if c.asks < 0 {
						return 1, 1, 0
					}
					return int64(min(time.Since(begun), c.asks) / time.Second), 0, 0
				}
				r := &edgeRole{n: n, busy: busy, wake: make(chan struct{}, 1)}
				r.asked.Store(begun.Add(-time.Minute).UnixNano())
				if c.asks != 0 {
					r.asked.Store(begun.UnixNano())
				}
				n.ready.Store(true)
				if err := r.drain(c.most); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took < c.least || took > c.limit {
					t.Errorf("took %s, want %s to %s", took, c.least, c.limit)
				}
				if r.up(); n.ready.Load() {
					t.Error("it is ready again")
				}
			})
		})
	}
	n := &node{logger: slog.New(slog.DiscardHandler), services: newServices(slog.New(slog.DiscardHandler))}
	n.services.failed <- fmt.Errorf("broken: %w", io.EOF)
	r := &edgeRole{n: n, busy: func() (int64, int, int64) { return 1, 1, 0 }, wake: make(chan struct{}, 1)}
	if err := r.drain(time.Minute); err == nil {
		t.Error("a service that failed did not end it")
	}
}
