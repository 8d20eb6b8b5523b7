package cacheproxy

import (
	"net/http"
	"sync/atomic"
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

func TestASilentOwnerIsLeftForWhoCanReachIt(t *testing.T) {
	const waits = livePath + "?_HLS_msn=9&_HLS_part=1"
	inWorld(t, "when it answers nothing", func(t *testing.T, w *world) {
		w.a.checks.Store(true)
		w.a.set(hangs)
		begun := time.Now()
		rec := w.get(t, waits)
		wantStatus(t, rec, http.StatusOK)
		if took := time.Since(begun); rec.Body.String() != "from b" || took > moveLook+time.Second {
			t.Errorf("%q after %v", rec.Body, took)
		}
		begun = time.Now()
		rec = w.get(t, segPath)
		if took := time.Since(begun); rec.Body.String() != "from b" || took > 0 {
			t.Errorf("the next request: %q after %v", rec.Body, took)
		}
	})
	inWorld(t, "and not when it has nothing to tell yet", func(t *testing.T, w *world) {
		var checks atomic.Int64
		w.a.checks.Store(true)
		w.a.set(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == checkPath {
				checks.Add(1)
			} else {
				time.Sleep(20 * time.Second)
			}
			fixed("from a", "no-store")(rw, r)
		})
		begun := time.Now()
		rec := w.get(t, waits)
		wantStatus(t, rec, http.StatusOK)
		if took := time.Since(begun); rec.Body.String() != "from a" || took != 20*time.Second {
			t.Errorf("%q after %v", rec.Body, took)
		}
		if n := checks.Load(); n > 21 {
			t.Errorf("%d checks", n)
		}
	})
}
