package cacheproxy

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// Flights end, and requests come, at every moment: still none is fetched twice.
func TestInvariant1_OneFetchPerObjectUnderRandomTiming(t *testing.T) {
	const objects, viewers = 300, 32
	w := newWorld(t, Config{})
	w.a.set(func(rw http.ResponseWriter, r *http.Request) { fixed(r.URL.Path, immutable)(rw, r) })
	var wg sync.WaitGroup
	for range viewers {
		wg.Go(func() {
			for i := range objects {
				uri := segment(1 + i)
				if rand.IntN(8) == 0 {
					ctx, leave := context.WithCancel(t.Context())
					leave()
					w.do(ctx, http.MethodGet, uri)
				}
				if rec := w.get(t, uri); rec.Code != http.StatusOK || rec.Body.String() != uri {
					t.Errorf("%s: %d %q", uri, rec.Code, rec.Body)
				}
			}
		})
	}
	wg.Wait()
	for i := range objects {
		if n := w.a.of(segment(1 + i)); n != 1 {
			t.Errorf("%s was fetched %d times", segment(1+i), n)
		}
	}
	if n := w.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestAllReadersSeeTheSameBytesAtTheirOwnPace(t *testing.T) {
	const size = 3_000_000
	body := bodyOf(segPath, size)
	for _, length := range []int64{size, -1} {
		f := newFlight(mediaKey(segPath), slab.NewStrict(), func(error) {}, 0)
		f.begin(&object{kind: kindSegment, status: http.StatusOK, length: length})
		var wg sync.WaitGroup
		for reader := range 8 {
			wg.Go(func() {
				var got []byte
				var c cursor
				for {
					v, err := f.read(t.Context(), &c)
					if err != nil {
						t.Error(err)
						return
					}
					got = append(got, v.piece.Data...)
					if reader%2 == 0 {
						for range rand.IntN(1000) {
							_ = f.opened()
						}
					}
					if v.done {
						break
					}
				}
				if string(got) != string(body) {
					t.Errorf("reader %d got %d bytes", reader, len(got))
				}
			})
		}
		if err := pour(f, &trickle{rest: body}, length, size, true); err != nil {
			t.Fatal(err)
		}
		chunks, n := f.body()
		if n != size {
			t.Fatalf("%d bytes", n)
		}
		o := &object{kind: kindSegment, status: http.StatusOK, chunks: chunks, length: n}
		o.compact(f.arena)
		if got := o.bytes(); string(got) != string(body) || o.weight() > size+size/8 {
			t.Errorf("compacted to %d bytes that weigh %d", len(got), o.weight())
		}
		f.finish(o)
		wg.Wait()
	}
}

// A part of a body that is sent to thousands is work that stands before the end of it.
func TestPartsAreKeptBackForAsLongAsTheirWaitersCost(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	for _, tt := range []struct {
		waiters   int
		end, want time.Duration // since the first bytes
	}{
		{1, time.Second, gatherTime},
		{1000 * cores, time.Second, 25 * time.Millisecond},
		{50_000 * cores, time.Second, maxGather},
		{50_000 * cores, time.Millisecond, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFlight(mediaKey(segPath), slab.New(), func(error) {}, 0)
			for range tt.waiters {
				f.join()
			}
			f.begin(&object{kind: kindSegment, status: http.StatusOK, length: 20})
			begun := time.Now()
			for range 2 {
				f.commit(copy(f.space(20), "ten bytes!"), true)
				time.Sleep(time.Millisecond / 2)
			}
			time.AfterFunc(tt.end-time.Since(begun), func() {
				o := &object{kind: kindSegment, status: http.StatusOK}
				o.chunks, o.length = f.body()
				f.finish(o)
			})
			var c cursor
			v, err := f.read(t.Context(), &c)
			if took := time.Since(begun); err != nil || len(v.piece.Data) != 20 || took != tt.want {
				t.Errorf("%d waiters got %d bytes after %s, not %s: %v", tt.waiters, len(v.piece.Data), took, tt.want, err)
			}
			time.Sleep(time.Second)
		})
	}
}

// trickle is a body that comes in pieces of any size.
type trickle struct{ rest []byte }

func (b *trickle) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:1+rand.IntN(len(p))], b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func TestPourChecksLengths(t *testing.T) {
	tests := []struct {
		name          string
		body          string
		length, limit int64
		ok            bool
	}{
		{"exact", "12345", 5, 10, true},
		{"unknown", "12345", -1, 10, true},
		{"unknown, at the limit", "12345", -1, 5, true},
		{"unknown, past the limit", "123456", -1, 5, false},
		{"short", "1234", 5, 10, false},
		{"empty", "", 0, 10, true},
	}
	for _, tt := range tests {
		f := newFlight(key{}, slab.NewStrict(), func(error) {}, 0)
		f.begin(&object{kind: kindSegment, status: http.StatusOK, length: tt.length})
		err := pour(f, strings.NewReader(tt.body), tt.length, tt.limit, false)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestMetricsAndTheHookTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		w := newWorld(t, Config{OnUpstream: func(upstream, uri string) { asked = append(asked, upstream+" "+uri) }})
		w.net.set("a", nil)
		w.b.set(fixed("12345", immutable))
		w.get(t, segPath)
		w.get(t, segPath)
		w.get(t, "/acme/show/none")
		synctest.Wait()
		if got := strings.Join(asked, "|"); got != "a "+segPath+"|b "+segPath {
			t.Errorf("asked %s", got)
		}
		for res, want := range map[result]float64{resultHit: 1, resultMiss: 1, resultError: 1, resultCollapsed: 0} {
			if n := testutil.ToFloat64(w.metrics.requests[res]); n != want {
				t.Errorf("%s: %v, want %v", res, n, want)
			}
		}
		if n := testutil.ToFloat64(w.metrics.upstreamErrors.WithLabelValues("a")); n != 1 {
			t.Errorf("errors of a: %v", n)
		}
		if n := testutil.ToFloat64(w.metrics.upstreamRequests.WithLabelValues("segment")); n != 2 {
			t.Errorf("upstream requests: %v", n)
		}
		if n := testutil.ToFloat64(w.metrics.sentBytes); n < 10 {
			t.Errorf("sent %v", n)
		}
	})
}

func TestCloseCutsFetchesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.a.set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		got := make(chan *httptest.ResponseRecorder)
		go func() { got <- w.get(t, livePath+"?_HLS_msn=9") }()
		synctest.Wait()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if rec := <-got; rec.Code < 500 {
			t.Errorf("got %d", rec.Code)
		}
	})
}
