package cacheproxy

import (
	"net/http"
	"testing"
	"time"
)

// hangs takes requests and never answers, as a process that was stopped.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestARequestFollowsTheRecordingToItsNextOwner(t *testing.T) {
	const waits = livePath + "?_HLS_msn=9&_HLS_part=1"
	moves := func(w *world, after time.Duration, nodes ...string) {
		time.AfterFunc(after, func() {
			w.directory.change(func(d *directory) { d.location.Nodes = nodes })
		})
	}
	get := func(t *testing.T, w *world, uri, want string, within time.Duration) {
		t.Helper()
		begun := time.Now()
		rec := w.get(t, uri)
		wantStatus(t, rec, http.StatusOK)
		if got := rec.Body.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if took := time.Since(begun); took > within {
			t.Errorf("answered after %v, want %v at most", took, within)
		}
	}
	inWorld(t, "from an owner that hangs", func(t *testing.T, w *world) {
		w.a.set(hangs)
		moves(w, 2500*time.Millisecond, "http://b", "http://a")
		get(t, w, waits, "from b", 2500*time.Millisecond+moveLook)
		get(t, w, segPath, "from b", 0) // and the next asks it at once
	})
	inWorld(t, "from another node, which waits in vain", func(t *testing.T, w *world) {
		w.net.set("a", nil)
		w.b.set(hangs)
		c := &node{}
		c.set(fixed("from c", "no-store"))
		w.net.set("c", c)
		moves(w, 1200*time.Millisecond, "http://c", "http://b")
		get(t, w, waits, "from c", 1200*time.Millisecond+moveLook)
	})
	inWorld(t, "back to one that was asked before", func(t *testing.T, w *world) {
		w.a.set(hangs)
		moves(w, 500*time.Millisecond, "http://b")
		w.b.set(func(rw http.ResponseWriter, r *http.Request) {
			w.a.set(fixed("from a", "no-store"))
			moves(w, 0, "http://a")
			hangs(rw, r)
		})
		get(t, w, waits, "from a", 4*moveLook)
	})
	inWorld(t, "not from one that becomes the owner meanwhile", func(t *testing.T, w *world) {
		w.net.set("a", nil)
		w.b.set(func(rw http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			fixed("from b", "no-store")(rw, nil)
		})
		moves(w, time.Second, "http://b")
		get(t, w, waits, "from b", 3*time.Second)
		if n := w.b.total(); n != 1 {
			t.Errorf("b was asked %d times", n)
		}
	})
	inWorld(t, "not when its recording has ended", func(t *testing.T, w *world) {
		w.directory.location.State = "ended"
		w.a.set(hangs)
		moves(w, 500*time.Millisecond, "http://b")
		get(t, w, segPath, "from b", w.config.FetchTimeout)
		if n := w.directory.total(); n > 2 {
			t.Errorf("the directory was asked %d times", n)
		}
	})
}
