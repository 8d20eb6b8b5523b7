package cacheproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// piece answers with a segment, or the range of it that is asked for, and breaks off after that many bytes, when
// viewers have them. Negative is never.
func piece(etag, text string, stop int) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Etag", etag)
		rw.Header().Set("Cache-Control", immutable)
		rw.Header().Set("Content-Type", "video/mp4")
		if stop >= 0 {
			rw = &stopping{ResponseWriter: &pausing{rw, stop}, left: stop}
		}
		http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(text))
	}
}

// pausing gives viewers the time to read what there is before a stop.
type pausing struct {
	http.ResponseWriter
	left int
}

func (p *pausing) Write(b []byte) (int, error) {
	n, err := p.ResponseWriter.Write(b)
	if p.left -= n; p.left <= 0 {
		_ = http.NewResponseController(p.ResponseWriter).Flush()
		time.Sleep(10 * gatherTime)
	}
	return n, err
}

func (p *pausing) Flush() { _ = http.NewResponseController(p.ResponseWriter).Flush() }

// whole drops what asks for a part.
func whole(h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		h(rw, r)
	}
}

func TestBrokenBodiesGoOnElsewhere(t *testing.T) {
	const text, tag = "0123456789abcdef", `"1"`
	good := piece(tag, text, -1)
	for _, c := range []struct {
		name          string
		a, b, archive http.HandlerFunc
		want          string
		broken        bool
		resumed       float64
	}{
		{"by a range", piece(tag, text, 5), good, nil, text, false, 1},
		{"by a range of an upstream that sends all", piece(tag, text, 5), whole(good), nil, text, false, 1},
		{"again and again", piece(tag, text, 5), piece(tag, text, 1), good, text, false, 1},
		{"at the archive when no node has it", piece(tag, text, 5), nil, good, text, false, 1},
		{"at the archive when the other node fails", piece(tag, text, 5), failing(500), good, text, false, 1},
		{"at the same node when no other has it", piece(tag, text, 5), nil, nil, text, false, 1},
		{"but not for ever", piece(tag, text, 1), nil, nil, text[:1+maxResumed], true, 0},
		{"but not where another file is", piece(tag, text, 5), piece(`"2"`, text, -1), nil, text[:5], true, 0},
		{"but not where it is longer", piece(tag, text, 5), piece(tag, text+"!", -1), nil, text[:5], true, 0},
		{"but not where all of it is longer", piece(tag, text, 5), whole(piece(tag, text+"!", -1)), nil, text[:5], true, 0},
		{"but not by a weak tag", piece(`W/"1"`, text, 5), piece(`W/"1"`, text, -1), nil, text[:5], true, 0},
		{"but not where it is packed", piece(tag, text, 5), func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			good(rw, r)
		}, nil, text[:5], true, 0},
		{"but not where another range comes", piece(tag, text, 5), func(rw http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=4-")
			good(rw, r)
		}, nil, text[:5], true, 0},
		{"but not without a length", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Etag", tag)
			_, _ = (&pausing{rw, 5}).Write([]byte(text[:5]))
			panic(http.ErrAbortHandler)
		}, good, nil, text[:5], true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				w.directory.location.Archived = true
				w.a.set(c.a)
				w.b.set(c.b)
				w.archive.set(c.archive)
				rec := httptest.NewRecorder()
				broken := func() (aborted bool) {
					defer func() {
						err, _ := recover().(error)
						aborted = errors.Is(err, http.ErrAbortHandler)
					}()
					w.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, segPath, nil))
					return false
				}()
				if broken != c.broken || rec.Body.String() != c.want {
					t.Errorf("broken %v, got %q", broken, rec.Body)
				}
				if n := testutil.ToFloat64(w.metrics.resumed); n != c.resumed {
					t.Errorf("went on %v times", n)
				}
				if _, objects := w.cache.usage(); (objects == 1) == c.broken {
					t.Errorf("%d objects are cached", objects)
				}
			})
		})
	}
}

// The leader's failure is retried for all: every viewer has the whole segment, and each upstream saw one request.
func TestACrowdOutlivesTheNodeItReadsFrom(t *testing.T) {
	const viewers, size = 100, 400_000
	body, die := bodyOf(segPath, size), make(chan struct{})
	dying, good := &node{}, &node{}
	dying.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Etag", `"7"`)
		w.Header().Set("Cache-Control", immutable)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(body[:size/2])
		_ = http.NewResponseController(w).Flush()
		<-die
		panic(http.ErrAbortHandler)
	})
	good.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"7"`)
		w.Header().Set("Cache-Control", immutable)
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
	e := newRealEdge(t, Config{}, nil, dying, good)
	var reading, done sync.WaitGroup
	reading.Add(viewers)
	for range viewers {
		done.Go(func() {
			resp, err := e.client.Get(e.url + segPath)
			if err != nil {
				reading.Done()
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			head := make([]byte, size/2)
			_, err = io.ReadFull(resp.Body, head)
			reading.Done()
			if err != nil {
				t.Error(err)
				return
			}
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(append(head, rest...), body) {
				t.Errorf("%d bytes, %v", len(head)+len(rest), err)
			}
		})
	}
	reading.Wait()
	close(die)
	done.Wait()
	if a, b := dying.of(segPath), good.of(segPath); a != 1 || b != 1 {
		t.Errorf("the nodes saw %d and %d requests", a, b)
	}
	if _, got, err := e.fetch(t.Context(), segPath); err != nil || !bytes.Equal(got, body) {
		t.Errorf("from the cache: %d bytes, %v", len(got), err)
	}
}
