package cacheproxy

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/porttest"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// after answers with a delay.
func after(d time.Duration, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			h(w, r)
		case <-r.Context().Done():
		}
	}
}

func TestLateAnswersAreHedged(t *testing.T) {
	get := func(t *testing.T, w *world, uri, want string, took time.Duration) {
		t.Helper()
		begun := time.Now()
		rec := w.get(t, uri)
		wantStatus(t, rec, http.StatusOK)
		if got := rec.Body.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if d := time.Since(begun); d != took {
			t.Errorf("took %v, want %v", d, took)
		}
	}
	// known gives the edge an idea of how fast a is.
	known := func(t *testing.T, w *world) {
		t.Helper()
		for i := range 32 {
			get(t, w, segment(100+i), "from a", 0)
		}
	}
	const late = 250 * time.Millisecond
	inWorld(t, "by the next node, a bit later than is usual", func(t *testing.T, w *world) {
		known(t, w)
		w.a.set(hangs)
		get(t, w, segment(1), "from b", late)
		if n := testutil.ToFloat64(w.metrics.hedgesWon); n != 1 {
			t.Errorf("%v won", n)
		}
	})
	inWorld(t, "and the first to answer wins", func(t *testing.T, w *world) {
		known(t, w)
		w.a.set(after(400*time.Millisecond, fixed("from a", "no-store")))
		w.b.set(after(300*time.Millisecond, fixed("from b", "no-store")))
		get(t, w, segment(1), "from a", 400*time.Millisecond)
	})
	inWorld(t, "by the archive, where there is no other node", func(t *testing.T, w *world) {
		w.directory.location.Nodes, w.directory.location.Archived = []string{"http://a"}, true
		w.archive.set(fixed("from archive", "no-store"))
		known(t, w)
		w.a.set(hangs)
		get(t, w, segment(1), "from archive", late)
	})
	inWorld(t, "an upstream that is outrun for long is out", func(t *testing.T, w *world) {
		known(t, w)
		w.a.set(hangs)
		for i := range 5 {
			get(t, w, segment(1+i), "from b", late)
		}
		get(t, w, segment(7), "from b", 0)
	})
	inWorld(t, "a refusal of the second is not believed", func(t *testing.T, w *world) {
		known(t, w)
		w.a.set(after(time.Second, fixed("from a", "no-store")))
		for _, status := range []int{404, 410, 421, 500, 503} {
			w.b.set(failing(status))
			get(t, w, segment(status), "from a", time.Second)
		}
		w.net.set("b", nil)
		get(t, w, segment(1), "from a", time.Second)
	})
	inWorld(t, "a failure of the first is", func(t *testing.T, w *world) {
		known(t, w)
		w.a.set(after(300*time.Millisecond, failing(500)))
		w.b.set(after(time.Second, fixed("from b", "no-store")))
		get(t, w, segment(1), "from b", late+time.Second)
		if n := w.b.total(); n != 1 {
			t.Errorf("b was asked %d times", n)
		}
	})
	inWorld(t, "never what waits by its nature", func(t *testing.T, w *world) {
		w.a.set(after(3*time.Second, fixed("from a", "no-store")))
		get(t, w, livePath+"?_HLS_msn=9&_HLS_part=1", "from a", 3*time.Second)
		get(t, w, recBase+"/1/video/9.1.m4s", "from a", 3*time.Second)
		get(t, w, livePath, "from a", 3*time.Second)
		if n := w.b.total(); n != 0 {
			t.Errorf("b was asked %d times", n)
		}
		w.a.set(hangs)
		get(t, w, livePath+"?_HLS_msn=9&_HLS_part=2", "from b", w.config.BlockTimeout)
		if d := w.upstreams.HedgeAfter("http://a"); d != time.Second || !w.upstreams.Well("http://a") {
			t.Errorf("the wait counts: %v", d)
		}
	})
	inWorld(t, "never at a mirror, a guess, or who is out", func(t *testing.T, w *world) {
		w.a.set(after(3*time.Second, fixed("from a", "no-store")))
		w.directory.change(func(d *directory) { d.location.Guess = true })
		get(t, w, segment(1), "from a", 3*time.Second)
		w.directory.change(func(d *directory) { d.location.Guess = false })
		time.Sleep(locateGuessTTL)
		for range 2 { // for two seconds
			time.Sleep(restTime)
			use, _ := w.upstreams.Begin("http://b", true)
			use.Failed(pool.Late)
			use.Done()
		}
		get(t, w, segment(2), "from a", 3*time.Second)
		w.directory.change(func(d *directory) {
			d.location.Guess, d.location.Archived, d.location.Archive, d.location.Mirror = false, true, "away", media.DefaultArchive
			d.location.Nodes = []string{"http://a"}
		})
		time.Sleep(locateGuessTTL)
		w.archive.set(fixed("from the mirror", "no-store"))
		get(t, w, segment(3), "from a", 3*time.Second)
	})
	inWorld(t, "nor beyond the budget", func(t *testing.T, w *world) {
		w.upstreams = pool.New(pool.Config{RetryBurst: 2, RetryFloor: 1e-9, RetryRatio: 1e-9}, w.logger, prometheus.NewRegistry())
		known(t, w)
		w.a.set(after(time.Second, fixed("from a", "no-store")))
		get(t, w, segment(1), "from b", late)
		get(t, w, segment(2), "from a", time.Second)
	})
}

func TestRetriesHaveABudget(t *testing.T) {
	inWorld(t, "for what loads upstreams", func(t *testing.T, w *world) {
		w.upstreams = pool.New(pool.Config{RetryBurst: 3, RetryFloor: 1e-9, RetryRatio: 1e-9, Failures: 1000},
			w.logger, prometheus.NewRegistry())
		w.a.set(failing(http.StatusInternalServerError))
		for i := range 3 {
			wantStatus(t, w.get(t, segment(1+i)), http.StatusOK)
		}
		wantStatus(t, w.get(t, segment(4)), http.StatusBadGateway)
		if n := w.b.total(); n != 3 {
			t.Errorf("b was asked %d times", n)
		}
	})
	inWorld(t, "not for what costs nothing", func(t *testing.T, w *world) {
		w.upstreams = pool.New(pool.Config{RetryBurst: 1, RetryFloor: 1e-9, RetryRatio: 1e-9}, w.logger, prometheus.NewRegistry())
		for i := range 20 {
			w.a.set(failing(http.StatusMisdirectedRequest))
			wantStatus(t, w.get(t, segment(1+i)), http.StatusOK)
		}
		w.net.set("a", nil)
		for i := range 20 {
			wantStatus(t, w.get(t, segment(100+i)), http.StatusOK)
		}
	})
}

func TestPlacesOfAnUpstream(t *testing.T) {
	in := func(name string, f func(t *testing.T, w *world)) {
		inWorld(t, name, func(t *testing.T, w *world) {
			w.upstreams = pool.New(pool.Config{Places: 2, Queue: 2}, w.logger, prometheus.NewRegistry())
			w.a.set(after(300*time.Millisecond, fixed("from a", "no-store")))
			f(t, w)
		})
	}
	ask := func(t *testing.T, w *world, n int) (statuses map[int]int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		statuses = make(map[int]int)
		for i := range n {
			wg.Go(func() {
				rec := w.get(t, segment(1+i))
				mu.Lock()
				defer mu.Unlock()
				statuses[rec.Code]++
				if rec.Code == http.StatusServiceUnavailable && rec.Header().Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			})
		}
		wg.Wait()
		return statuses
	}
	in("the next one has more", func(t *testing.T, w *world) {
		if got := ask(t, w, 10); got[200] != 10 || w.a.total() < 2 || w.b.total() < 4 {
			t.Errorf("%v, a %d, b %d", got, w.a.total(), w.b.total())
		}
	})
	in("without a next one a few wait, and the others are turned away", func(t *testing.T, w *world) {
		w.directory.location.Nodes = []string{"http://a"}
		begun := time.Now()
		if got := ask(t, w, 10); got[200] != 4 || got[503] != 6 || w.a.total() != 4 {
			t.Errorf("%v, a %d", got, w.a.total())
		}
		if d := time.Since(begun); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
	in("what waits by its nature needs none", func(t *testing.T, w *world) {
		w.directory.location.Nodes = []string{"http://a"}
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				rec := w.get(t, strings.ReplaceAll(livePath, "video", "video"+string(rune('a'+i)))+"?_HLS_msn=9&_HLS_part=1")
				if rec.Code != http.StatusOK {
					t.Errorf("%d", rec.Code)
				}
			})
		}
		wg.Wait()
	})
}

// realNode is a node on a socket that can be stopped and started again at its address.
type realNode struct {
	node
	t      *testing.T
	addr   string
	server *httptest.Server
}

func newRealNode(t *testing.T, h http.HandlerFunc) *realNode {
	n := &realNode{t: t}
	n.set(h)
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *realNode) start() {
	n.t.Helper()
	var err error
	if n.addr == "" { // one that nobody takes while it is stopped
		if n.addr, err = porttest.Loopback(n.t.Context()); err != nil {
			n.t.Fatal(err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(n.t.Context(), "tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == checkPath {
			return
		}
		n.ServeHTTP(w, r)
	}))
	_ = n.server.Listener.Close()
	n.server.Listener = l
	n.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	n.server.Start()
}

func (n *realNode) stop() {
	n.server.CloseClientConnections()
	n.server.Close()
}

func segmentBody(w http.ResponseWriter, r *http.Request) { store(w, r, 20_000) }

// viewAll has many viewers fetch a segment each, which nobody else fetches.
func (e *realEdge) viewAll(t *testing.T, first, n int) (longest time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			uri, begun := segment(first+i), time.Now()
			resp, body, err := e.fetch(t.Context(), uri)
			// On a machine that stands still the good node is none either: it is asked again, as players do.
			for range 50 {
				if err != nil || resp.StatusCode < 500 {
					break
				}
				<-time.After(200 * time.Millisecond)
				resp, body, err = e.fetch(t.Context(), uri)
			}
			if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, bodyOf(uri, 20_000)) {
				t.Errorf("%s: %v, %d bytes, %v", uri, resp, len(body), err)
			}
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, time.Since(begun))
		})
	}
	wg.Wait()
	return longest
}

func TestNodesInTroubleOverRealSockets(t *testing.T) {
	const viewers = 60
	setup := func(t *testing.T, h http.HandlerFunc) (*realEdge, *realNode) {
		a, b := newRealNode(t, h), newRealNode(t, segmentBody)
		e := newRealEdge(t, Config{FetchTimeout: 30 * time.Second}, nil)
		e.directory.change(func(d *directory) {
			d.location.State, d.location.Nodes = media.Ended, []string{"http://" + a.addr, "http://" + b.addr}
		})
		return e, a
	}
	// Whoever waits for a header as long as one may was not helped. That is long, for this machine may be slow.
	within := func(t *testing.T, e *realEdge, took time.Duration) {
		t.Helper()
		if took >= e.config.FetchTimeout {
			t.Errorf("a viewer waited %v", took)
		}
	}
	t.Run("one that hangs", func(t *testing.T) {
		t.Parallel()
		e, a := setup(t, hangs)
		within(t, e, e.viewAll(t, 1, viewers))
		seen := a.total()
		within(t, e, e.viewAll(t, 1001, viewers))
		if n := a.total() - seen; n > viewers/2 {
			t.Errorf("%d requests went to a node that hangs", n)
		}
	})
	t.Run("one that breaks off in mid-body", func(t *testing.T) {
		t.Parallel()
		e, a := setup(t, func(w http.ResponseWriter, r *http.Request) {
			segmentBody(&stopping{ResponseWriter: w, left: 12_000}, r)
		})
		within(t, e, e.viewAll(t, 1, viewers))
		seen := a.total()
		within(t, e, e.viewAll(t, 1001, viewers))
		if n := a.total() - seen; n > viewers/2 {
			t.Errorf("it was asked %d times more", n)
		}
	})
	t.Run("one that fails every other time", func(t *testing.T) {
		t.Parallel()
		var n atomic.Int64
		e, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
			switch n.Add(1) % 4 {
			case 0:
				failing(http.StatusInternalServerError)(w, r)
			case 1:
				panic(http.ErrAbortHandler)
			default:
				segmentBody(w, r)
			}
		})
		for i := range 5 {
			within(t, e, e.viewAll(t, 1+1000*i, viewers/2))
		}
	})
	t.Run("one that is stopped and started again and again", func(t *testing.T) {
		t.Parallel()
		e, a := setup(t, segmentBody)
		for i := range 6 {
			within(t, e, e.viewAll(t, 1+1000*i, viewers/2))
			if i%2 == 0 {
				a.stop()
			} else {
				a.start()
			}
		}
	})
	t.Run("one that comes back is not run over", func(t *testing.T) {
		t.Parallel()
		e, a := setup(t, segmentBody)
		a.stop()
		within(t, e, e.viewAll(t, 1, viewers))
		release := make(chan struct{})
		defer close(release)
		a.set(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
		before := a.total()
		a.start()
		i := 1000
		eventually(t, "it is tried", func() bool {
			i++
			e.viewAll(t, i, 1)
			return a.total() > before
		})
		// As long as it has not answered, hardly anybody else asks it.
		within(t, e, e.viewAll(t, 10_000, viewers))
		if n := a.total() - before; n > 10 {
			t.Errorf("it had %d of %d requests before it answered one", n, viewers)
		}
	})
}

func TestChecksOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.a.checks.Store(true)
		for _, c := range []struct {
			name string
			h    http.HandlerFunc
			good bool
		}{
			{"an old node, which has no such path", failing(http.StatusNotFound), true},
			{"a node", fixed("ok", "no-store"), true},
			{"one that fails", failing(http.StatusInternalServerError), false},
		} {
			w.a.set(c.h)
			if err := w.check(t.Context(), "http://a"); (err == nil) != c.good {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		w.net.set("a", nil)
		if err := w.check(t.Context(), "http://a"); err == nil {
			t.Error("one that is away passes")
		}
		if err := w.check(t.Context(), archiveName); !errors.Is(err, pool.ErrNoCheck) {
			t.Errorf("an archive: %v", err)
		}
	})
}
