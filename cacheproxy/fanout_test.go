package cacheproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// realEdge is an edge, a directory and nodes on real sockets.
type realEdge struct {
	*Proxy
	url       string
	client    *http.Client
	directory *directory
}

func newRealEdge(t testing.TB, config Config, archive http.Handler, nodes ...http.Handler) *realEdge {
	t.Helper()
	var urls []string
	for _, n := range nodes {
		s := httptest.NewServer(n)
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	d := newDirectory(urls...)
	ds := httptest.NewServer(d)
	t.Cleanup(ds.Close)
	config.Directories = []string{ds.URL}
	p := New(config, map[string]http.Handler{"": archive}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	p.flights.arena = slab.NewStrict()                // who reads bytes without holding them reads nonsense
	p.setPolicies(media.PlaybackPolicies{Version: 1}) // everything is public
	p.locator.timeout = time.Minute                   // no directory here is silent, but machines stand still
	front := httptest.NewUnstartedServer(p)
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	front.Start()
	transport := &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		front.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &realEdge{Proxy: p, url: front.URL, client: &http.Client{Transport: transport}, directory: d}
}

// fetch gets a whole body; err is set too when it came short.
func (e *realEdge) fetch(ctx context.Context, uri string, head ...string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+uri, nil)
	if err != nil {
		return nil, nil, err
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp, body, err
}

// HTTP-22, BLK-12: equal blocking requests share one upstream wait, and so do those for a hinted part.
func TestHTTP22_500ViewersUpstreamSeesOneRequestPerObjectAndVersion(t *testing.T) {
	const viewers, versions = 500, 6
	s := newShow(7, 0)
	s.plainAge = "public, max-age=1000" // nothing runs out, however long the viewers take
	s.patience = 5 * time.Minute
	e := newRealEdge(t, Config{BlockTimeout: s.patience, FetchTimeout: s.patience}, nil, s)
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()

	var wg sync.WaitGroup
	var failures sync.Map
	var again atomic.Bool
	get := func(viewer int, uri string, want []byte) {
		coding := []string{"gzip", "identity"}[viewer%2]
		resp, body, err := e.fetch(ctx, uri, "Accept-Encoding", coding)
		for err == nil && resp.StatusCode >= 500 { // the node, or the directory, was slow: the machine stood still
			again.Store(true)
			<-time.After(200 * time.Millisecond)
			resp, body, err = e.fetch(ctx, uri, "Accept-Encoding", coding)
		}
		switch {
		case err != nil:
			failures.Store(err.Error(), true)
		case resp.StatusCode != http.StatusOK:
			failures.Store(resp.Status, true)
		case want != nil && !bytes.Equal(body, want):
			failures.Store("wrong body of "+uri, true)
		}
	}
	var uris []string
	for v := range versions {
		msn, part := 8+v/partsPerSegment, v%partsPerSegment
		// Half of the viewers write the directives in the other order, with a parameter of their own.
		list := fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", livePath, msn, part)
		other := fmt.Sprintf("%s?x=%d&_HLS_part=%d&_HLS_msn=%d", livePath, v, part, msn)
		hint := fmt.Sprintf("%s/1/video/%d.%d.m4s", recBase, msn, part)
		uris = append(uris, list, hint)
		for i := range viewers {
			wg.Go(func() {
				if i%4 < 2 {
					get(i, list, nil)
				} else {
					get(i, other, nil)
				}
			})
			wg.Go(func() { get(i, hint, bodyOf(hint, 20_000)) })
		}
		// The plain variant's own wait for the compressed one counts too.
		eventually(t, "all viewers wait", func() bool { return e.waiting.Load() == 2*viewers+1 || again.Load() })
		s.advance()
		wg.Wait()
	}
	seg := recBase + "/1/video/8.m4s"
	uris = append(uris, seg, livePath)
	for i := range viewers {
		wg.Go(func() { get(i, seg, bodyOf(seg, 20_000)) })
		wg.Go(func() { get(i, livePath, nil) })
	}
	wg.Wait()
	failures.Range(func(k, _ any) bool { t.Error(k); return true })
	if again.Load() {
		t.Log("the machine stood still: how often the upstream was asked is not judged")
		return
	}
	for _, uri := range uris {
		if n := s.of(uri); n != 1 {
			t.Errorf("upstream saw %s %d times, want 1", uri, n)
		}
	}
	if n := s.total() - s.of(checkPath); n != len(uris) { // it is looked at while it is waited for
		t.Errorf("upstream saw %d requests, want %d: %v", n, len(uris), s.n)
	}
	if n := e.directory.total(); n > 20 {
		t.Errorf("directory was asked %d times", n)
	}
}

// gated answers with the first bytes, and with the rest when told.
type gated struct {
	counter
	first, rest []byte
	release     chan struct{}
	chunked     bool
}

func newGated(n int) *gated {
	body := bodyOf(segPath, n)
	return &gated{first: body[:n/2], rest: body[n/2:], release: make(chan struct{})}
}

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.add(r.URL.RequestURI())
	w.Header().Set("Cache-Control", immutable)
	if !g.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(g.first)+len(g.rest)))
	}
	_, _ = w.Write(g.first)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-g.release:
		_, _ = w.Write(g.rest)
	case <-r.Context().Done():
	}
}

func TestBytesReachAllWaitersBeforeTheUpstreamHasFinished(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%t", chunked), func(t *testing.T) {
			const viewers = 50
			g := newGated(100_000)
			g.chunked = chunked
			e := newRealEdge(t, Config{}, nil, g)
			var started, finished sync.WaitGroup
			started.Add(viewers)
			for range viewers {
				finished.Go(func() {
					resp, err := e.client.Get(e.url + segPath)
					if err != nil {
						t.Error(err)
						started.Done()
						return
					}
					defer func() { _ = resp.Body.Close() }()
					head := make([]byte, len(g.first))
					_, err = io.ReadFull(resp.Body, head)
					started.Done()
					if err != nil || !bytes.Equal(head, g.first) {
						t.Errorf("first half: %v", err)
					}
					rest, err := io.ReadAll(resp.Body)
					if err != nil || !bytes.Equal(rest, g.rest) {
						t.Errorf("second half: %d bytes, %v", len(rest), err)
					}
				})
			}
			started.Wait() // with the upstream still holding the rest back
			close(g.release)
			finished.Wait()
			if n := g.total(); n != 1 {
				t.Errorf("upstream saw %d requests", n)
			}
		})
	}
}

func TestASlowViewerSlowsNobodyAndIsCutOff(t *testing.T) {
	const size = 24 << 20 // more than sockets hold
	body := bodyOf(segPath, size)
	n := &node{}
	n.set(fixed(string(body), immutable))
	e := newRealEdge(t, Config{WriteTimeout: 5 * time.Second, MaxBytes: 512 << 20}, nil, n)

	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", segPath); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow viewer's request is there", func() bool { return n.total() == 1 })
	for range 3 {
		_, got, err := e.fetch(t.Context(), segPath)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("another viewer got %d bytes, %v", len(got), err)
		}
	}
	// It reads nothing: the write deadline ends it.
	eventually(t, "the slow viewer is cut off", func() bool { return e.waiting.Load() == 0 })
	if n := testutil.ToFloat64(e.metrics.requests[resultError]); n != 1 {
		t.Errorf("%v requests ended in error, want 1", n)
	}
}

func TestTheViewerWhoCausedAFetchMayLeave(t *testing.T) {
	g := newGated(100_000)
	e := newRealEdge(t, Config{}, nil, g)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _, _ = e.fetch(ctx, segPath)
	}()
	eventually(t, "the fetch is under way", func() bool { return g.total() == 1 })
	type outcome struct {
		body []byte
		err  error
	}
	second := make(chan outcome, 1)
	go func() {
		_, body, err := e.fetch(t.Context(), segPath)
		second <- outcome{body, err}
	}()
	eventually(t, "two wait", func() bool { return e.waiting.Load() == 2 })
	leave()
	<-left
	eventually(t, "one has left", func() bool { return e.waiting.Load() == 1 })
	close(g.release)
	if o := <-second; o.err != nil || !bytes.Equal(o.body, bodyOf(segPath, 100_000)) {
		t.Fatalf("the other viewer got %d bytes, %v", len(o.body), o.err)
	}
	if n := g.total(); n != 1 {
		t.Errorf("upstream saw %d requests", n)
	}
}

// firstAnswers gives an edge and its answer, of which the first of two nodes has sent a part. On a machine that stands
// still the directory or that node is late, and another edge is tried.
func firstAnswers(t *testing.T, first http.Handler, second *node) (*realEdge, *http.Response) {
	t.Helper()
	for range 10 {
		begun := second.total()
		e := newRealEdge(t, Config{}, nil, first, second)
		resp, err := e.client.Get(e.url + segPath)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if resp.StatusCode == http.StatusOK && second.total() == begun {
			return e, resp
		}
	}
	t.Fatal("the first node was late for ten edges")
	return nil, nil
}

func TestAnUpstreamThatDiesInMidBody(t *testing.T) {
	// dying breaks its connection after so many of 100,000 bytes.
	dying := func(after int, flushed chan struct{}) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", immutable)
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(bodyOf(segPath, 100_000)[:after])
			if flushed != nil {
				_ = http.NewResponseController(w).Flush()
				<-flushed
			}
			panic(http.ErrAbortHandler)
		})
	}
	good := &node{}
	good.set(fixed(string(bodyOf(segPath, 100_000)), immutable))

	t.Run("before viewers saw a byte: the next one answers for all", func(t *testing.T) {
		e := newRealEdge(t, Config{}, nil, dying(0, nil), good)
		_, body, err := e.fetch(t.Context(), segPath)
		if err != nil || !bytes.Equal(body, bodyOf(segPath, 100_000)) {
			t.Fatalf("got %d bytes, %v", len(body), err)
		}
	})
	t.Run("after that: the connection breaks, nothing is cached", func(t *testing.T) {
		die := make(chan struct{})
		e, resp := firstAnswers(t, dying(50_000, die), good)
		head := make([]byte, 1000)
		if _, err := io.ReadFull(resp.Body, head); err != nil {
			t.Fatal(err)
		}
		close(die)
		if rest, err := io.ReadAll(resp.Body); err == nil {
			t.Fatalf("a body of %d bytes ended well", len(rest)+len(head))
		}
		if _, objects := e.cache.usage(); objects != 0 {
			t.Errorf("%d objects are cached", objects)
		}
		e.directory.change(func(d *directory) { d.location.Nodes = d.location.Nodes[1:] })
		eventually(t, "the flight has landed", func() bool { return len(e.flights.all()) == 0 })
	})
	t.Run("chunked, after that: the connection breaks too", func(t *testing.T) {
		die := make(chan struct{})
		e, resp := firstAnswers(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", immutable)
			_, _ = w.Write(bodyOf(segPath, 50_000))
			_ = http.NewResponseController(w).Flush()
			<-die
			panic(http.ErrAbortHandler)
		}), &node{})
		close(die)
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Fatal("a cut body ended well")
		}
		if _, objects := e.cache.usage(); objects != 0 {
			t.Errorf("%d objects are cached", objects)
		}
	})
}

// A recording moves to the archive while viewers watch it: none sees anything but 200.
func TestMoveToTheArchiveMidShowIsSeenByNoViewer(t *testing.T) {
	const viewers, segments = 20, 30
	serve := func(w http.ResponseWriter, r *http.Request) {
		fixed(string(bodyOf(r.URL.Path, 5000)), immutable)(w, r)
	}
	local, archive := &node{}, &node{}
	local.set(serve)
	e := newRealEdge(t, Config{}, archive, local)
	moved := make(chan struct{})
	var reached, wg sync.WaitGroup
	reached.Add(viewers)
	for v := range viewers {
		wg.Go(func() {
			// Each goes on for that many segments after the move, and fetches for itself.
			for i, left := 0, segments; left > 0; i++ {
				if i == segments {
					reached.Done()
				}
				select {
				case <-moved:
					left--
				default:
				}
				uri := segment(1 + v*100_000 + i)
				resp, body, err := e.fetch(t.Context(), uri)
				if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, bodyOf(uri, 5000)) {
					t.Errorf("viewer %d, segment %d: %v %v", v, i, resp, err)
					return
				}
			}
		})
	}
	reached.Wait()
	archive.set(serve)
	e.directory.change(func(d *directory) {
		d.location.State, d.location.Archived, d.location.Nodes = media.Archived, true, nil
	})
	local.set(nil) // 404
	close(moved)
	wg.Wait()
	if n := archive.total(); n < viewers {
		t.Errorf("the archive saw %d requests", n)
	}
}
