package cacheproxy

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	locateStream = "/internal/v1/locate/acme/show"
	locateRec    = locateStream + "/" + testRec
)

// segment gives the path of a segment that no one asked for before, so that it takes an upstream.
func segment(n int) string { return fmt.Sprintf("%s/1/video/%d.m4s", recBase, n) }

func inWorld(t *testing.T, name string, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.a.set(fixed("from a", "no-store"))
			w.b.set(fixed("from b", "no-store"))
			f(t, w)
		})
	})
}

func TestLocations(t *testing.T) {
	inWorld(t, "are shared and kept a short time while live", func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { w.get(t, segment(1+i)) })
		}
		wg.Wait()
		if n := w.directory.of(locateRec); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(locateLiveTTL)
		w.get(t, segment(1))
		if n := w.directory.of(locateRec); n != 2 {
			t.Errorf("asked %d times after the TTL", n)
		}
	})
	inWorld(t, "of archived ones are kept for three seconds", func(t *testing.T, w *world) {
		w.directory.location.Archived, w.directory.location.State = true, media.Archived
		w.get(t, segment(1))
		time.Sleep(unsureTTL - time.Millisecond)
		w.get(t, segment(2))
		if n := w.directory.of(locateRec); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(time.Millisecond)
		w.get(t, segment(3))
		if n := w.directory.of(locateRec); n != 2 {
			t.Errorf("asked %d times after that", n)
		}
	})
	inWorld(t, "of archived ones are kept longer while the directory tells of changes", func(t *testing.T, w *world) {
		w.setTrust(true, false)
		w.directory.location.Archived, w.directory.location.State = true, media.Archived
		w.get(t, segment(1))
		time.Sleep(locateEndedTTL - time.Second)
		w.get(t, segment(2))
		if n := w.directory.of(locateRec); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	inWorld(t, "that are unknown are kept for a second", func(t *testing.T, w *world) {
		w.directory.status = http.StatusNotFound
		for range 5 {
			wantStatus(t, w.get(t, livePath), http.StatusNotFound)
		}
		if n := w.directory.of(locateRec); n != 1 || w.a.total() != 0 {
			t.Errorf("asked %d times, node %d", n, w.a.total())
		}
		time.Sleep(locateUnknownTTL)
		w.directory.change(func(d *directory) { d.status = http.StatusOK })
		wantStatus(t, w.get(t, livePath), http.StatusOK)
	})
	inWorld(t, "that are deleted are remembered", func(t *testing.T, w *world) {
		w.directory.status = http.StatusGone
		wantStatus(t, w.get(t, segment(1)), http.StatusGone)
		time.Sleep(locateGoneTTL - time.Second)
		wantStatus(t, w.get(t, segment(2)), http.StatusGone)
		if n := w.directory.of(locateRec); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	inWorld(t, "of the stream's own URL name its recording", func(t *testing.T, w *world) {
		wantStatus(t, w.get(t, streamBase+"/index.m3u8"), http.StatusOK)
		if n := w.directory.of(locateStream); n != 1 {
			t.Errorf("asked %d times", n)
		}
		id, err := w.Latest(t.Context(), media.StreamPath{Publisher: "acme", Stream: "show"})
		if id != testRec || err != nil {
			t.Errorf("Latest: %s, %v", id, err)
		}
	})
	inWorld(t, "that make no sense are refused", func(t *testing.T, w *world) {
		for _, spoil := range []func(l *media.Location){
			func(l *media.Location) { l.Recording = "01kabcdefghjkmnpqrstvwxyz1" },
			func(l *media.Location) { l.Stream = "other" },
			func(l *media.Location) { l.Nodes = []string{"file:///etc"} },
			func(l *media.Location) { l.Nodes = []string{"http://a?x=y"} },
			func(l *media.Location) { l.Nodes = make([]string, maxNodes+1) },
		} {
			w.directory.change(func(d *directory) {
				d.location = newDirectory("http://a").location
				spoil(&d.location)
			})
			wantStatus(t, w.get(t, segment(1)), http.StatusServiceUnavailable)
			time.Sleep(locateRetry)
		}
	})
}

func TestUpstreamsAreTriedInOrder(t *testing.T) {
	body := func(t *testing.T, w *world, uri string) string {
		t.Helper()
		rec := w.get(t, uri)
		wantStatus(t, rec, http.StatusOK)
		return rec.Body.String()
	}
	inWorld(t, "the first node first", func(t *testing.T, w *world) {
		if got := body(t, w, segPath); got != "from a" {
			t.Error(got)
		}
	})
	inWorld(t, "the next when it can't be reached, and then that one first for a while", func(t *testing.T, w *world) {
		w.net.set("a", nil)
		if got := body(t, w, segPath); got != "from b" {
			t.Error(got)
		}
		w.net.set("a", w.a)
		if got := body(t, w, segment(2)); got != "from b" {
			t.Error(got)
		}
		time.Sleep(restTime)
		if got := body(t, w, segment(3)); got != "from a" {
			t.Error(got)
		}
	})
	inWorld(t, "the archive when all nodes fail", func(t *testing.T, w *world) {
		w.directory.location.Archived = true
		w.archive.set(fixed("from archive", "no-store"))
		w.net.set("a", nil)
		w.b.set(failing(http.StatusInternalServerError))
		if got := body(t, w, segPath); got != "from archive" {
			t.Error(got)
		}
	})
	inWorld(t, "a 404 asks the directory again and goes where it says", func(t *testing.T, w *world) {
		body(t, w, segPath)
		w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://b", "http://a"} })
		w.a.set(nil)
		if got := body(t, w, segment(2)); got != "from b" {
			t.Error(got)
		}
	})
	inWorld(t, "a node that can't be reached has the directory asked again", func(t *testing.T, w *world) {
		body(t, w, segPath)
		w.net.set("c", func() *node { n := &node{}; n.set(fixed("from c", "no-store")); return n }())
		w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://c"} })
		w.net.set("a", nil)
		w.net.set("b", nil)
		if got := body(t, w, segment(2)); got != "from c" {
			t.Error(got)
		}
	})
	inWorld(t, "a 404 stands if the directory knows no better, and is asked for no part twice", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusNotFound, "Cache-Control", "no-store"))
		wantStatus(t, w.get(t, segPath), http.StatusNotFound)
		if w.a.total() != 1 || w.b.total() != 0 || w.archive.total() != 0 {
			t.Errorf("a %d, b %d, archive %d", w.a.total(), w.b.total(), w.archive.total())
		}
	})
	inWorld(t, "many 404s ask the directory a few times only", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusNotFound, "Cache-Control", "no-store"))
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { w.get(t, segment(1+i)) })
		}
		wg.Wait()
		if n := w.directory.total(); n > 3 {
			t.Errorf("asked %d times in %s", n, time.Since(began))
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("took %s", d)
		}
	})
	inWorld(t, "a node that hangs is left once the recording is another's", func(t *testing.T, w *world) {
		body(t, w, segPath)
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		w.a.set(hang)
		began := time.Now()
		time.AfterFunc(300*time.Millisecond, func() {
			w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://b", "http://a"} })
		})
		if got := body(t, w, segment(2)); got != "from b" {
			t.Error(got)
		}
		if took := time.Since(began); took > 2*moveLook {
			t.Errorf("took %s", took)
		}
		// One that hangs and is still the owner is waited for.
		w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://a"} })
		w.b.set(hang)
		time.Sleep(restTime)
		began = time.Now()
		wantStatus(t, w.get(t, segment(3)), http.StatusGatewayTimeout)
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("an owner that hangs was left after %s", took)
		}
	})
	inWorld(t, "a node that gave the stream up is left for the next", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusMisdirectedRequest, "Cache-Control", "no-store"))
		if got := body(t, w, segPath); got != "from b" {
			t.Error(got)
		}
	})
	inWorld(t, "a node that gave the stream up has the directory asked again", func(t *testing.T, w *world) {
		body(t, w, segPath)
		w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://c"} })
		w.net.set("c", func() *node { n := &node{}; n.set(fixed("from c", "no-store")); return n }())
		w.a.set(failing(http.StatusMisdirectedRequest, "Cache-Control", "no-store"))
		w.b.set(failing(http.StatusMisdirectedRequest, "Cache-Control", "no-store"))
		if got := body(t, w, segment(2)); got != "from c" {
			t.Error(got)
		}
	})
	inWorld(t, "all nodes gave the stream up", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusMisdirectedRequest, "Cache-Control", "no-store"))
		w.b.set(failing(http.StatusMisdirectedRequest, "Cache-Control", "no-store"))
		wantStatus(t, w.get(t, segPath), http.StatusServiceUnavailable)
	})
	inWorld(t, "deleted meanwhile", func(t *testing.T, w *world) {
		body(t, w, segPath)
		w.a.set(failing(http.StatusGone))
		w.directory.change(func(d *directory) { d.status = http.StatusGone })
		wantStatus(t, w.get(t, segment(2)), http.StatusGone)
	})
	inWorld(t, "none", func(t *testing.T, w *world) {
		w.directory.location.Nodes = nil
		wantStatus(t, w.get(t, segPath), http.StatusServiceUnavailable)
	})
}

func TestTheDirectoryIsAway(t *testing.T) {
	inWorld(t, "old answers stand", func(t *testing.T, w *world) {
		w.get(t, segment(1))
		w.net.set("dir", nil)
		for i := range 100 {
			time.Sleep(time.Minute)
			wantStatus(t, w.get(t, segment(2+i)), http.StatusOK)
		}
		w.net.set("dir", w.directory)
		time.Sleep(locateRetry)
		w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://b"} })
		if rec := w.get(t, segment(200)); rec.Body.String() != "from b" {
			t.Errorf("after its return: %q", rec.Body)
		}
	})
	inWorld(t, "hanging, it delays by its patience and once a second", func(t *testing.T, w *world) {
		w.get(t, segment(1))
		w.directory.change(func(d *directory) { d.hang = true })
		time.Sleep(time.Minute)
		began := time.Now()
		wantStatus(t, w.get(t, segment(2)), http.StatusOK)
		if d := time.Since(began); d != locatePatience {
			t.Errorf("took %s", d)
		}
	})
	inWorld(t, "nothing known: the archive is asked", func(t *testing.T, w *world) {
		w.net.set("dir", nil)
		w.archive.set(fixed("from archive", "no-store"))
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		w.archive.set(nil)
		rec := w.get(t, segment(2))
		wantStatus(t, rec, http.StatusServiceUnavailable)
		if rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v", rec.Header())
		}
		wantStatus(t, w.get(t, streamBase+"/index.m3u8"), http.StatusServiceUnavailable)
		_, err := w.Latest(t.Context(), media.StreamPath{Publisher: "acme", Stream: "show"})
		if !errors.Is(err, media.ErrUnavailable) {
			t.Error(err)
		}
	})
	inWorld(t, "and the recording has left its nodes: the archive is asked", func(t *testing.T, w *world) {
		w.directory.location.State = media.Ended
		w.get(t, segment(1))
		w.net.set("dir", nil)
		w.a.set(nil)
		w.archive.set(fixed("from archive", "no-store"))
		if rec := w.get(t, segment(2)); rec.Body.String() != "from archive" {
			t.Errorf("%d %q", rec.Code, rec.Body)
		}
	})
}
