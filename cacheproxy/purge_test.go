package cacheproxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// otherRec is another recording of the stream, and otherStream of the publisher.
const (
	otherRec    = "/acme/show/01j00000000000000000000001/1/video/1.m4s"
	otherStream = "/acme/other/01j00000000000000000000002/1/video/1.m4s"
	stranger    = "/umbrella/show/01j00000000000000000000003/1/video/1.m4s"
)

func TestPurgeScopes(t *testing.T) {
	var p Purges
	if !p.Since(segPath).IsZero() {
		t.Error("something was purged")
	}
	at := time.Unix(1000, 0)
	for i, scope := range []string{"acme", "acme/show", "acme/show/" + testRec} {
		if !p.note(scope, at.Add(time.Duration(i)*time.Second)) || p.note(scope, at) {
			t.Errorf("%s: noted twice, or not", scope)
		}
	}
	for path, want := range map[string]time.Duration{
		segPath: 2, strings.TrimPrefix(segPath, "/"): 2, otherRec: 1, "/acme/show/index.m3u8": 1, otherStream: 0, "/acme": 0,
	} {
		if got := p.Since(path); !got.Equal(at.Add(want * time.Second)) {
			t.Errorf("%s: %s", path, got)
		}
	}
	for _, path := range []string{stranger, "/acme2/show/x", "", "/"} {
		if got := p.Since(path); !got.IsZero() {
			t.Errorf("%s: %s", path, got)
		}
	}
	for i := range maxPurges { // rather all is purged than what was purged is forgotten
		p.note(fmt.Sprint("p", i), at)
	}
	if got := p.Since(stranger); !got.Equal(at.Add(2 * time.Second)) {
		t.Errorf("beyond the bound: %s", got)
	}
	for scope, is := range map[string]bool{"acme": true, "acme/show": true, "acm": false, "acme/sho": false, "x": false} {
		if covers(scope, segPath) != is {
			t.Errorf("%s covers %s: %v", scope, segPath, !is)
		}
	}
}

func TestPurgeForgetsWhatItCovers(t *testing.T) {
	inWorld(t, "and nothing else", func(t *testing.T, w *world) {
		w.directory.set(func(rw http.ResponseWriter, r *http.Request) {
			path := strings.Split(r.URL.Path, "/")
			_, _ = fmt.Fprintf(rw, `{"publisher":%q,"stream":%q,"recording":%q,"state":"live","nodes":["http://a"]}`,
				path[4], path[5], path[6])
		})
		w.a.set(fixed("bytes", immutable))
		all := []string{segPath, otherRec, otherStream, stranger}
		ask := func(want string) {
			t.Helper()
			got := ""
			for _, path := range all {
				before := w.a.of(path)
				wantStatus(t, w.get(t, path), http.StatusOK)
				got += fmt.Sprint(w.a.of(path) - before)
			}
			if got != want {
				t.Errorf("asked upstream %s, want %s", got, want)
			}
		}
		ask("1111")
		ask("0000")
		for _, c := range []struct {
			publisher, stream string
			id                media.RecordingID
			want              string
		}{
			{"acme", "show", testRec, "1000"}, {"acme", "show", "", "1100"}, {"acme", "", "", "1110"}, {"nobody", "", "", "0000"},
		} {
			w.Purge(c.publisher, c.stream, c.id)
			ask(c.want)
			ask("0000")
			time.Sleep(purgeAgain + time.Millisecond) // it is done again, for what others had not purged yet
			ask(c.want)
			ask("0000")
		}
		if n := testutil.ToFloat64(w.metrics.purges); n != 8 {
			t.Errorf("%v purges", n)
		}
	})
}

// TestPurgeDuringAFetch has what was asked for before a purge reach who asked, and nobody after it.
func TestPurgeDuringAFetch(t *testing.T) {
	inWorld(t, "is not kept, nor joined", func(t *testing.T, w *world) {
		release := make(chan struct{})
		old := true
		w.a.set(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Cache-Control", immutable)
			if old {
				old = false
				<-release
				_, _ = io.WriteString(rw, "old")
				return
			}
			_, _ = io.WriteString(rw, "new")
		})
		first := make(chan string)
		go func() { first <- w.get(t, segPath).Body.String() }()
		synctest.Wait()
		w.Purge("acme", "show", "")
		if got := w.get(t, segPath).Body.String(); got != "new" {
			t.Errorf("behind the purge: %q", got)
		}
		close(release)
		if got := <-first; got != "old" {
			t.Errorf("before the purge: %q", got)
		}
		synctest.Wait()
		if got := w.get(t, segPath).Body.String(); got != "new" || w.a.of(segPath) != 2 {
			t.Errorf("later: %q after %d requests", got, w.a.of(segPath))
		}
	})
	inWorld(t, "also of a playlist that goes back", func(t *testing.T, w *world) {
		w.a.set(fixed(livePlaylist(20), "max-age=60"))
		if body := w.get(t, livePath).Body.String(); !strings.Contains(body, "MEDIA-SEQUENCE:20") {
			t.Fatal(body)
		}
		w.a.set(fixed(livePlaylist(3), "max-age=60"))
		w.Purge("acme", "show", testRec)
		if body := w.get(t, livePath).Body.String(); !strings.Contains(body, "MEDIA-SEQUENCE:3") {
			t.Errorf("a numbering that began anew: %s", body)
		}
	})
}

func livePlaylist(first int) string {
	return fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXTINF:2,\n%d.m4s\n", first, first)
}

func TestPurgesComeByEventsAndAfterAReset(t *testing.T) {
	following(t, "at once", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		s.say(strings.Replace(eventText(11, media.EventPurged), testRec, "", 1))
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		if n := w.archive.of(segPath); n != 2 {
			t.Errorf("asked %d times", n)
		}
		s.say("id: 12\nevent: cache.purged\ndata: {\"id\":12,\"type\":\"cache.purged\",\"publisher\":\"..\"}\n\n")
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		if n := w.archive.of(segPath); n != 2 {
			t.Errorf("a purge of nothing: asked %d times", n)
		}
	})
	following(t, "what was missed, by age", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		time.Sleep(10 * time.Second)
		wantStatus(t, w.get(t, otherRec), http.StatusOK)
		ask := func(want string) {
			t.Helper()
			got := ""
			for _, path := range []string{segPath, otherRec} {
				before := w.archive.of(path)
				w.get(t, path)
				got += fmt.Sprint(w.archive.of(path) - before)
			}
			if got != want {
				t.Errorf("asked upstream %s, want %s", got, want)
			}
		}
		ask("00")
		time.Sleep(10 * time.Second)
		// It was while the first was there, and the second not yet.
		s.change(func(s *eventSource) { s.purges = []media.KnownPurge{{Publisher: "acme", AgeMS: 15_000}} })
		s.say(strings.Replace(resetAt10, "10", "20", 1))
		ask("10")
		s.say(strings.Replace(resetAt10, "10", "30", 1)) // it is known by now
		ask("00")
		if s.asked < 3 {
			t.Errorf("asked for purges %d times", s.asked)
		}
	})
	following(t, "bad answers change nothing", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		for i, purges := range [][]media.KnownPurge{
			{{Publisher: "acme", AgeMS: -1}}, {{Publisher: "../x"}}, {{Publisher: "acme", Recording: "x", AgeMS: 1}},
		} {
			s.change(func(s *eventSource) { s.purges = purges })
			s.say(strings.Replace(resetAt10, "10", fmt.Sprint(20+i), 1))
		}
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		if n := w.archive.of(segPath); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestDiskHasNothingPurged starts an edge again on a disk with what was purged meanwhile.
func TestDiskHasNothingPurged(t *testing.T) {
	dir := t.TempDir()
	w, stop := newDiskWorld(t, dir)
	w.a.set(fixed("old", immutable))
	fill := func() {
		t.Helper()
		for range 3 {
			wantStatus(t, w.get(t, segPath), http.StatusOK)
		}
	}
	fill()
	w.written(t, 1)
	stop()
	w, _ = newDiskWorld(t, dir)
	w.a.set(fixed("new", immutable))
	w.pending.Store(true)
	if got := w.get(t, segPath).Body.String(); got != "new" {
		t.Errorf("before it is known what was purged: %q", got)
	}
	w.cache.purge("acme", time.Now())
	w.pending.Store(false)
	if got := w.get(t, segPath).Body.String(); got != "old" {
		t.Fatalf("it is not on disk: %q", got)
	}
	if err := w.learn([]media.KnownPurge{{Publisher: "acme", Stream: "show", AgeMS: 0}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, segPath).Body.String(); got != "new" {
		t.Errorf("purged: %q", got)
	}
	if w.store.Has(diskName(segPath)) {
		t.Error("it is on disk still")
	}
}
