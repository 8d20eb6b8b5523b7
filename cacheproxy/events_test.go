package cacheproxy

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// grows has the world's recording be live at node a.
func grows(w *world) {
	w.directory.change(func(d *directory) {
		d.location.Archived, d.location.State, d.location.Nodes = false, media.Live, []string{"http://a", "http://b"}
	})
	w.a.set(fixed("from a", "max-age=60"))
	w.b.set(fixed("from b", "max-age=60"))
}

// TestEventsAreFollowedAtOnce has events change what is answered, and tells how long that took.
func TestEventsAreFollowedAtOnce(t *testing.T) {
	anew := func(w *world) {
		w.directory.change(func(d *directory) { d.location.Nodes = []string{"http://b", "http://a"} })
	}
	following(t, "live: the next request asks the new owner", func(t *testing.T, w *world, s *eventSource) {
		grows(w)
		wantStatus(t, w.get(t, livePath), http.StatusOK)
		wantStatus(t, w.get(t, segment(50)), http.StatusOK)
		anew(w)
		s.say(eventText(11, media.EventLive))
		begun := time.Now()
		if got := w.get(t, segment(51)).Body.String(); got != "from b" || time.Since(begun) > locateSpacing {
			t.Errorf("%q after %s", got, time.Since(begun))
		}
		t.Logf("the new owner was asked after %s", time.Since(begun))
	})
	following(t, "live: a request that is held at the old owner leaves it", func(t *testing.T, w *world, s *eventSource) {
		grows(w)
		w.a.set(hangs)
		answered := make(chan string, 1)
		go func() { answered <- w.get(t, livePath+"?_HLS_msn=9&_HLS_part=1").Body.String() }()
		time.Sleep(300 * time.Millisecond)
		anew(w)
		begun := time.Now()
		s.say(eventText(11, media.EventLive))
		if got := <-answered; got != "from b" || time.Since(begun) > locateSpacing {
			t.Errorf("%q after %s", got, time.Since(begun))
		}
		t.Logf("it was answered by the new owner after %s", time.Since(begun))
		w.watches.mu.Lock()
		defer w.watches.mu.Unlock()
		if n := len(w.watches.timers); n != 0 {
			t.Errorf("%d watches are left", n)
		}
	})
	for _, event := range []string{media.EventEnded, media.EventArchived} {
		following(t, event+": the playlist is asked for again, and media is not", func(
			t *testing.T, w *world, s *eventSource,
		) {
			grows(w)
			for range 2 {
				wantStatus(t, w.get(t, livePath), http.StatusOK)
				wantStatus(t, w.get(t, segment(50)), http.StatusOK)
			}
			s.say(eventText(11, event))
			wantStatus(t, w.get(t, livePath), http.StatusOK)
			wantStatus(t, w.get(t, segment(50)), http.StatusOK)
			if lists, media := w.a.of(livePath), w.a.of(segment(50)); lists != 2 || media != 1 {
				t.Errorf("%d playlists and %d segments were asked for", lists, media)
			}
		})
	}
}

// TestStaleAnswersWhileTheDirectoryIsAway goes through what an edge knows when its directory goes.
func TestStaleAnswersWhileTheDirectoryIsAway(t *testing.T) {
	const away = time.Hour
	fresh := segment(77)
	for name, c := range map[string]struct {
		before func(w *world)
		uri    string
		status int
		body   string
	}{
		"a live recording, at its node":       {grows, fresh, http.StatusOK, "from a"},
		"the stream's own URL":                {grows, "/acme/show/index.m3u8", http.StatusOK, "from a"},
		"a live recording, its owner gone":    {func(w *world) { grows(w); w.net.set("a", nil) }, fresh, http.StatusOK, "from b"},
		"an archived recording":               {func(*world) {}, fresh, http.StatusOK, "from archive"},
		"a deleted one stays deleted":         {func(w *world) { w.directory.change(func(d *directory) { d.status = http.StatusGone }) }, fresh, http.StatusGone, ""},
		"one of which nothing was ever known": {nil, otherRec, http.StatusOK, "from archive"},
		"a stream of which nothing was known": {nil, "/acme/other/index.m3u8", http.StatusServiceUnavailable, ""},
	} {
		following(t, name, func(t *testing.T, w *world, s *eventSource) {
			if c.before != nil {
				c.before(w)
				w.get(t, c.uri+"") // it is known by that
				if c.uri == fresh {
					w.get(t, segment(1))
				}
			}
			w.net.set("dir", nil)
			s.change(func(s *eventSource) { close(s.lines); s.lines = nil })
			w.cache.purge("acme", time.Now())
			if c.status != http.StatusGone {
				time.Sleep(away)
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			rec := w.do(ctx, http.MethodGet, c.uri)
			wantStatus(t, rec, c.status)
			if c.body != "" && rec.Body.String() != c.body {
				t.Errorf("%q, want %q", rec.Body.String(), c.body)
			}
			t.Logf("answered %d after %s", rec.Code, time.Since(begun))
		})
	}
}
