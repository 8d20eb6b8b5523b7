package cacheproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// inLane puts the fast lane in front of the proxy, on a socket.
func inLane(t testing.TB, p *Proxy) (*fastlane.Server, string) {
	t.Helper()
	return handlerInLane(t, p, InLane)
}

// laneHandler is what answers both ways.
type laneHandler interface {
	http.Handler
	fastlane.Handler
}

func handlerInLane(t testing.TB, p laneHandler, takes func(path string) bool) (*fastlane.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fastlane.New(fastlane.Config{
		Handler: p, Takes: takes, Logger: slog.New(slog.DiscardHandler), Period: 20 * time.Millisecond,
		HTTP: &http.Server{Handler: p, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)},
	})
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

// onNetHTTP puts net/http in front of the proxy, on a socket.
func onNetHTTP(t testing.TB, p http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: p, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// asked is one request of a viewer's; lines are of its header, in order.
type asked struct {
	method, uri string
	lines       []string
}

func (a asked) String() string { return fmt.Sprintf("%s %s %q", a.method, a.uri, a.lines) }

// answered is what came back. Times are left out but for Age, which may be a second apart.
type answered struct {
	status  int
	header  map[string][]string
	length  int64
	coding  []string
	body    []byte
	failed  bool
	age     int
	hasDate bool
}

func ask1(t testing.TB, client *http.Client, url string, a asked) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), a.method, url+a.uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range a.lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answered{failed: true}
	}
	defer func() { _ = resp.Body.Close() }()
	got := answered{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, coding: resp.TransferEncoding, age: -1}
	got.body, err = io.ReadAll(resp.Body)
	got.failed = err != nil
	got.hasDate = resp.Header.Get("Date") != ""
	if age := resp.Header.Get("Age"); age != "" {
		got.age, _ = strconv.Atoi(age)
	}
	if _, boundary, ok := strings.Cut(resp.Header.Get("Content-Type"), "; boundary="); ok { // another each time
		resp.Header.Set("Content-Type", strings.ReplaceAll(resp.Header.Get("Content-Type"), boundary, "boundary"))
		got.body = bytes.ReplaceAll(got.body, []byte(boundary), []byte("boundary"))
	}
	for _, name := range []string{"Date", "Age"} {
		delete(resp.Header, name)
	}
	return got
}

// forgetLength takes out how the body's end was told.
func (a *answered) forgetLength() {
	delete(a.header, "Content-Length")
	a.length, a.coding = 0, nil
}

// landed has it be a hit, if it is of a fetch of which all is there: that lands in the cache a moment later.
func (a *answered) landed() {
	const status, joined = "Cache-Status", "fwd=miss; collapsed"
	if values := a.header[status]; len(values) == 1 && strings.HasSuffix(values[0], joined) {
		a.header[status] = []string{strings.TrimSuffix(values[0], joined) + "hit"}
	}
}

// sameValues compares a field's, but for how long what was asked for at two times has to live.
func sameValues(a, b []string) bool {
	return slices.EqualFunc(a, b, func(a, b string) bool {
		return ttlField.ReplaceAllString(a, "") == ttlField.ReplaceAllString(b, "")
	})
}

func (a answered) diff(b answered) string {
	switch {
	case a.status != b.status || a.failed != b.failed || a.hasDate != b.hasDate:
		return fmt.Sprintf("status %d %t, want %d %t", a.status, a.failed, b.status, b.failed)
	case !a.failed && !maps.EqualFunc(a.header, b.header, sameValues):
		return fmt.Sprintf("header\n %v, want\n %v", a.header, b.header)
	case !a.failed && (a.length != b.length || !slices.Equal(a.coding, b.coding) || !bytes.Equal(a.body, b.body)):
		return fmt.Sprintf("body of %d (%v %d), want %d (%v %d)", len(a.body), a.coding, a.length, len(b.body), b.coding, b.length)
	case a.age-b.age > 20 || b.age-a.age > 20 || (a.age < 0) != (b.age < 0):
		return fmt.Sprintf("age %d, want %d", a.age, b.age)
	}
	return ""
}

// twins are two edges before equal upstreams, one in the lane, one on net/http.
type twins struct {
	first, second *signedWorld
	lane          *fastlane.Server
	fast, plain   string
	client        *http.Client
}

func newTwins(t testing.TB) *twins {
	t.Helper()
	config := Config{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		FetchTimeout:   4 * time.Second,
	}
	tw := &twins{first: newSignedWorld(t, config), second: newSignedWorld(t, config)}
	tw.second.key, tw.second.signer = tw.first.key, tw.first.signer
	for _, w := range []*signedWorld{tw.first, tw.second} {
		w.sign(3, w.key)
		inner := w.a.handler
		w.a.set(func(rw http.ResponseWriter, r *http.Request) { oddities(rw, r, inner) })
		w.b.set(w.a.handler)
	}
	tw.lane, tw.fast = inLane(t, tw.first.Proxy)
	tw.plain = onNetHTTP(t, tw.second.Proxy)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	tw.client = &http.Client{Transport: transport}
	return tw
}

// oddities answers as upstreams may; by the number of the segment.
func oddities(w http.ResponseWriter, r *http.Request, others http.HandlerFunc) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=1000, s-maxage=1000")
	h.Set("Last-Modified", "Sun, 22 Nov 2026 08:00:00 GMT")
	h.Set("Etag", `"tag"`)
	body := bodyOf(r.URL.Path, 100_000)
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch name {
	case "101.m4s": // length not known
		h.Set("Content-Type", "video/mp4")
		_, _ = w.Write(body[:50_000])
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(body[50_000:])
	case "102.m4s", "103.m4s", "104.m4s", "105.m4s":
		status := map[string]int{
			"102.m4s": http.StatusNotFound, "103.m4s": http.StatusGone, "104.m4s": http.StatusServiceUnavailable,
			"105.m4s": http.StatusBadRequest,
		}[name]
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "no, for \"reasons\"")
	case "106.m4s": // ends early
		h.Set("Content-Length", "100000")
		_, _ = w.Write(body[:50_000])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "107.m4s": // not kept, and a header of all kinds
		h.Set("Cache-Control", "no-store")
		h["X-Many"] = []string{"one", "two, three", ""}
		h.Set("Cache-Status", "origin; hit")
		h.Set("Age", "7")
		h.Set("Connection", "X-Gone")
		h.Set("X-Gone", "1")
		h.Set("Content-Length", "0")
	case "108.m4s":
		h.Set("Age", "700")
		h.Set("Vary", "X-Other")
		h.Set("Expires", "Sun, 22 Nov 2026 08:00:00 GMT")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	default:
		clear(h)
		others(w, r)
	}
}

func TestTheLaneAnswersAsNetHTTPDoes(t *testing.T) {
	t.Run("signed", func(t *testing.T) { compareAnswers(t, newTwins(t)) })
	t.Run("public", func(t *testing.T) {
		tw := newTwins(t)
		for _, w := range []*signedWorld{tw.first, tw.second} {
			w.setPolicies(media.PlaybackPolicies{Version: 4})
		}
		compareAnswers(t, tw)
	})
}

// unavailable says that an answer takes its time.
func unavailable(path string) bool {
	return strings.HasSuffix(path, "/104.m4s") || strings.HasSuffix(path, "/106.m4s") || strings.HasPrefix(path, "/other/")
}

func compareAnswers(t *testing.T, tw *twins) {
	s := tw.first
	token, other := s.token(t, playback.Claims{Stream: "show"}), s.token(t, playback.Claims{Stream: "else"})
	origin := s.token(t, playback.Claims{Stream: "show", Origin: "https://page.example"})
	address := s.token(t, playback.Claims{Stream: "show", IP: "192.0.2.7"})
	paths := []string{
		"/", "/acme", "/acme/show/", "/acme/open/nothing", "/other/show/" + testRec + "/1/video/9.m4s",
		"/acme/open/" + testRec + "/1/video/07.m4s", "/t/", "/t/x", "/t/" + token, "/t/x" + segPath,
		"/t/" + token + segPath, "/t/" + other + segPath, "/t/" + origin + segPath, "/t/" + address + segPath,
		segPath, segPath + "?token=" + token, segPath + "?x=1&token=" + token + "&_HLS_msn=x",
		streamBase + "/index.m3u8?token=" + token, "/t/" + token + streamBase + "/index.m3u8",
		"/t/" + token + livePath, "/t/" + token + livePath + "?_HLS_msn=7", "/t/" + token + livePath + "?_HLS_msn=x",
		"/t/" + token + livePath + "?_HLS_part=1", "/t/" + token + livePath + "?_HLS_skip=YES&a=b",
		"/t/" + token + eventPath + "?start=1", "/t/" + token + livePath + "?start=1",
		"/t/" + token + recBase + "/1/video/7.0.m4s",
	}
	for n := 101; n <= 108; n++ {
		paths = append(paths, "/t/"+token+recBase+"/1/video/"+strconv.Itoa(n)+".m4s")
	}
	headers := [][]string{
		nil,
		{"Range: bytes=10-19"},
		{"Range: bytes=-5", "Accept-Encoding: gzip"},
		{"Range: bytes=99990-"},
		{"Range: bytes=999999-"},
		{"Range: bytes=1-2,5-6"},
		{"Range: bytes=50005-50006, 1-2,-1,1000000-"},
		{"Range: bytes=1-2,4-9", `If-Range: "tag"`},
		{"Range: bytes=1-2,4-9", `If-Range: "other"`, "Accept-Encoding: gzip"},
		{"Range: bytes=1-2,2-9,-100000"},
		{"Range: bytes=1000000-,1000001-"},
		{"Range: bytes=1-2,4-9", `If-None-Match: "tag"`},
		{"Range: bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30"},
		{"Range: bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32"},
		{"Range: bytes=1-2", "Range: bytes=5-6"},
		{"Range: bytes=1-2", `If-Range: "tag"`},
		{"Range: bytes=1-2", `If-Range: "other"`},
		{"Range: bytes=1-2", "If-Range: Sun, 22 Nov 2026 08:00:00 GMT"},
		{`If-None-Match: "a", W/"tag"`},
		{`If-None-Match: "a"`, `If-None-Match: *`},
		{"If-Modified-Since: Sun, 22 Nov 2026 08:00:00 GMT"},
		{"Accept-Encoding: br;q=1, gzip;q=0"},
		{"Accept-Encoding: br", "Accept-Encoding: *", "Origin: https://page.example"},
		{"Accept-Encoding: zstd, gzip;q=0.1"},
		{"Referer: https://page.example/x", "X-Forwarded-For: 192.0.2.7, 127.0.0.3"},
		{"Origin: null", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 10.0.0.1"},
		{"Connection: close"},
	}
	for _, path := range paths {
		for i, lines := range headers {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				if method == http.MethodHead && i > 5 || i > 0 && unavailable(path) {
					continue
				}
				a := asked{method, path, lines}
				got, want := ask1(t, tw.client, tw.fast, a), ask1(t, tw.client, tw.plain, a)
				if strings.HasSuffix(path, "/106.m4s") { // viewers may have seen of it when it breaks off, or not
					want = got
					if !got.failed && got.status == http.StatusOK && method == http.MethodGet {
						t.Errorf("%s: %d bytes that end well", a, len(got.body))
					}
				}
				if i == 0 && strings.HasSuffix(path, "/101.m4s") { // the upstream's end may be there when the answer begins, or not
					got.forgetLength()
					want.forgetLength()
				}
				got.landed()
				want.landed()
				if d := got.diff(want); d != "" {
					t.Errorf("%s: %s", a, d)
				}
			}
		}
	}
	st := tw.lane.Stats()
	for reason, n := range st.HandedOver {
		if n > 0 {
			t.Errorf("%d connections were handed over for their %s", n, reason)
		}
	}
	if st.Requests < uint64(len(paths)*len(headers)/2) {
		t.Errorf("%d requests in the lane", st.Requests)
	}
}

// A body that comes in pieces, of a length that is known or not, is with all viewers before it is whole; and a viewer
// who leaves is seen to.
func TestFlightsInTheLane(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%t", chunked), func(t *testing.T) {
			const viewers = 50
			g := newGated(100_000)
			g.chunked = chunked
			e := newRealEdge(t, Config{}, nil, g)
			_, url := inLane(t, e.Proxy)
			var started, finished sync.WaitGroup
			started.Add(viewers)
			for range viewers {
				finished.Go(func() {
					resp, err := e.client.Get(url + segPath)
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
			started.Wait()
			close(g.release)
			finished.Wait()
			if n := g.total(); n != 1 {
				t.Errorf("upstream saw %d requests", n)
			}
		})
	}
}

func TestAFlightOfNobodyInTheLaneIsGivenUp(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	up := &node{}
	gone := make(chan struct{}, 8)
	up.set(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
			gone <- struct{}{}
		}
	})
	e := newRealEdge(t, Config{Linger: time.Millisecond, FetchTimeout: time.Minute}, nil, up)
	lane, url := inLane(t, e.Proxy)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET "+segPath+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return up.total() == 1 && e.waiting.Load() == 1 })
	_ = conn.Close()
	<-gone
	eventually(t, "nobody waits", func() bool { return e.waiting.Load() == 0 && len(e.flights.all()) == 0 })
	if n := lane.Stats().Closed["left"]; n != 1 {
		t.Errorf("%d have left", n)
	}
}

func TestDownloadsLeaveTheLane(t *testing.T) {
	body := string(bodyOf(recBase+"/recording.mp4", 300_000))
	up := &node{}
	up.set(fixed(body, immutable, "Etag", `"e"`))
	e := newRealEdge(t, Config{}, nil, up)
	lane, url := inLane(t, e.Proxy)
	got := ask1(t, e.client, url, asked{http.MethodGet, recBase + "/recording.mp4", nil})
	if string(got.body) != body || lane.Stats().HandedOver["path"] != 1 {
		t.Errorf("%d %d bytes: %+v", got.status, len(got.body), lane.Stats())
	}
}

// What is cached under a path is that path's, whatever the connection's buffer has held since.
func TestKeysDoNotChangeWithTheBuffer(t *testing.T) {
	up := &node{}
	up.set(func(w http.ResponseWriter, r *http.Request) {
		fixed(string(bodyOf(r.URL.Path, 500)), immutable)(w, r)
	})
	e := newRealEdge(t, Config{}, nil, up)
	_, url := inLane(t, e.Proxy)
	var wg sync.WaitGroup
	for v := range 8 {
		wg.Go(func() {
			for i := range 200 {
				uri := segment(1 + (i*7+v)%40)
				if got := ask1(t, e.client, url, asked{http.MethodGet, uri, nil}); string(got.body) != string(bodyOf(uri, 500)) {
					t.Errorf("%s: %d %.80q", uri, got.status, got.body)
				}
			}
		})
	}
	wg.Wait()
	if n := up.total(); n != 40 {
		t.Errorf("upstream saw %d requests, want 40", n)
	}
}
