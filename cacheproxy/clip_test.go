package cacheproxy

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A clip shares its path with the recording's playlist, and with other clips, and nothing else.
func TestSEQ9_BLK1_ClipsAreListsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s := newShow(7, 0)
		w.net.set("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, "end=") {
				s.ServeHTTP(rw, r)
				return
			}
			s.add(r.URL.RequestURI())
			rw.Header().Set("Cache-Control", "public, max-age=60")
			writePlaylist(rw, r, "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2,\n1/video/1.m4s\n#EXT-X-ENDLIST\n")
		}))
		ended := func(uri string) bool {
			t.Helper()
			rec := w.get(t, uri)
			wantStatus(t, rec, 200)
			return strings.Contains(rec.Body.String(), "ENDLIST")
		}
		if !ended(eventPath+"?start=0&end=2") || ended(eventPath) || ended(eventPath+"?start=2") {
			t.Error("a clip's end is that of the whole playlist")
		}
		s.advance()
		if !ended(eventPath+"?end=2s&start=0s") || s.of(eventPath+"?start=0.000&end=2.000") != 1 {
			t.Errorf("a finished clip is asked for again: %v", s.n)
		}
		// Blocking reload of a clip that grows.
		got := make(chan string)
		go func() { got <- w.get(t, eventPath+"?start=2&_HLS_msn=8").Body.String() }()
		synctest.Wait()
		for range 4 {
			time.Sleep(500 * time.Millisecond)
			s.advance()
		}
		if text := <-got; !strings.Contains(text, "/8.m4s") {
			t.Errorf("blocking reload:\n%s", text)
		}
		if s.of(eventPath+"?start=2.000&_HLS_msn=8") != 1 {
			t.Errorf("%v", s.n)
		}
	})
}

func TestBLK12_IndexesOfClipsAreKeyedByClip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.a.set(fixed("x", "max-age=5"))
		for _, query := range []string{"start=-600", "start=-10m", "x=y&start=-0h10m", "start=-10m&start2=5", "end=5", ""} {
			wantStatus(t, w.get(t, recBase+"/index.m3u8?"+query), 200)
		}
		if w.a.total() != 3 {
			t.Errorf("upstream saw %v", w.a.n)
		}
	})
}

func TestBLK10_ClipsAheadOfTheEdgeAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.a.set(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(28 * time.Second) // three target durations of ten seconds
			fixed("#EXTM3U\n", "max-age=5")(rw, r)
		})
		wantStatus(t, w.get(t, eventPath+"?start=2h"), 200)
		wantStatus(t, w.get(t, recBase+"/index.m3u8?start=2h&end=3h"), 200)
		if w.a.total() != 2 {
			t.Errorf("upstream saw %v", w.a.n)
		}
	})
}

func TestFinishedClipsPushNoPlaylistOutOfTheFronts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.a.set(fixed("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2,\n1.m4s\n#EXT-X-ENDLIST\n", "max-age=60"))
		for _, end := range []string{"1", "2", "3"} {
			wantStatus(t, w.get(t, eventPath+"?end="+end), 200)
		}
		if n := w.fronts.lists.len(); n != 0 {
			t.Errorf("%d fronts", n)
		}
	})
}
