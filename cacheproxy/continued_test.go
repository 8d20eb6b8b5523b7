package cacheproxy

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestBrokenDownloadsGoOnElsewhere(t *testing.T) {
	const text = "0123456789abcdef"
	// breaks serves a range of the text, and stops after n bytes of it.
	breaks := func(etag string, n int) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Etag", etag)
			http.ServeContent(&stopping{ResponseWriter: rw, left: n}, r, "recording.mp4", time.Time{}, strings.NewReader(text))
		}
	}
	for _, c := range []struct {
		name, ask     string
		node, archive http.HandlerFunc
		want          string
		broken        bool
		continued     float64
	}{
		{"whole", "", breaks(`"1"`, 3), breaks(`"1"`, 99), text, false, 5},
		{"a range", "bytes=4-11", breaks(`"1"`, 5), breaks(`"1"`, 99), "456789ab", false, 1},
		{"nothing but the header", "", breaks(`"1"`, 0), breaks(`"1"`, 99), text, false, 1},
		{"both at once", "", breaks(`"1"`, 0), breaks(`"1"`, 0), "", true, 1},
		{"another file there", "", breaks(`"1"`, 0), breaks(`"2"`, 99), "", true, 0},
		{"a weak tag", "", breaks(`W/"1"`, 5), breaks(`W/"1"`, 99), "01234", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				w.directory.location = media.Location{
					Recording: testRec, State: media.Archived, Archived: true, Nodes: []string{"http://a"},
				}
				w.a.set(c.node)
				w.archive.set(c.archive)
				req := httptest.NewRequest(http.MethodGet, recBase+"/recording.mp4", nil)
				if c.ask != "" {
					req.Header.Set("Range", c.ask)
				}
				rec := httptest.NewRecorder()
				broken := func() (aborted bool) {
					defer func() {
						err, _ := recover().(error)
						aborted = errors.Is(err, http.ErrAbortHandler)
					}()
					w.ServeHTTP(rec, req)
					return false
				}()
				if broken != c.broken || rec.Body.String() != c.want {
					t.Errorf("broken %v, got %q", broken, rec.Body)
				}
				if n := testutil.ToFloat64(w.metrics.continued); n != c.continued {
					t.Errorf("went on %v times", n)
				}
			})
		})
	}
}

// stopping is a writer that breaks off.
type stopping struct {
	http.ResponseWriter
	left int
}

func (s *stopping) Write(b []byte) (int, error) {
	n, _ := s.ResponseWriter.Write(b[:min(len(b), s.left)])
	s.left -= n
	if n < len(b) {
		if f, ok := s.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return n, nil
}
