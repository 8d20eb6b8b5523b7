package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// eventDirectory is an API process's directory service over a registry and a catalog.
type eventDirectory struct {
	url     string
	stop    func()
	streams atomic.Int64
}

func newEventDirectory(t *testing.T, r registry.Registry, db *catalog.DB, node string) *eventDirectory {
	t.Helper()
	server := api.New(api.Config{}, api.Deps{
		Publishers: db, Streams: db, Keys: db, Recordings: db, Tokens: db, Sources: db, EventLog: r, Playback: db,
		Nodes: func(context.Context) ([]media.Node, error) {
			return []media.Node{{ID: "node", Role: media.RoleIngest, Cluster: media.DefaultCluster, URL: node}}, nil
		},
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	d := &eventDirectory{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/internal/v1/events" {
			d.streams.Add(1)
		}
		server.Internal().ServeHTTP(w, req)
	}))
	d.url = front.URL
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		front.CloseClientConnections()
		front.Close()
	})
	t.Cleanup(d.stop)
	return d
}

// TestEdgeFollowsTheDirectory has an edge follow real directories: of what one says it hears at once, also when it has
// gone on to the next.
func TestEdgeFollowsTheDirectory(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	db, err := catalog.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "catalog.db"), logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r := registry.NewMemory(registry.Config{})
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	if err := db.CreatePublisher(t.Context(), media.Publisher{Name: path.Publisher}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateStream(t.Context(), path, media.SettingsPatch{}); err != nil {
		t.Fatal(err)
	}
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write([]byte("media"))
	}))
	t.Cleanup(node.Close)
	one, two := newEventDirectory(t, r, db, node.URL), newEventDirectory(t, r, db, node.URL)
	metrics := prometheus.NewRegistry()
	edge := cacheproxy.New(cacheproxy.Config{Directories: []string{one.url, two.url}}, nil, logger, metrics)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- edge.Follow(ctx) }()
	go func() { done <- edge.FollowPlayback(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
		if err := edge.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := edge.AwaitPlayback(t.Context()); err != nil {
		t.Fatal(err)
	}
	gauge := func(name string) float64 {
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				if m := f.GetMetric()[0]; m.GetGauge() != nil {
					return m.GetGauge().GetValue()
				}
				return f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return -1
	}
	sure := func() bool { return gauge("oxbow_cacheproxy_events_sure") == 1 }
	status := func(id media.RecordingID) int {
		rec := httptest.NewRecorder()
		edge.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/acme/show/"+string(id)+"/1/video/1.m4s", nil))
		return rec.Code
	}
	recorded := func(id media.RecordingID) {
		t.Helper()
		err := db.SaveRecording(t.Context(), media.Recording{
			ID: id, Path: path, State: media.Ended, StartedAt: time.Now(), EndedAt: time.Now(), Local: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(id media.RecordingID) {
		t.Helper()
		if _, err := db.RequestDelete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		err := r.Publish(t.Context(), media.Event{
			Type: media.EventDeleted, Publisher: "acme", Stream: "show", Recording: id,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		if i > 0 { // the one that it follows stops
			if one.streams.Load() > 0 {
				one.stop()
			} else {
				two.stop()
			}
			soon(t, "the edge follows the other", func() bool { return one.streams.Load() > 0 && two.streams.Load() > 0 })
		}
		soon(t, "the edge is sure", sure)
		id := media.RecordingID("01kabcdefghjkmnpqrstvwxyz" + string(rune('0'+i)))
		recorded(id)
		if got := status(id); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
		began := time.Now()
		remove(id)
		soon(t, "it is 410", func() bool { return status(id) == http.StatusGone })
		if took := time.Since(began); took > 25*time.Second { // after 30 s it would ask by itself
			t.Errorf("took %s", took)
		}
	}
	if n := gauge("oxbow_cacheproxy_event_resets_total"); n != 1 {
		t.Errorf("%v resets: the second directory did not resume the stream", n)
	}
}

// soon waits for what other goroutines bring about.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}
