package cacheproxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// stores is an edge over three archives, whose directory says where an archived recording is.
type stores struct {
	*world
	byName map[string]*node
}

func inStores(t *testing.T, name string, loc media.Location, f func(t *testing.T, s *stores)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &stores{world: newWorld(t, Config{}), byName: make(map[string]*node)}
			handlers := make(map[string]http.Handler)
			for _, name := range []string{"default", "west", "cold"} {
				n := &node{}
				n.set(fixed("from "+name, "no-store"))
				s.byName[name], handlers[name] = n, n
			}
			s.archives = newArchives(handlers, slog.New(slog.DiscardHandler))
			loc.Publisher, loc.Stream, loc.Recording = "acme", "show", testRec
			loc.State, loc.Archived = media.Archived, true
			s.directory.location = loc
			f(t, s)
		})
	})
}

func (s *stores) body(t *testing.T, n int) string {
	t.Helper()
	rec := s.get(t, segment(n))
	wantStatus(t, rec, http.StatusOK)
	return rec.Body.String()
}

func TestArchivesByName(t *testing.T) {
	inStores(t, "none named is the default", media.Location{}, func(t *testing.T, s *stores) {
		if got := s.body(t, 1); got != "from default" {
			t.Error(got)
		}
	})
	inStores(t, "default by its name", media.Location{Archive: "default"}, func(t *testing.T, s *stores) {
		if got := s.body(t, 1); got != "from default" {
			t.Error(got)
		}
	})
	inStores(t, "another", media.Location{Archive: "west"}, func(t *testing.T, s *stores) {
		if got := s.body(t, 1); got != "from west" {
			t.Error(got)
		}
	})
	inStores(t, "one that the edge was not given", media.Location{Archive: "moon"}, func(t *testing.T, s *stores) {
		rec := s.get(t, segment(1))
		wantStatus(t, rec, http.StatusServiceUnavailable)
		if !strings.Contains(rec.Body.String(), "--archives") {
			t.Errorf("it does not say what to do: %s", rec.Body)
		}
	})
	inStores(t, "one that the edge was not given, with a mirror", media.Location{Archive: "moon", Mirror: "cold"},
		func(t *testing.T, s *stores) {
			if got := s.body(t, 1); got != "from cold" {
				t.Error(got)
			}
		})
	inStores(t, "a guess: all of them", media.Location{}, func(t *testing.T, s *stores) {
		s.directory.location.Guess, s.directory.location.State = true, ""
		for _, name := range []string{"default", "west"} {
			s.byName[name].set(nil)
		}
		s.byName["cold"].set(fixed("from cold", "no-store"))
		if got := s.body(t, 1); got != "from cold" {
			t.Error(got)
		}
	})
	inStores(t, "the directory is away: all of them", media.Location{}, func(t *testing.T, s *stores) {
		s.net.set("dir", nil)
		s.byName["default"].set(nil)
		s.byName["west"].set(nil)
		if got := s.body(t, 1); got != "from cold" {
			t.Error(got)
		}
	})
}

func TestMirror(t *testing.T) {
	loc := media.Location{Archive: "west", Mirror: "cold"}
	mirrored := func(s *stores) float64 { return testutil.ToFloat64(s.metrics.mirrorAnswers) }
	inStores(t, "is left alone while the archive answers", loc, func(t *testing.T, s *stores) {
		for i := range 5 {
			if got := s.body(t, 1+i); got != "from west" {
				t.Error(got)
			}
		}
		s.byName["west"].set(failing(http.StatusNotFound))
		wantStatus(t, s.get(t, segment(9)), http.StatusNotFound)
		if s.byName["cold"].total() != 0 || mirrored(s) != 0 {
			t.Errorf("%d requests", s.byName["cold"].total())
		}
	})
	for _, status := range []int{500, 502, 503} {
		inStores(t, fmt.Sprintf("answers when the archive does with %d", status), loc, func(t *testing.T, s *stores) {
			s.byName["west"].set(failing(status))
			for i := range 5 {
				if got := s.body(t, 1+i); got != "from cold" {
					t.Error(got)
				}
			}
			// The archive rests for a moment.
			if n := s.byName["west"].total(); n != 1 || mirrored(s) != 5 {
				t.Errorf("the archive was asked %d times, %v answers of the mirror", n, mirrored(s))
			}
		})
	}
	inStores(t, "answers when the archive hangs", loc, func(t *testing.T, s *stores) {
		s.byName["west"].set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if got := s.body(t, 1); got != "from cold" {
			t.Error(got)
		}
	})
	inStores(t, "answers when the archive breaks off before the first byte", loc, func(t *testing.T, s *stores) {
		s.byName["west"].set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		})
		if got := s.body(t, 1); got != "from cold" {
			t.Error(got)
		}
	})
	inStores(t, "both fail", loc, func(t *testing.T, s *stores) {
		s.byName["west"].set(failing(500))
		s.byName["cold"].set(failing(503))
		rec := s.get(t, segment(1))
		wantStatus(t, rec, http.StatusServiceUnavailable)
		if rec.Header().Get("Content-Type") != problemType {
			t.Errorf("%v %s", rec.Header(), rec.Body)
		}
	})
}

func TestNoArchivesAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.archives = newArchives(map[string]http.Handler{"": nil}, slog.New(slog.DiscardHandler))
		w.directory.location = media.Location{Recording: testRec, State: media.Archived, Archived: true}
		wantStatus(t, w.get(t, segPath), http.StatusServiceUnavailable)
		w.net.set("dir", nil)
		wantStatus(t, w.get(t, strings.ReplaceAll(segPath, testRec, "01kabcdefghjkmnpqrstvwxyz1")), http.StatusServiceUnavailable)
	})
}

// One form for what the edge refuses and for what an upstream does.
func TestRefusalsHaveOneForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		upstream := func(status int, text string) {
			w.a.set(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
				rw.Header().Set("Cache-Control", "no-store")
				rw.Header().Set("Etag", `"x"`)
				rw.WriteHeader(status)
				_, _ = rw.Write([]byte(text))
			})
		}
		w.b.set(failing(404))
		for _, c := range []struct {
			name, uri, text string
			status          int
			want            string
		}{
			{"the edge's own", eventPath + "?start=x", "", 400, "start"},
			{"an upstream's", eventPath + "?start=7", "400 invalid: start is behind the end\n", 400, "invalid: start is behind the end"},
			{"an upstream's of the index", recBase + "/index.m3u8?start=7", "400 bad", 400, `"detail":"bad"`},
			{"other text is not told", segPath, "403 secret", 403, ""},
			{"a download's", recBase + "/recording.mp4", "400 start: too long", 400, "start: too long"},
			{"a download's of what grows", recBase + "/recording.mp4", "409 it is still growing", 409, `"detail":"it is still growing"`},
			{"much text", eventPath + "?start=8", "400 " + strings.Repeat("\xff", 2000), 400, ""},
		} {
			upstream(c.status, c.text)
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				rec := w.do(t.Context(), method, c.uri)
				wantStatus(t, rec, c.status)
				h, body := rec.Header(), rec.Body.String()
				if h.Get("Content-Type") != problemType || h.Get("Etag") != "" {
					t.Errorf("%s: %s: %v", c.name, method, h)
				}
				switch {
				case method == http.MethodHead && body != "":
					t.Errorf("%s: HEAD has a body: %s", c.name, body)
				case method == http.MethodHead:
				case !strings.Contains(body, c.want) || strings.Contains(body, "secret") || len(body) > maxDetail+100,
					!strings.Contains(body, fmt.Sprintf(`"status":%d`, c.status)), h.Get("Content-Length") != fmt.Sprint(len(body)):
					t.Errorf("%s: %v %s", c.name, h, body)
				}
			}
		}
	})
}
