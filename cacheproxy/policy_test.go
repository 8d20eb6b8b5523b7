package cacheproxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestFreshnessObeysCacheControl(t *testing.T) {
	tests := []struct {
		name         string
		status       int
		cacheControl string
		head         []string
		want         time.Duration // for which it is used
	}{
		{name: "max-age", status: 200, cacheControl: "max-age=5", want: 5 * time.Second},
		{name: "s-maxage wins", status: 200, cacheControl: "max-age=5, s-maxage=3", want: 3 * time.Second},
		{name: "the strictest of two", status: 200, cacheControl: "max-age=5, max-age=2", want: 2 * time.Second},
		{name: "quoted", status: 200, cacheControl: `max-age="4"`, want: 4 * time.Second},
		{name: "junk is expired", status: 200, cacheControl: "max-age=4.5"},
		{name: "no-store", status: 200, cacheControl: "max-age=5, no-store"},
		{name: "private", status: 200, cacheControl: "private, max-age=5"},
		{name: "no-cache", status: 200, cacheControl: "No-Cache, max-age=5"},
		{name: "no word: no heuristic", status: 200},
		{name: "age counts", status: 200, cacheControl: "max-age=5", head: []string{"Age", "3, 1"}, want: 2 * time.Second},
		{name: "junk age does not", status: 200, cacheControl: "max-age=5", head: []string{"Age", "x"}, want: 5 * time.Second},
		{
			name: "expires", status: 200, want: 7 * time.Second,
			head: []string{"Date", "Fri, 20 Nov 2026 12:00:00 GMT", "Expires", "Fri, 20 Nov 2026 12:00:07 GMT"},
		},
		{name: "bad expires", status: 200, head: []string{"Expires", "0"}},
		{name: "404 without a word", status: 404, want: time.Second},
		{name: "404 at the most 1 s", status: 404, cacheControl: "max-age=60", want: time.Second},
		{name: "404 no-store: a part not announced", status: 404, cacheControl: "no-store"},
		{name: "410 without a word", status: 410, want: time.Minute},
		{name: "410", status: 410, cacheControl: "max-age=3600", want: time.Hour},
		{name: "400", status: 400, cacheControl: "max-age=1", want: time.Second},
		{name: "403 without a word", status: 403},
		{name: "503 never", status: 503, cacheControl: "max-age=5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				w.directory.location.Nodes = []string{"http://a"}
				head := tt.head
				if tt.cacheControl != "" {
					head = append([]string{"Cache-Control", tt.cacheControl}, head...)
				}
				w.a.set(failing(tt.status, head...))
				wantStatus(t, w.get(t, segPath), tt.status)
				before := w.a.total()
				if tt.want > 0 {
					time.Sleep(tt.want - time.Millisecond)
					rec := w.get(t, segPath)
					wantStatus(t, rec, tt.status)
					wantCacheStatus(t, rec, "oxbow; hit")
				}
				time.Sleep(time.Millisecond)
				w.get(t, segPath)
				if after := w.a.total(); after == before {
					t.Errorf("not asked again after %s", tt.want)
				}
			})
		})
	}
}

func TestHTTP21_AgeTellsTheTimeSinceTheOriginAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s := newShow(7, 0)
		w.net.set("a", s)
		go func() {
			time.Sleep(4 * time.Second)
			s.advance()
		}()
		rec := w.get(t, livePath+"?_HLS_msn=8&_HLS_part=0")
		if age := rec.Header().Get("Age"); age != "" {
			t.Errorf("a new answer has Age %q: the time that it was held back is not its age", age)
		}
		date := rec.Header().Get("Date")
		time.Sleep(3 * time.Second)
		rec = w.get(t, livePath+"?_HLS_msn=8&_HLS_part=0")
		wantCacheStatus(t, rec, "oxbow; hit")
		if age := rec.Header().Get("Age"); age != "3" {
			t.Errorf("Age %q, want 3", age)
		}
		if got := rec.Header().Get("Date"); got != date {
			t.Errorf("Date changed from %q to %q", date, got)
		}
		w.a.set(fixed("x", "max-age=100", "Age", "40"))
		w.net.set("a", w.a)
		wantAge := func(want string) {
			t.Helper()
			if got := w.get(t, segPath).Header().Get("Age"); got != want {
				t.Errorf("Age %q, want %q", got, want)
			}
		}
		wantAge("40")
		time.Sleep(2 * time.Second)
		wantAge("42")
	})
}

func TestStaleIsServedOnlyAsTheAnswerAllows(t *testing.T) {
	seen := func(w *world) func() bool { return func() bool { return len(w.flights.all()) == 0 } }
	t.Run("stale-while-revalidate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.a.set(fixed("old", "max-age=1, stale-while-revalidate=4"))
			w.get(t, segPath)
			w.a.set(fixed("new", "max-age=1"))
			time.Sleep(3 * time.Second)
			rec := w.get(t, segPath)
			if rec.Body.String() != "old" {
				t.Errorf("got %q", rec.Body)
			}
			wantCacheStatus(t, rec, "oxbow; hit; ttl=-2")
			synctest.Wait()
			if !seen(w)() || w.get(t, segPath).Body.String() != "new" {
				t.Error("not fetched anew")
			}
		})
	})
	t.Run("stale-if-error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.a.set(fixed("old", "max-age=1, stale-if-error=10"))
			w.get(t, segPath)
			w.a.set(failing(http.StatusInternalServerError))
			w.b.set(failing(http.StatusInternalServerError))
			time.Sleep(5 * time.Second)
			if rec := w.get(t, segPath); rec.Code != http.StatusOK || rec.Body.String() != "old" {
				t.Errorf("got %d %q", rec.Code, rec.Body)
			}
			time.Sleep(7 * time.Second)
			wantStatus(t, w.get(t, segPath), http.StatusBadGateway)
		})
	})
	t.Run("not under must-revalidate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.a.set(fixed("old", "max-age=1, stale-if-error=10, must-revalidate"))
			w.get(t, segPath)
			w.a.set(failing(http.StatusInternalServerError))
			w.b.set(failing(http.StatusInternalServerError))
			time.Sleep(5 * time.Second)
			wantStatus(t, w.get(t, segPath), http.StatusBadGateway)
		})
	})
}

func msnOf(text string) string {
	return fmt.Sprintf("%d.%d", strings.Count(text, "#EXTINF"), strings.Count(text, "#EXT-X-PART:"))
}

// The live edge never goes back through the cache.
func TestSEQ9_PlainAnswersAreNeverOlderThanWhatWasServed(t *testing.T) {
	play := func(t *testing.T, f func(t *testing.T, w *world, s *show)) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			s := newShow(7, 0)
			w.net.set("a", s)
			f(t, w, s)
		})
	}
	t.Run("a blocking answer overtakes the cached plain one", func(t *testing.T) {
		play(t, func(t *testing.T, w *world, s *show) {
			wantPlain := func(want string) {
				t.Helper()
				rec := w.get(t, livePath)
				if got := msnOf(rec.Body.String()); got != want {
					t.Fatalf("plain version %s, want %s", got, want)
				}
				if got := rec.Header().Get("Cache-Control"); got != s.plainAge {
					t.Fatalf("plain answer with Cache-Control %q", got)
				}
			}
			wantPlain("7.0")
			asked := s.of(livePath)
			for i := range 3 {
				s.advance()
				uri := fmt.Sprintf("%s?_HLS_msn=8&_HLS_part=%d", livePath, i)
				if got := msnOf(w.get(t, uri).Body.String()); got != fmt.Sprintf("7.%d", i+1) {
					t.Fatalf("blocking version %s", got)
				}
				wantPlain(fmt.Sprintf("7.%d", i+1))
				time.Sleep(700 * time.Millisecond)
				wantPlain(fmt.Sprintf("7.%d", i+1))
			}
			if n := s.of(livePath) - asked; n != 0 {
				t.Errorf("blocking answers keep the plain one fresh, yet upstream saw %d plain requests", n)
			}
		})
	})
	t.Run("a node takes over that has not what a delta update told first", func(t *testing.T) {
		play(t, func(t *testing.T, w *world, s *show) {
			w.get(t, livePath)
			s.advance()
			w.get(t, livePath+"?_HLS_msn=8&_HLS_part=0&_HLS_skip=YES")
			w.get(t, livePath+"?_HLS_msn=8&_HLS_part=0")
			w.net.set("a", nil)
			w.net.set("b", newShow(7, 0))
			time.Sleep(5 * time.Second) // the plain answer's time is over
			for _, uri := range []string{livePath, livePath + "?_HLS_skip=YES"} {
				if got := msnOf(w.get(t, uri).Body.String()); got != "7.1" {
					t.Errorf("%s: version %s, want 7.1", uri, got)
				}
			}
		})
	})
	t.Run("a delta update overtakes it", func(t *testing.T) {
		play(t, func(t *testing.T, w *world, s *show) {
			w.get(t, livePath)
			s.advance()
			w.get(t, livePath+"?_HLS_msn=8&_HLS_part=0&_HLS_skip=YES")
			if got := msnOf(w.get(t, livePath).Body.String()); got != "7.1" {
				t.Errorf("plain version %s, want 7.1", got)
			}
		})
	})
	t.Run("the next node is behind", func(t *testing.T) {
		play(t, func(t *testing.T, w *world, s *show) {
			w.get(t, livePath)
			s.advance()
			w.get(t, livePath+"?_HLS_msn=8&_HLS_part=0")
			time.Sleep(5 * time.Second)
			w.net.set("a", nil)
			behind := newShow(6, 2)
			w.net.set("b", behind)
			w.net.hosts["a"] = nil
			rec := w.get(t, livePath)
			if got := msnOf(rec.Body.String()); got != "7.1" {
				t.Errorf("plain version %s, want 7.1 again", got)
			}
			if age := rec.Header().Get("Age"); age != "5" {
				t.Errorf("Age %q, want 5: it is the old text", age)
			}
			if behind.total() != 1 {
				t.Errorf("%d requests to the next node", behind.total())
			}
			time.Sleep(frontHold)
			if got := msnOf(w.get(t, livePath).Body.String()); got != "6.2" {
				t.Errorf("after %s of being behind: version %s, want the node's own", frontHold, got)
			}
		})
	})
	t.Run("an upstream that ignores the directive", func(t *testing.T) {
		play(t, func(t *testing.T, w *world, s *show) {
			w.a.set(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=12")
				writePlaylist(w, r, newShow(5, 0).text(false))
			})
			w.net.set("a", w.a)
			uri := livePath + "?_HLS_msn=8&_HLS_part=0"
			w.get(t, uri)
			w.get(t, uri)
			if n := w.a.of(uri); n != 2 {
				t.Errorf("a version older than asked for is cached: %d upstream requests", n)
			}
		})
	})
}

func TestHTTP6_OneFetchServesGzipAndPlainViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s := newShow(7, 2)
		w.net.set("a", s)
		zipped := w.get(t, livePath, "Accept-Encoding", "br;q=1.0, gzip;q=0.8")
		if got := zipped.Header().Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Content-Encoding %q", got)
		}
		tags := map[string]bool{zipped.Header().Get("Etag"): true}
		for _, coding := range []string{"", "identity", "gzip;q=0", "br"} {
			rec := w.get(t, livePath, "Accept-Encoding", coding)
			wantStatus(t, rec, http.StatusOK)
			if rec.Body.String() != s.text(false) || rec.Header().Get("Content-Encoding") != "" {
				t.Errorf("Accept-Encoding %q: got %q %v", coding, rec.Body, rec.Header())
			}
			if got := rec.Header().Get("Vary"); got != "Accept-Encoding" {
				t.Errorf("Vary %q", got)
			}
			tags[rec.Header().Get("Etag")] = true
		}
		if len(tags) != 2 {
			t.Errorf("ETags %v: each variant has its own", tags)
		}
		if n := s.total(); n != 1 {
			t.Errorf("%d upstream requests", n)
		}
	})
}

func TestAPlaylistBombIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxPlaylistBytes: 100_000})
		w.directory.location.Nodes = []string{"http://a"}
		w.a.set(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=5")
			writePlaylist(w, r, "#EXTM3U\n"+strings.Repeat("\n", 5_000_000))
		})
		wantStatus(t, w.get(t, livePath), http.StatusBadGateway)
	})
}

func TestRefusals(t *testing.T) {
	run := func(name string, f func(t *testing.T, w *world)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, Config{})) }) })
	}
	run("HTTP-22: a 503 to a blocking request is passed on and not tried elsewhere", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusServiceUnavailable, "Cache-Control", "public, max-age=1"))
		w.b.set(fixed("x", immutable))
		uri := livePath + "?_HLS_msn=9"
		wantStatus(t, w.get(t, uri), http.StatusServiceUnavailable)
		wantStatus(t, w.get(t, uri), http.StatusServiceUnavailable)
		if w.a.of(uri) != 2 || w.b.total() != 0 {
			t.Errorf("a saw %d, b %d", w.a.of(uri), w.b.total())
		}
	})
	run("a 503 for media is tried elsewhere", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusServiceUnavailable))
		w.b.set(fixed("x", immutable))
		wantStatus(t, w.get(t, segPath), http.StatusOK)
	})
	run("HTTP-12: redirects are not followed", func(t *testing.T, w *world) {
		w.a.set(failing(http.StatusFound, "Location", "http://b"+segPath))
		w.directory.location.Nodes = []string{"http://a"}
		wantStatus(t, w.get(t, segPath), http.StatusBadGateway)
		if w.b.total() != 0 {
			t.Error("followed")
		}
	})
	run("more than the limit", func(t *testing.T, w *world) {
		w.config.MaxObjectBytes = 1000
		w.directory.location.Nodes = []string{"http://a"}
		w.a.set(fixed(strings.Repeat("x", 1001), immutable))
		wantStatus(t, w.get(t, segPath), http.StatusBadGateway)
	})
	run("a body shorter than its Content-Length", func(t *testing.T, w *world) {
		w.a.set(fixed("short", immutable, "Content-Length", "50"))
		w.b.set(fixed("whole", immutable))
		if rec := w.get(t, segPath); rec.Code != http.StatusOK || rec.Body.String() != "whole" {
			t.Errorf("got %d %q", rec.Code, rec.Body)
		}
	})
	run("an upstream that gives no header in time", func(t *testing.T, w *world) {
		w.a.set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		w.b.set(fixed("x", immutable))
		began := time.Now()
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		if d := time.Since(began); d != time.Second { // the next one is asked too by then
			t.Errorf("took %s", d)
		}
		began = time.Now()
		wantStatus(t, w.get(t, recBase+"/1/video/8.m4s"), http.StatusOK)
		if d := time.Since(began); d != 0 {
			t.Errorf("the next one took %s: a node that was just away comes last", d)
		}
	})
	run("a playlist that a node holds until its show begins", func(t *testing.T, w *world) {
		w.a.set(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Second)
			fixed("x", "max-age=1")(rw, r)
		})
		wantStatus(t, w.get(t, recBase+"/index.m3u8"), http.StatusOK)
		if w.b.total() != 0 {
			t.Error("the other node was asked")
		}
	})
	run("an upstream that stalls in its body before viewers saw a byte", func(t *testing.T, w *world) {
		w.a.set(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		})
		w.b.set(fixed("x", immutable))
		wantStatus(t, w.get(t, segPath), http.StatusOK)
	})
	run("an archive that panics", func(t *testing.T, w *world) {
		w.directory.location.Nodes, w.directory.location.Archived = nil, true
		w.archive.set(func(http.ResponseWriter, *http.Request) { panic("ouch") })
		wantStatus(t, w.get(t, segPath), http.StatusServiceUnavailable)
	})
}

func TestAFlightWithoutViewersEndsAfterItsLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Linger: 3 * time.Second})
		cut := make(chan time.Time, 10)
		w.a.set(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			cut <- time.Now()
		})
		w.directory.location.Nodes = []string{"http://a"}
		began := time.Now()
		ctx, leave := contextWithTimeout(t, 2*time.Second)
		defer leave()
		uri := livePath + "?_HLS_msn=9"
		w.do(ctx, http.MethodGet, uri)
		if d := (<-cut).Sub(began); d != 5*time.Second {
			t.Errorf("cut after %s, want 2 s and the linger", d)
		}
		synctest.Wait()
		if n := len(w.flights.all()); n != 0 {
			t.Errorf("%d flights", n)
		}
	})
}

func TestWaitersAndFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxWaiters: 2, MaxFlights: 1})
		s := newShow(7, 0)
		w.net.set("a", s)
		uri := livePath + "?_HLS_msn=8&_HLS_part=0"
		got := make(chan int, 2)
		for range 2 {
			go func() { got <- w.get(t, uri, "Accept-Encoding", "gzip").Code }()
		}
		synctest.Wait()
		rec := w.get(t, uri, "Accept-Encoding", "gzip")
		wantStatus(t, rec, http.StatusServiceUnavailable)
		if rec.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		s.advance()
		if a, b := <-got, <-got; a != 200 || b != 200 {
			t.Errorf("got %d, %d", a, b)
		}
	})
}

func TestDownloadsTakeClips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.directory.location = media.Location{Recording: testRec, State: media.Archived, Archived: true}
		w.archive.set(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Disposition", "attachment")
			_, _ = rw.Write([]byte(r.URL.RawQuery))
		})
		uri := recBase + "/recording.mp4"
		rec := w.get(t, uri+"?end=1m30s&x=y&start=2s")
		wantStatus(t, rec, http.StatusOK)
		if rec.Body.String() != "start=2.000&end=90.000" || rec.Header().Get("Content-Disposition") != "attachment" {
			t.Errorf("%q %v", rec.Body, rec.Header())
		}
		wantStatus(t, w.get(t, uri+"?start=x"), http.StatusBadRequest)
		if n := w.waiting.Load(); n != 0 {
			t.Errorf("%d waiters", n)
		}
	})
}

func TestDownloadsPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxObjectBytes: 10})
		w.directory.location = media.Location{Recording: testRec, State: media.Archived, Archived: true}
		w.archive.set(func(rw http.ResponseWriter, r *http.Request) {
			http.ServeContent(rw, r, "recording.mp4", time.Unix(1e9, 0), strings.NewReader("0123456789abcdef"))
		})
		uri := recBase + "/recording.mp4"
		rec := w.get(t, uri, "Range", "bytes=4-7")
		wantStatus(t, rec, http.StatusPartialContent)
		if rec.Body.String() != "4567" || rec.Header().Get("Content-Range") != "bytes 4-7/16" {
			t.Errorf("got %q %v", rec.Body, rec.Header())
		}
		rec = w.get(t, uri)
		if rec.Body.String() != "0123456789abcdef" {
			t.Errorf("got %q", rec.Body)
		}
		rec = w.do(t.Context(), http.MethodHead, uri)
		if rec.Header().Get("Content-Length") != "16" || rec.Body.Len() != 0 {
			t.Errorf("HEAD: %v %q", rec.Header(), rec.Body)
		}
		wantStatus(t, w.get(t, uri, "Range", "bytes=99-"), http.StatusRequestedRangeNotSatisfiable)
		if _, n := w.cache.usage(); n != 0 {
			t.Errorf("%d objects cached", n)
		}
	})
}
