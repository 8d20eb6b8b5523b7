package cacheproxy

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/media"
)

// diskWorld is an edge with a disk cache, which can be started again.
type diskWorld struct {
	*world
	store   *diskcache.Store
	metrics *prometheus.Registry
}

// newDiskWorld starts an edge with the cache in the directory; stop ends both.
func newDiskWorld(t *testing.T, dir string) (w *diskWorld, stop func()) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	store, err := diskcache.Open(diskcache.Config{Dir: dir, Bytes: 64 << 20}, slog.New(slog.DiscardHandler), registry)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &diskWorld{world: newWorld(t, Config{Disk: store}), store: store, metrics: registry}, stop
}

// count gives a counter of the disk cache.
func (w *diskWorld) count(t *testing.T, name string) int {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "oxbow_diskcache_"+name {
			m := f.GetMetric()[0]
			return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// written waits until that many entries were written.
func (w *diskWorld) written(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " entries are on disk"), func() bool { return w.count(t, "writes_total") == n })
}

func TestDiskHasWhatWasAskedForTwiceAfterARestart(t *testing.T) {
	dir := t.TempDir()
	body := string(bodyOf(segPath, 700_000))
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed(body, immutable+", stale-if-error=9", "Etag", `"tag"`, "Age", "100", "X-Own", "yes",
		"Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT", "Cache-Status", "origin; hit"))
	first := w.get(t, segPath)
	if w.count(t, "queue_bytes")+w.count(t, "entries") != 0 {
		t.Error("what was asked for once is written")
	}
	wantStatus(t, w.get(t, segPath), http.StatusOK)
	w.written(t, 1)
	wantStatus(t, w.get(t, segPath), http.StatusOK)
	stop()

	w, _ = newDiskWorld(t, dir)
	w.a.set(failing(http.StatusServiceUnavailable))
	rec := w.get(t, segPath)
	wantStatus(t, rec, http.StatusOK)
	wantCacheStatus(t, rec, "origin; hit, oxbow; hit; detail=disk")
	if rec.Body.String() != body {
		t.Error("another body")
	}
	for name := range first.Header() {
		if name != "Cache-Status" && name != "Age" && first.Header().Get(name) != rec.Header().Get(name) {
			t.Errorf("%s: %q, was %q", name, rec.Header().Get(name), first.Header().Get(name))
		}
	}
	if age, _ := strconv.Atoi(rec.Header().Get("Age")); age < 100 || age > 120 {
		t.Errorf("Age %d", age)
	}
	rec = w.get(t, segPath)
	wantCacheStatus(t, rec, "origin; hit, oxbow; hit")
	if rec.Header().Get("Cache-Status") != "origin; hit, oxbow; hit" {
		t.Errorf("Cache-Status %q of what is in memory", rec.Header().Get("Cache-Status"))
	}
	wantStatus(t, w.get(t, segPath, "Range", "bytes=300000-300009"), http.StatusPartialContent)
	wantStatus(t, w.get(t, segPath, "If-None-Match", `"tag"`), http.StatusNotModified)
	if n := w.a.total(); n != 0 || w.count(t, "hits_total") != 1 {
		t.Errorf("%d requests to upstream, %d reads", n, w.count(t, "hits_total"))
	}
}

func TestDeletedWhileTheEdgeWasDownIsGone(t *testing.T) {
	dir := t.TempDir()
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed("body", immutable))
	w.get(t, segPath)
	w.get(t, segPath)
	w.written(t, 1)
	stop()

	w, _ = newDiskWorld(t, dir)
	w.a.set(fixed("body", immutable))
	w.directory.change(func(d *directory) { d.status = http.StatusGone })
	wantStatus(t, w.get(t, segPath), http.StatusGone)
	eventually(t, "it is dropped from disk", func() bool { return !w.store.Has(diskName(segPath)) })
}

func TestDiskIsNotBelievedWhileNobodyTellsOfTheRecording(t *testing.T) {
	dir := t.TempDir()
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed("body", immutable))
	w.get(t, segPath)
	w.get(t, segPath)
	w.written(t, 1)
	stop()
	for name, change := range map[string]func(d *directory){
		"directory is away":      func(d *directory) { d.status = http.StatusServiceUnavailable },
		"directory only guesses": func(d *directory) { d.location.Guess = true },
		"recording is unknown":   func(d *directory) { d.status = http.StatusNotFound },
	} {
		t.Run(name, func(t *testing.T) {
			w, stop := newDiskWorld(t, dir)
			defer stop()
			w.directory.change(change)
			for _, n := range []*node{w.a, w.b, w.archive} { // what was deleted they don't have
				n.set(failing(http.StatusNotFound))
			}
			if rec := w.get(t, segPath); rec.Code == http.StatusOK {
				t.Errorf("status %d: %s", rec.Code, rec.Header().Get("Cache-Status"))
			}
		})
	}
}

func TestDeletionEmptiesTheDisk(t *testing.T) {
	dir := t.TempDir()
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed("body", immutable))
	w.get(t, segPath)
	w.get(t, segPath)
	w.written(t, 1)
	w.apply(media.Event{Type: media.EventDeleted, Publisher: "acme", Stream: "show", Recording: testRec})
	if w.store.Has(diskName(segPath)) {
		t.Error("it is still there")
	}
	stop()
	if w, _ = newDiskWorld(t, dir); w.store.Has(diskName(segPath)) {
		t.Error("it came back with a restart")
	}
}

func TestWhatIsNotWrittenToDisk(t *testing.T) {
	cases := map[string]struct {
		path    string
		handler http.HandlerFunc
	}{
		"a playlist":       {recBase + "/index.m3u8", fixed("#EXTM3U\n", immutable)},
		"a part":           {recBase + "/1/video/7.1.m4s", fixed("part", immutable)},
		"what is private":  {segPath, fixed("body", "private, max-age=3600")},
		"what lives short": {segPath, fixed("body", "public, max-age=59")},
		"an error":         {segPath, failing(http.StatusNotFound, "Cache-Control", immutable)},
		"of no recording":  {streamBase + "/thumbnail.jpg", fixed("picture", "public, max-age=3600")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, stop := newDiskWorld(t, t.TempDir())
			w.a.set(c.handler)
			w.b.set(c.handler)
			w.archive.set(c.handler)
			for range 3 {
				w.get(t, c.path)
			}
			if w.store.Has(diskName(c.path)) {
				t.Error("it is written")
			}
			stop()
		})
	}
	kept := map[string]string{
		"an init":   recBase + "/1/video/init.mp4",
		"subtitles": recBase + "/1/subtitles/7.vtt",
		"a picture": recBase + "/sprite-1.jpg",
		"a segment": segPath,
	}
	for name, path := range kept {
		t.Run(name+" is", func(t *testing.T) {
			w, _ := newDiskWorld(t, t.TempDir())
			w.a.set(fixed("body", "public, max-age=60"))
			w.get(t, path)
			w.get(t, path)
			eventually(t, "it is written", func() bool { return w.store.Has(diskName(path)) })
		})
	}
}

func TestViewersShareOneReadOfTheDisk(t *testing.T) {
	dir := t.TempDir()
	body := string(bodyOf(segPath, 600_000))
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed(body, immutable))
	w.get(t, segPath)
	w.get(t, segPath)
	w.written(t, 1)
	stop()
	w, _ = newDiskWorld(t, dir)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			rec := w.get(t, segPath)
			if rec.Code != http.StatusOK || rec.Body.String() != body {
				t.Error("another body")
			}
		})
	}
	group.Wait()
	if got := w.count(t, "hits_total"); got != 1 {
		t.Errorf("%d reads", got)
	}
}

func TestViewersWhoShareAFetchAreTwo(t *testing.T) {
	w, _ := newDiskWorld(t, t.TempDir())
	release := make(chan struct{})
	w.a.set(func(rw http.ResponseWriter, r *http.Request) {
		<-release
		fixed("body", immutable)(rw, r)
	})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() { w.get(t, segPath) })
	}
	eventually(t, "both wait", func() bool { return w.waiting.Load() == 2 })
	close(release)
	group.Wait()
	w.written(t, 1)
}

func TestDamageOnDiskIsHealedFromUpstream(t *testing.T) {
	dir := t.TempDir()
	body := string(bodyOf(segPath, 300_000))
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed(body, immutable))
	w.get(t, segPath)
	w.get(t, segPath)
	w.written(t, 1)
	stop()
	files, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[200_000] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	w, _ = newDiskWorld(t, dir)
	w.a.set(fixed(body, immutable))
	for range 2 {
		rec := w.get(t, segPath)
		wantStatus(t, rec, http.StatusOK)
		if rec.Body.String() != body {
			t.Fatal("a wrong byte was served")
		}
	}
	if w.a.total() != 1 || w.count(t, "corrupt_entries_total") != 1 {
		t.Errorf("%d requests to upstream, %d damaged entries", w.a.total(), w.count(t, "corrupt_entries_total"))
	}
	w.written(t, 1)
}

func TestWhatIsNotFreshAnyMoreIsAskedForAnew(t *testing.T) {
	for name, received := range map[string]time.Time{
		"old": time.Now().Add(-time.Hour), "of a clock that was wrong": time.Now().Add(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newDiskWorld(t, t.TempDir())
			w.a.set(fixed("new", immutable))
			meta, err := json.Marshal(stored{Kind: kindSegment, Header: http.Header{}, Received: received, Lifetime: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			w.store.Put(diskName(segPath), diskGroup(recBase), meta, [][]byte{[]byte("old")}, nil)
			w.written(t, 1)
			if rec := w.get(t, segPath); rec.Body.String() != "new" {
				t.Errorf("%q is served, %s", rec.Body, rec.Header().Get("Cache-Status"))
			}
		})
	}
}

// TestEvictedFromMemoryIsOnDisk has a memory too small for a recording that is watched again.
func TestEvictedFromMemoryIsOnDisk(t *testing.T) {
	store, err := diskcache.Open(diskcache.Config{Dir: t.TempDir(), Bytes: 64 << 20}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := newWorld(t, Config{Disk: store, MaxBytes: 2 << 20})
	w.a.set(func(rw http.ResponseWriter, r *http.Request) {
		fixed(string(bodyOf(r.URL.Path, 100_000)), immutable)(rw, r)
	})
	path := func(i int) string { return recBase + "/1/video/" + strconv.Itoa(i+1) + ".m4s" }
	for range 2 { // what memory still knows by name only counts as asked for twice
		for i := range 30 {
			w.get(t, path(i))
		}
	}
	kept := 0
	for i := range 30 {
		if store.Has(diskName(path(i))) {
			kept++
		}
	}
	if kept < 20 {
		t.Errorf("%d of 30 are on disk", kept)
	}
}
