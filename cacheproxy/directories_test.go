package cacheproxy

import (
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// inTwo runs a test over an edge with two directories; home is the one that the edge has chosen.
func inTwo(t *testing.T, name string, f func(t *testing.T, w *world, home, other *directory)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{Directories: []string{"http://dir", "http://dir2/"}})
			w.a.set(fixed("from a", "no-store"))
			other := newDirectory("http://a")
			w.net.set("dir2", other)
			home := w.directory
			if w.locator.dirs.bases[0] != "http://dir" {
				home, other = other, home
			}
			f(t, w, home, other)
		})
	})
}

func TestDirectories(t *testing.T) {
	// look makes a lookup that no answer is known for: a second on, nothing is fresh any more.
	look := func(t *testing.T, w *world, n int) time.Duration {
		t.Helper()
		began := time.Now()
		wantStatus(t, w.get(t, segment(n)), http.StatusOK)
		return time.Since(began)
	}
	cutOff := func(d *directory, status int) { d.change(func(d *directory) { d.status = status }) }
	inTwo(t, "the home is asked alone while it answers", func(t *testing.T, w *world, home, other *directory) {
		for i := range 50 {
			look(t, w, 1+i)
			time.Sleep(locateLiveTTL)
		}
		if home.total() != 50 || other.total() != 0 {
			t.Errorf("home %d, other %d", home.total(), other.total())
		}
	})
	inTwo(t, "the next answers for one that rests", func(t *testing.T, w *world, home, other *directory) {
		cutOff(home, http.StatusServiceUnavailable)
		if d := look(t, w, 1); d != 0 {
			t.Errorf("took %s", d)
		}
		for i := range 4 {
			time.Sleep(locateLiveTTL)
			look(t, w, 2+i)
		}
		if home.total() != 1 || other.total() != 5 {
			t.Errorf("home %d, other %d", home.total(), other.total())
		}
		time.Sleep(directoryRest)
		look(t, w, 100)
		if home.total() != 2 || other.total() != 6 {
			t.Errorf("after its rest: home %d, other %d", home.total(), other.total())
		}
		cutOff(home, http.StatusOK)
		time.Sleep(directoryRest)
		look(t, w, 101)
		time.Sleep(locateLiveTTL)
		look(t, w, 102)
		if home.total() != 4 || other.total() != 6 {
			t.Errorf("after its return: home %d, other %d", home.total(), other.total())
		}
	})
	inTwo(t, "one that hangs costs a moment, and once", func(t *testing.T, w *world, home, other *directory) {
		home.change(func(d *directory) { d.hang = true })
		if d := look(t, w, 1); d != directoryHedge {
			t.Errorf("took %s", d)
		}
		time.Sleep(locateLiveTTL)
		if d := look(t, w, 2); d != 0 {
			t.Errorf("then took %s", d)
		}
		if home.total() != 1 || other.total() != 2 {
			t.Errorf("home %d, other %d", home.total(), other.total())
		}
	})
	inTwo(t, "rubbish is no answer", func(t *testing.T, w *world, home, _ *directory) {
		home.change(func(d *directory) { d.location.Stream = "another" })
		look(t, w, 1)
	})
	inTwo(t, "not found is an answer", func(t *testing.T, w *world, home, other *directory) {
		cutOff(home, http.StatusNotFound)
		wantStatus(t, w.get(t, segment(1)), http.StatusNotFound)
		if other.total() != 0 {
			t.Errorf("other %d", other.total())
		}
	})
	inTwo(t, "old answers stand while all are away", func(t *testing.T, w *world, home, other *directory) {
		look(t, w, 1)
		cutOff(home, http.StatusServiceUnavailable)
		cutOff(other, http.StatusServiceUnavailable)
		for i := range 10 {
			time.Sleep(time.Minute)
			look(t, w, 2+i)
		}
		if home.total() != 11 || other.total() != 10 {
			t.Errorf("home %d, other %d", home.total(), other.total())
		}
	})
	inTwo(t, "all that hang take no longer than one", func(t *testing.T, w *world, home, other *directory) {
		for _, d := range []*directory{home, other} {
			d.change(func(d *directory) { d.hang = true })
		}
		began := time.Now()
		wantStatus(t, w.get(t, segment(1)), http.StatusServiceUnavailable)
		if d := time.Since(began); d > 2*(locateTimeout+2*locateSpacing) {
			t.Errorf("took %s", d)
		}
	})
}

func TestEdgesSpreadOverDirectories(t *testing.T) {
	bases := []string{"http://a", "http://b", "http://c"}
	homes := map[string]int{}
	for range 300 {
		homes[newDirectories(bases, slog.New(slog.DiscardHandler)).bases[0]]++
	}
	if len(homes) != 3 || !slices.Equal(bases, []string{"http://a", "http://b", "http://c"}) {
		t.Errorf("homes %v of %v", homes, bases)
	}
}

func TestNoDirectories(t *testing.T) {
	archive := &node{}
	archive.set(fixed("from archive", "no-store"))
	w := &world{Proxy: New(Config{}, map[string]http.Handler{"": archive},
		slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())}
	w.setPolicies(media.PlaybackPolicies{Version: 1}) // everything is public
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	wantStatus(t, w.get(t, segment(1)), http.StatusOK)
}

func TestGuesses(t *testing.T) {
	guessed := func(t *testing.T, name string, f func(t *testing.T, w *world)) {
		inWorld(t, name, func(t *testing.T, w *world) {
			w.directory.change(func(d *directory) {
				d.location.Guess, d.location.Archived, d.location.State = true, true, ""
			})
			w.a.set(nil)
			w.b.set(nil)
			f(t, w)
		})
	}
	guessed(t, "a later node has it", func(t *testing.T, w *world) {
		w.b.set(fixed("from b", "no-store"))
		if rec := w.get(t, segment(1)); rec.Body.String() != "from b" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
	guessed(t, "the archive has it", func(t *testing.T, w *world) {
		w.archive.set(fixed("from archive", "no-store"))
		if rec := w.get(t, segment(1)); rec.Body.String() != "from archive" || w.a.total() != 1 || w.b.total() != 1 {
			t.Errorf("%d %s, a %d, b %d", rec.Code, rec.Body, w.a.total(), w.b.total())
		}
	})
	guessed(t, "a node that is down is passed over", func(t *testing.T, w *world) {
		w.net.set("a", nil)
		w.archive.set(fixed("from archive", "no-store"))
		if rec := w.get(t, segment(1)); rec.Body.String() != "from archive" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
	guessed(t, "nobody has it: nothing is denied, and no cache keeps that", func(t *testing.T, w *world) {
		for _, uri := range []string{segment(1), eventPath} {
			rec := w.get(t, uri)
			wantStatus(t, rec, http.StatusServiceUnavailable)
			if rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%v", rec.Header())
			}
		}
		w.b.set(fixed("from b", "no-store"))
		wantStatus(t, w.get(t, segment(1)), http.StatusOK)
	})
	guessed(t, "who knows is back meanwhile: its word counts", func(t *testing.T, w *world) {
		w.archive.set(func(rw http.ResponseWriter, r *http.Request) {
			w.directory.change(func(d *directory) { d.status = http.StatusNotFound })
			http.NotFound(rw, r)
		})
		wantStatus(t, w.get(t, segment(1)), http.StatusNotFound)
	})
	guessed(t, "is asked about again soon", func(t *testing.T, w *world) {
		w.b.set(fixed("from b", "no-store"))
		w.get(t, segment(1))
		time.Sleep(locateGuessTTL)
		w.get(t, segment(2))
		if n := w.directory.of(locateRec); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
	guessed(t, "come after what was known", func(t *testing.T, w *world) {
		w.a.set(fixed("from a", "no-store"))
		w.b.set(fixed("from b", "no-store"))
		w.directory.change(func(d *directory) {
			d.location = media.Location{Recording: testRec, State: media.Ended, Nodes: []string{"http://b"}}
		})
		w.get(t, segment(1))
		time.Sleep(time.Hour / 2)
		w.directory.change(func(d *directory) {
			d.location = media.Location{Recording: testRec, Nodes: []string{"http://a", "http://b"}, Archived: true, Guess: true}
		})
		if rec := w.get(t, segment(2)); rec.Body.String() != "from b" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		w.b.set(nil)
		if rec := w.get(t, segment(3)); rec.Body.String() != "from a" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
	guessed(t, "do not bring back what was deleted", func(t *testing.T, w *world) {
		w.a.set(fixed("from a", "no-store"))
		w.directory.change(func(d *directory) { d.status = http.StatusGone })
		wantStatus(t, w.get(t, segment(1)), http.StatusGone)
		time.Sleep(locateGoneTTL)
		w.directory.change(func(d *directory) { d.status = http.StatusOK })
		wantStatus(t, w.get(t, segment(2)), http.StatusGone)
	})
	guessed(t, "about a stream are refused", func(t *testing.T, w *world) {
		wantStatus(t, w.get(t, streamBase+"/index.m3u8"), http.StatusServiceUnavailable)
	})
}
