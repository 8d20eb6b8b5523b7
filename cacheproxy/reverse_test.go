package cacheproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	front := httptest.NewServer(w.cache)
	t.Cleanup(func() {
		front.Close()
		_ = w.cache.Close()
	})
	w.url = front.URL
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

func (w *reverseWorld) get(path string, lines ...string) reverseAnswer {
	return w.do("GET", path, lines...)
}

// backdate makes what is stored for the path older, as if it had been stored so long ago.
func (w *reverseWorld) backdate(path string, by time.Duration) {
	w.t.Helper()
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

func TestReverseInvalidates(t *testing.T) {
	for name, row := range map[string]struct {
		method string
		status int
		lines  []string
		want   []string // paths that are gone
	}{
		"PUT":                  {"PUT x", 200, nil, []string{"/a"}},
		"unknown method":       {"M-SEARCH x", 200, nil, []string{"/a"}},
		"redirected":           {"POST x", 303, nil, []string{"/a"}},
		"refused":              {"POST x", 500, nil, nil},
		"safe":                 {"OPTIONS", 200, nil, nil},
		"Location":             {"POST x", 201, []string{"Location: b"}, []string{"/a", "/b"}},
		"Content-Location":     {"POST x", 201, []string{"Content-Location: /b"}, []string{"/a", "/b"}},
		"Location of another":  {"POST x", 201, []string{"Location: http://elsewhere.invalid/b"}, []string{"/a"}},
		"DELETE without body":  {"DELETE", 204, nil, []string{"/a"}},
		"escaped in Location":  {"POST x", 201, []string{"Location: %62"}, []string{"/a", "/b"}},
		"unreadable Location":  {"POST x", 201, []string{"Location: http://%zz/"}, []string{"/a"}},
		"Location of opposite": {"POST x", 404, []string{"Location: b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					tell(rw, 200, "body", "Cache-Control: max-age=60")
					return
				}
				tell(rw, row.status, "", row.lines...)
			})
			w.get("/a")
			w.get("/b")
			w.do(row.method, "/a")
			for _, path := range []string{"/a", "/b"} {
				gone := w.cache.cache.get(mediaKey(path)) == nil
				if gone != slices.Contains(row.want, path) {
					t.Errorf("%s gone: %t", path, gone)
				}
			}
		})
	}
}

// What was fetched before a change must not be stored after it.
func TestReverseForgetsWhatWasOnItsWayDuringAChange(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			close(asked)
			<-release
		}
		tell(rw, 200, "old", "Cache-Control: max-age=60")
	})
	var group sync.WaitGroup
	group.Go(func() { w.get("/a") })
	<-asked
	w.do("PUT x", "/a")
	close(release)
	group.Wait()
	w.cache.running.Wait()
	if w.cache.cache.get(mediaKey("/a")) != nil {
		t.Error("the answer from before the change was stored")
	}
	if len(w.cache.changes.under) != 0 {
		t.Error("changes are remembered for ever")
	}
}

func TestReverseHEADFreshensOrDrops(t *testing.T) {
	for name, row := range map[string]struct {
		head []string
		want string // body of the next GET
	}{
		"same":      {[]string{"Cache-Control: max-age=60", `ETag: "v1"`, "Content-Length: 3"}, "old"},
		"other tag": {[]string{"Cache-Control: max-age=60", `ETag: "v2"`, "Content-Length: 3"}, "new"},
		"longer":    {[]string{"Cache-Control: max-age=60", `ETag: "v1"`, "Content-Length: 4"}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, nil)
			w.answers(200, "old", "Cache-Control: max-age=1", `ETag: "v1"`)
			w.get("/a")
			w.backdate("/a", time.Minute)
			w.answers(200, "", row.head...)
			w.do("HEAD", "/a")
			w.answers(200, "new", "Cache-Control: max-age=60")
			if got := w.get("/a"); got.body != row.want {
				t.Errorf("got %q, want %q", got.body, row.want)
			}
		})
	}
}

func TestReverseRanges(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "0123456789", "Cache-Control: max-age=60", `ETag: "v1"`, "Content-Type: text/plain")
	w.get("/a")
	for lines, want := range map[string]reverseAnswer{
		"Range: bytes=0-1":                      {status: 206, body: "01", header: http.Header{"Content-Range": {"bytes 0-1/10"}}},
		"Range: bytes=-3":                       {status: 206, body: "789", header: http.Header{"Content-Range": {"bytes 7-9/10"}}},
		"Range: bytes=5-|If-Range: \"v1\"":      {status: 206, body: "56789", header: http.Header{"Content-Range": {"bytes 5-9/10"}}},
		"Range: bytes=5-|If-Range: \"v0\"":      {status: 200, body: "0123456789"},
		"Range: bytes=10-":                      {status: 416, header: http.Header{"Content-Range": {"bytes */10"}}},
		"Range: bytes=x":                        {status: 200, body: "0123456789"},
		"Range: bytes=0-|If-None-Match: \"v1\"": {status: 304},
		"Range: bytes=0-4,3-9":                  {status: 206, body: "0123456789", header: http.Header{"Content-Range": {"bytes 0-9/10"}}},
	} {
		got := w.get("/a", strings.Split(lines, "|")...)
		if got.status != want.status || got.body != want.body ||
			got.header.Get("Content-Range") != want.header.Get("Content-Range") {
			t.Errorf("%s: got %+v", lines, got)
		}
	}
	got := w.get("/a", "Range: bytes=8-,0-1")
	kind, params, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" || got.status != 206 || got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	parts := multipart.NewReader(strings.NewReader(got.body), params["boundary"])
	for _, want := range []string{"bytes 8-9/10 text/plain 89", "bytes 0-1/10 text/plain 01"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if s := part.Header.Get("Content-Range") + " " + part.Header.Get("Content-Type") + " " + string(text); err != nil || s != want {
			t.Errorf("got %q, want %q, %v", s, want, err)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last part: %v", err)
	}
	w.wantAsked(1)
}

func TestReverseAsksOnceForAll(t *testing.T) {
	const clients = 20
	release := make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(rw, "first ")
		_ = http.NewResponseController(rw).Flush()
		<-release
		_, _ = io.WriteString(rw, "last")
	})
	began, group := make(chan string, clients), sync.WaitGroup{}
	for range clients {
		group.Go(func() {
			resp, err := http.Get(w.url + "/a")
			if err != nil {
				began <- err.Error()
				return
			}
			defer func() { _ = resp.Body.Close() }()
			first := make([]byte, 6)
			_, err = io.ReadFull(resp.Body, first)
			began <- fmt.Sprintf("%s%v", first, err)
			if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
				t.Errorf("then %q, %v", rest, err)
			}
		})
	}
	for range clients { // all have the first bytes before the last were made
		if got := <-began; got != "first <nil>" {
			t.Errorf("first %q", got)
		}
	}
	close(release)
	group.Wait()
	w.wantAsked(1)
}

// Who waited for an answer that turns out to be another's asks for himself.
func TestReverseDoesNotShareWhatIsForOne(t *testing.T) {
	for name, lines := range map[string][]string{
		"private":  {"Cache-Control: private, max-age=60"},
		"no-cache": {"Cache-Control: no-cache", `ETag: "a"`},
		"varies":   {"Cache-Control: max-age=60", "Vary: Cookie"},
		"set aside by its size": {
			"Cache-Control: max-age=60", "Content-Length: " + strconv.Itoa(len("for 1")), "Vary: Cookie",
		},
	} {
		t.Run(name, func(t *testing.T) {
			const clients = 8
			var waiting atomic.Int32
			all := make(chan struct{})
			w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
				<-all
				tell(rw, 200, "for "+strings.TrimPrefix(r.Header.Get("Cookie"), "id="), lines...)
			})
			var group sync.WaitGroup
			for i := range clients {
				group.Go(func() {
					if waiting.Add(1) == clients {
						close(all)
					}
					if got := w.get("/a", "Cookie: id="+strconv.Itoa(i)); got.body != "for "+strconv.Itoa(i) {
						t.Errorf("client %d got %q", i, got.body)
					}
				})
			}
			group.Wait()
			w.wantAsked(clients)
		})
	}
}

func TestReversePassesRequestsOn(t *testing.T) {
	var got *http.Request
	var body string
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		rw.Header().Set("Trailer", "Sum")
		rw.WriteHeader(http.StatusMultiStatus)
		_, _ = io.WriteString(rw, "answer")
		rw.Header().Set("Sum", "7")
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, w.url+"/a%2fb//c?x=%7e&y", strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Own": "1", "Authorization": "x", "Connection": "X-Hop", "X-Hop": "1", "X-Forwarded-Host": "evil",
		"X-Forwarded-For": "1.2.3.4", "Content-Type": "a/b", "Proxy-Authorization": "y",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusMultiStatus || string(text) != "answer" || resp.Trailer.Get("Sum") != "7" {
		t.Errorf("answered %d %q, trailer %v, %v", resp.StatusCode, text, resp.Trailer, err)
	}
	if got.Method != http.MethodPatch || body != "question" || got.RequestURI != "/a%2Fb//c?x=~&y" {
		t.Errorf("asked %s %s %q", got.Method, got.RequestURI, body)
	}
	for name, want := range map[string]string{
		"X-Own": "1", "Authorization": "x", "X-Hop": "", "X-Forwarded-Host": "", "X-Forwarded-For": "127.0.0.1",
		"Content-Type": "a/b", "Via": "1.1 " + w.cache.pseudonym, "Proxy-Authorization": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if s := resp.Header.Get("Cache-Status"); s != "oxbow; fwd=method; fwd-status=207" {
		t.Errorf("Cache-Status %q", s)
	}
}

func TestReverseForwardsInterimAnswers(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</s.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		tell(rw, 200, "body", "Cache-Control: max-age=60")
	})
	for i, want := range [][]string{{"103 </s.css>; rel=preload"}, nil} { // they are not stored
		for _, method := range []string{"GET", "POST"}[:2-i] {
			var seen []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					seen = append(seen, strconv.Itoa(code)+" "+h.Get("Link"))
					return nil
				},
			})
			req, err := http.NewRequestWithContext(ctx, method, w.url+"/"+method, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if !slices.Equal(seen, want) || resp.Header.Get("Link") != "" {
				t.Errorf("%s, time %d: got %q, want %q; Link %q", method, i, seen, want, resp.Header.Get("Link"))
			}
		}
	}
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
	if got := w.get("/a"); got.status != 200 || got.body != "body" {
		t.Errorf("got %+v", got)
	}
	for _, up := range w.cache.upstreams.all {
		up.until.Store(0)
	}
	if got := w.do("POST x", "/a"); got.status != 502 { // it may have been heard
		t.Errorf("POST: got %+v", got)
	}
	if got := w.get("/a"); got.status != 200 {
		t.Errorf("got %+v", got)
	}
}

func TestReverseRefuses(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "body")
	for name, row := range map[string]struct {
		text string
		want int
	}{
		"TRACE":         {"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		"CONNECT":       {"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 405},
		"fragment":      {"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"long target":   {"GET /" + strings.Repeat("a", maxURI) + " HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"loop":          {"GET /a HTTP/1.1\r\nHost: x\r\nVia: 1.1 a, 1.1 " + w.cache.pseudonym + "\r\n\r\n", 508},
		"absolute form": {"GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, row.text); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != row.want {
			t.Errorf("%s: got %v, %v", name, resp, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}

// What is too large to hold streams to those who ask, each by himself.
func TestReverseStreamsWhatIsTooLarge(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	begun := make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{MaxObjectBytes: 5000}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		rest := text
		switch r.URL.Path {
		case "/told":
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
		case "/shown":
			_, _ = io.WriteString(rw, text[:1000])
			_ = http.NewResponseController(rw).Flush()
			<-begun
			rest = text[1000:]
		}
		_, _ = io.WriteString(rw, rest)
	})
	for _, path := range []string{"/told", "/untold"} {
		for range 2 {
			if got := w.get(path); got.body != text {
				t.Errorf("%s: got %d bytes", path, len(got.body))
			}
		}
	}
	// A client that has bytes of it already is cut off, and those after it get it whole.
	resp, err := http.Get(w.url + "/shown")
	if err != nil {
		t.Fatal(err)
	}
	close(begun)
	if _, err = io.ReadAll(resp.Body); err == nil {
		t.Error("a body beyond what is held came whole")
	}
	_ = resp.Body.Close()
	if got := w.get("/shown"); got.body != text {
		t.Errorf("got %d bytes", len(got.body))
	}
}

// The wait for an answer is not for the time that a request's body takes, only for its pauses.
func TestReverseWaitsForLongBodies(t *testing.T) {
	t.Parallel()
	w := newReverseWorld(t, ReverseConfig{FetchTimeout: time.Second}, func(rw http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		tell(rw, 200, "had it")
	})
	body, feed := io.Pipe()
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for range 6 {
			<-tick.C
			_, _ = feed.Write([]byte("x"))
		}
		_ = feed.Close()
	}()
	resp, err := http.Post(w.url+"/a", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "had it" {
		t.Errorf("got %d %q, %v", resp.StatusCode, text, err)
	}
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.origin.Store(&silent)
	if got := w.get("/b"); got.status != http.StatusGatewayTimeout {
		t.Errorf("an origin that says nothing: %+v", got)
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
