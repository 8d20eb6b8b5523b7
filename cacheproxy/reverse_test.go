package cacheproxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// reverseWorld is a Reverse in front of an origin that a test writes, with real connections on both sides.
type reverseWorld struct {
	t      *testing.T
	url    string
	origin atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int32 // by the cache, of the origin
	cache  *Reverse
}

func newReverseWorld(t *testing.T, config ReverseConfig, origin http.HandlerFunc) *reverseWorld {
	t.Helper()
	w := &reverseWorld{t: t}
	w.origin.Store(&origin)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		(*w.origin.Load())(rw, r)
	}))
	t.Cleanup(server.Close)
	config.Upstreams = append(config.Upstreams, server.URL)
	var err error
	if w.cache, err = NewReverse(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	w.cache.flights.arena = slab.NewStrict()
	t.Cleanup(func() { _ = w.cache.Close() })
	if strings.HasPrefix(t.Name(), "TestReverseInTheLane/") {
		_, w.url = handlerInLane(t, w.cache, nil)
	} else {
		w.url = onNetHTTP(t, w.cache)
	}
	return w
}

// answers has the origin answer with these header lines and the body.
func (w *reverseWorld) answers(status int, body string, lines ...string) {
	h := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { tell(rw, status, body, lines...) })
	w.origin.Store(&h)
}

func tell(rw http.ResponseWriter, status int, body string, lines ...string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		rw.Header().Add(name, value)
	}
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, body)
}

type reverseAnswer struct {
	status int
	header http.Header
	body   string
}

func (w *reverseWorld) do(method, path string, lines ...string) reverseAnswer {
	w.t.Helper()
	method, body, _ := strings.Cut(method, " ")
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reverseAnswer{resp.StatusCode, resp.Header, string(text)}
}

// landed waits until nothing is on its way: what was just answered is in the cache a moment later.
func (w *reverseWorld) landed() {
	w.t.Helper()
	eventually(w.t, "what was asked is stored", func() bool { return len(w.cache.flights.all()) == 0 })
}

func (w *reverseWorld) get(path string, lines ...string) reverseAnswer {
	return w.do("GET", path, lines...)
}

// backdate makes what is stored for the path older, as if it had been stored so long ago.
func (w *reverseWorld) backdate(path string, by time.Duration) {
	w.t.Helper()
	w.landed()
	k := mediaKey(path)
	o := w.cache.cache.get(k)
	if o == nil {
		w.t.Fatalf("nothing is stored for %s", path)
	}
	c := *o
	c.received = c.received.Add(-by)
	w.cache.cache.put(k, &c, time.Now())
}

func (w *reverseWorld) wantAsked(n int32) {
	w.t.Helper()
	if got := w.asked.Load(); got != n {
		w.t.Errorf("the origin was asked %d times, want %d", got, n)
	}
}

func TestReverseReusesWhatIsFresh(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "body", "Cache-Control: max-age=60", "Age: 5", "Set-Cookie: a=b", "X-Own: 1", "Connection: X-Hop",
		"X-Hop: 1")
	first := w.get("/a?q=1")
	if want := "oxbow; fwd=uri-miss; fwd-status=200; stored"; first.header.Get("Cache-Status") != want {
		t.Errorf("Cache-Status %q, want %q", first.header.Get("Cache-Status"), want)
	}
	again := w.get("/a?q=1", "Cache-Control: no-cache", "Cookie: x=y")
	if again.status != 200 || again.body != "body" || again.header.Get("X-Own") != "1" ||
		again.header.Get("Set-Cookie") != "a=b" || again.header.Get("X-Hop") != "" || again.header.Get("Content-Length") != "4" {
		t.Errorf("got %+v", again)
	}
	if age, err := strconv.Atoi(again.header.Get("Age")); err != nil || age < 5 {
		t.Errorf("Age %q", again.header.Get("Age"))
	}
	if s := again.header.Get("Cache-Status"); !strings.HasPrefix(s, "oxbow; hit; ttl=5") {
		t.Errorf("Cache-Status %q", s)
	}
	if head := w.do("HEAD", "/a?q=1"); head.header.Get("Content-Length") != "4" || head.body != "" {
		t.Errorf("HEAD: %+v", head)
	}
	w.wantAsked(1)
	w.get("/a?q=2")
	w.get("/%61?%71=1") // another spelling of the first
	w.wantAsked(2)
}

func TestReverseDoesNotReuse(t *testing.T) {
	for name, row := range map[string]struct {
		answer  []string
		request []string
	}{
		"nothing said":   {},
		"no-store":       {answer: []string{"Cache-Control: no-store"}},
		"private":        {answer: []string{"Cache-Control: private, max-age=60"}},
		"Vary *":         {answer: []string{"Cache-Control: max-age=60", "Vary: *"}},
		"old by Age":     {answer: []string{"Cache-Control: max-age=60", "Age: 60"}},
		"authorized":     {answer: []string{"Cache-Control: max-age=60"}, request: []string{"Authorization: x"}},
		"with If-Match":  {answer: []string{"Cache-Control: max-age=60"}, request: []string{`If-Match: "a"`}},
		"broken targets": {answer: []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=60, &"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, nil)
			w.answers(200, "body", row.answer...)
			for range 3 {
				if got := w.get("/a", row.request...); got.body != "body" {
					t.Errorf("got %+v", got)
				}
			}
			w.wantAsked(3)
		})
	}
}

func TestReverseValidatesWhatIsStale(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` {
			tell(rw, 304, "", "Cache-Control: max-age=60", `ETag: "v1"`, "X-Own: 2", "Content-Type: text/html")
			return
		}
		tell(rw, 200, "body", "Cache-Control: max-age=1", `ETag: "v1"`, "X-Own: 1", "Content-Type: text/plain")
	})
	w.get("/a")
	w.backdate("/a", time.Minute)
	for range 2 {
		got := w.get("/a")
		if got.status != 200 || got.body != "body" || got.header.Get("X-Own") != "2" ||
			got.header.Get("Content-Type") != "text/plain" {
			t.Errorf("got %+v", got)
		}
	}
	w.wantAsked(2)
	if got := w.get("/a", `If-None-Match: "v1"`); got.status != 304 || got.header.Get("Etag") != `"v1"` {
		t.Errorf("got %+v", got)
	}
	w.wantAsked(2)
}

// A failure that may not be hidden is told, and what is stored can be validated after it.
func TestReverseKeepsWhatIsStaleOverAFailure(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "body", "Cache-Control: max-age=1, must-revalidate", `ETag: "v1"`)
	w.get("/a")
	w.backdate("/a", time.Minute)
	w.answers(503, "down")
	if got := w.get("/a"); got.status != 503 || got.body != "down" {
		t.Errorf("got %+v", got)
	}
	w.answers(304, "", "Cache-Control: max-age=60", `ETag: "v1"`)
	if got := w.get("/a"); got.status != 200 || got.body != "body" {
		t.Errorf("got %+v", got)
	}
	w.wantAsked(3)
}

// An origin that says "not modified" of another version has not spoken of ours.
func TestReverseDistrustsA304OfAnotherVersion(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			tell(rw, 304, "", `ETag: "v2"`)
			return
		}
		tell(rw, 200, "body", "Cache-Control: max-age=1", `ETag: "v1"`)
	})
	w.get("/a")
	w.backdate("/a", time.Minute)
	if got := w.get("/a"); got.status != 200 || got.body != "body" {
		t.Errorf("got %+v", got)
	}
	w.wantAsked(3)
}

func TestReverseStandsIn(t *testing.T) {
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	fails := func(rw http.ResponseWriter, _ *http.Request) { tell(rw, 503, "down") }
	for name, row := range map[string]struct {
		control string
		then    http.HandlerFunc
		stale   time.Duration
		want    int
	}{
		"away":                          {"max-age=1", hangUp, 10 * time.Second, 200},
		"away for too long":             {"max-age=1", hangUp, 10 * time.Minute, 502},
		"away, stale-if-error":          {"max-age=1, stale-if-error=3600", hangUp, 10 * time.Minute, 200},
		"away, must-revalidate":         {"max-age=1, must-revalidate", hangUp, 10 * time.Second, 502},
		"away, proxy-revalidate":        {"max-age=1, proxy-revalidate", hangUp, 10 * time.Second, 502},
		"away, s-maxage":                {"s-maxage=1", hangUp, 10 * time.Second, 502},
		"failed":                        {"max-age=1", fails, 10 * time.Second, 503},
		"failed, stale-if-error":        {"max-age=1, stale-if-error=60", fails, 10 * time.Second, 200},
		"failed, past stale-if-error":   {"max-age=1, stale-if-error=60", fails, 2 * time.Minute, 503},
		"failed, no-cache with another": {"max-age=1, stale-if-error=60, must-revalidate", fails, 10 * time.Second, 503},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, nil)
			w.answers(200, "body", "Cache-Control: "+row.control)
			w.get("/a")
			w.backdate("/a", row.stale)
			w.origin.Store(&row.then)
			got := w.get("/a")
			if got.status != row.want || (row.want == 200) != (got.body == "body") {
				t.Errorf("got %+v", got)
			}
			if head := w.do("HEAD", "/a"); head.status != row.want {
				t.Errorf("HEAD: got %+v", head)
			}
		})
	}
}

func TestReverseServesStaleWhileItAsks(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "old", "Cache-Control: max-age=1, stale-while-revalidate=60")
	w.get("/a")
	w.backdate("/a", 10*time.Second)
	slow := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		tell(rw, 200, "new", "Cache-Control: max-age=60")
	})
	w.origin.Store(&slow)
	for range 3 { // the origin holds its answer back, and nobody waits for it
		if got := w.get("/a"); got.body != "old" || !strings.Contains(got.header.Get("Cache-Status"), "hit; ttl=-") {
			t.Errorf("got %+v", got)
		}
	}
	<-asked
	close(release)
	w.cache.running.Wait()
	if got := w.get("/a"); got.body != "new" {
		t.Errorf("got %+v", got)
	}
	w.wantAsked(2)
}

func TestReverseVariants(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		tell(rw, 200, "for "+r.Header.Get("Foo"), "Cache-Control: max-age=60", "Vary: Foo")
	})
	for range 2 {
		for _, foo := range []string{"1", "2"} {
			if got := w.get("/a", "Foo: "+foo); got.body != "for "+foo {
				t.Errorf("got %q for %s", got.body, foo)
			}
		}
	}
	w.wantAsked(2)
	w.do("POST x", "/a")
	w.get("/a", "Foo: 1")
	w.get("/a", "Foo: 2")
	w.wantAsked(5) // an unsafe request drops all variants
}

func TestReverseAsksAnotherUpstream(t *testing.T) {
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { tell(rw, 503, "busy") }))
	defer busy.Close()
	w := newReverseWorld(t, ReverseConfig{Upstreams: []string{"http://" + down.Addr().String(), busy.URL}}, nil)
	w.answers(200, "body")
	if got := w.do("POST x", "/a"); got.status != 502 { // it may have been heard
		t.Errorf("POST: got %+v", got)
	}
	if got := w.get("/a"); got.status != 200 || got.body != "body" {
		t.Errorf("got %+v", got)
	}
}

func TestReverseClientLeaves(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{Linger: time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-asked
		leave()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an answer without one")
	}
	<-gone // the origin is not kept busy for nobody
	w.cache.running.Wait()
}

func TestReverseTellsAClientThatSendsNoMoreNothingWrong(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{Linger: time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = conn.(*net.TCPConn).CloseWrite()
	if got, _ := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("an answer that no origin gave: %q", got)
	}
}

func FuzzNormalizeURI(f *testing.F) {
	for _, s := range []string{"/a%2fb?%71=%7E", "/%", "/%zz", "/%25%32%35"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := normalizeURI(s)
		if len(once) > len(s) {
			t.Fatalf("%q grew to %q", s, once)
		}
		if strings.Count(s, "/") != strings.Count(once, "/") || strings.Count(s, "?") != strings.Count(once, "?") {
			t.Fatalf("%q has other elements than %q", once, s)
		}
	})
}
