package cacheproxy

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRec    = "01kabcdefghjkmnpqrstvwxyz0"
	streamBase = "/acme/show"
	recBase    = streamBase + "/" + testRec
	livePath   = recBase + "/live/video.m3u8"
	eventPath  = recBase + "/video.m3u8"
	segPath    = recBase + "/1/video/7.m4s"
	immutable  = "public, max-age=31536000, immutable"
)

// counter counts requests by URI.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(uri string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[uri]++
	return c.n[uri]
}

func (c *counter) of(uri string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[uri]
}

func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, v := range c.n {
		n += v
	}
	return n
}

// node is an upstream whose answers a test can change, and which counts.
type node struct {
	counter
	mu      sync.Mutex
	handler http.HandlerFunc
	// checks has the handler asked for checks too, which are good otherwise, and not counted.
	checks atomic.Bool
}

func (n *node) set(h http.HandlerFunc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handler = h
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !n.checks.Load() && r.URL.Path == checkPath {
		return
	}
	n.add(r.URL.RequestURI())
	n.mu.Lock()
	h := n.handler
	n.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h(w, r)
}

// directory answers locate.
type directory struct {
	node
	mu       sync.Mutex
	location media.Location
	status   int
	hang     bool
}

func newDirectory(nodes ...string) *directory {
	d := &directory{status: http.StatusOK}
	d.location = media.Location{
		Publisher: "acme", Stream: "show", Recording: testRec, State: media.Live, Nodes: nodes,
	}
	d.set(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		location, status, hang := d.location, d.status, d.hang
		d.mu.Unlock()
		if hang {
			<-r.Context().Done()
			return
		}
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		_ = json.NewEncoder(w).Encode(location)
	})
	return d
}

func (d *directory) change(f func(d *directory)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// memoryNet is a network without sockets: hosts are handlers. It works in synctest bubbles.
type memoryNet struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
	cuts  map[string][]context.CancelFunc // of what a host was asked
}

func (m *memoryNet) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cut := context.WithCancel(req.Context())
	req = req.WithContext(ctx)
	m.mu.Lock()
	h := m.hosts[req.URL.Host]
	if m.cuts == nil {
		m.cuts = make(map[string][]context.CancelFunc)
	}
	m.cuts[req.URL.Host] = append(m.cuts[req.URL.Host], cut)
	m.mu.Unlock()
	if h == nil {
		return nil, errors.New("connection refused")
	}
	return (&handlerTransport{handler: h, logger: slog.New(slog.DiscardHandler)}).RoundTrip(req)
}

func (m *memoryNet) set(host string, h http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts[host] = h
}

// kill has a host refuse connections, and break off what it is asked, as kill -9 does.
func (m *memoryNet) kill(host string) {
	m.set(host, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, cut := range m.cuts[host] {
		cut()
	}
	delete(m.cuts, host)
}

// world is an edge over an in-memory network: a directory, nodes a and b, an archive.
type world struct {
	*Proxy
	net       *memoryNet
	directory *directory
	a, b      *node
	archive   *node
}

func newWorld(t testing.TB, config Config) *world {
	t.Helper()
	w := &world{a: &node{}, b: &node{}, archive: &node{}, directory: newDirectory("http://a", "http://b")}
	w.net = &memoryNet{hosts: map[string]http.Handler{"dir": w.directory, "a": w.a, "b": w.b}}
	if config.Directories == nil {
		config.Directories = []string{"http://dir"}
	}
	config.Transport = w.net
	w.Proxy = New(config, map[string]http.Handler{"": w.archive}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	w.flights.arena = slab.NewStrict()                // who reads bytes without holding them reads nonsense
	w.setPolicies(media.PlaybackPolicies{Version: 1}) // everything is public
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// get asks the edge without a socket; head is pairs of names and values.
func (w *world) get(t testing.TB, uri string, head ...string) *httptest.ResponseRecorder {
	t.Helper()
	return w.do(t.Context(), http.MethodGet, uri, head...)
}

func (w *world) do(ctx context.Context, method, uri string, head ...string) (rec *httptest.ResponseRecorder) {
	req := httptest.NewRequest(method, uri, nil).WithContext(ctx)
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	rec = httptest.NewRecorder()
	defer func() { // who has left gets no answer
		fault := recover()
		if err, _ := fault.(error); fault != nil && (!errors.Is(err, http.ErrAbortHandler) || ctx.Err() == nil) {
			panic(fault)
		}
	}()
	w.ServeHTTP(rec, req)
	return rec
}

func wantStatus(t testing.TB, rec *httptest.ResponseRecorder, status int) {
	t.Helper()
	if rec.Code != status {
		t.Fatalf("status %d, want %d: %s %v", rec.Code, status, rec.Body, rec.Header())
	}
	if got := rec.Header().Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "*" {
		t.Fatalf("CORS header %q", got)
	}
}

func wantCacheStatus(t testing.TB, rec *httptest.ResponseRecorder, want string) {
	t.Helper()
	if got := rec.Header().Get("Cache-Status"); !strings.HasPrefix(got, want) {
		t.Fatalf("Cache-Status %q, want %q", got, want)
	}
}

// fixed answers with a body and a Cache-Control.
func fixed(body, cacheControl string, head ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", cacheControl)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		for i := 0; i < len(head); i += 2 {
			w.Header().Set(head[i], head[i+1])
		}
		_, _ = io.WriteString(w, body)
	}
}

func failing(status int, head ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(head); i += 2 {
			w.Header().Set(head[i], head[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "refused")
	}
}

// partsPerSegment of a show.
const partsPerSegment = 4

// show is an ingest node with one live recording that a test moves on by hand.
type show struct {
	// patience bounds the wait for what is to come; zero means 10 s.
	patience time.Duration
	counter
	mu         sync.Mutex
	msn, parts int // last complete segment, parts behind it
	ended      bool
	wake       chan struct{}
	plainAge   string
	blockedAge string
}

func newShow(msn, parts int) *show {
	return &show{
		msn: msn, parts: parts, wake: make(chan struct{}),
		plainAge: "public, max-age=1", blockedAge: "public, max-age=12",
	}
}

func (s *show) advance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts++; s.parts == partsPerSegment {
		s.msn, s.parts = s.msn+1, 0
	}
	close(s.wake)
	s.wake = make(chan struct{})
}

// until waits for a state and gives its playlist.
func (s *show) until(ctx context.Context, ok func(msn, parts int) bool) bool {
	for {
		s.mu.Lock()
		good, wake := ok(s.msn, s.parts), s.wake
		s.mu.Unlock()
		if good {
			return true
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *show) text(skipped bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n")
	first := 1
	if skipped && s.msn > 6 {
		first = s.msn - 5
		fmt.Fprintf(&b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", first-1)
	}
	for i := first; i <= s.msn; i++ {
		fmt.Fprintf(&b, "#EXTINF:2.00000,\n../1/video/%d.m4s\n", i)
	}
	for i := range s.parts {
		fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.50001,URI=\"../1/video/%d.%d.m4s\"\n", s.msn+1, i)
	}
	if s.ended {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	return b.String()
}

func (s *show) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.add(r.URL.RequestURI())
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if strings.HasSuffix(name, ".m3u8") {
		s.playlist(w, r)
		return
	}
	var msn, part int
	if _, err := fmt.Sscanf(name, "%d.%d.m4s", &msn, &part); err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), cmp.Or(s.patience, 10*time.Second))
		defer cancel()
		if !s.until(ctx, func(m, p int) bool { return m >= msn || (m == msn-1 && p > part) }) {
			failing(http.StatusServiceUnavailable)(w, r)
			return
		}
	}
	body := bodyOf(r.URL.Path, 20_000)
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Cache-Control", immutable)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func (s *show) playlist(w http.ResponseWriter, r *http.Request) {
	d, err := hls.ParseDirectives(r.URL.RawQuery)
	if err != nil {
		failing(http.StatusBadRequest)(w, r)
		return
	}
	w.Header().Set("Cache-Control", s.plainAge)
	if d.Blocking {
		w.Header().Set("Cache-Control", s.blockedAge)
		ctx, cancel := context.WithTimeout(r.Context(), cmp.Or(s.patience, 10*time.Second))
		defer cancel()
		if !s.until(ctx, func(m, p int) bool {
			return m >= int(d.MSN) || (d.Part >= 0 && m == int(d.MSN)-1 && p > d.Part)
		}) {
			failing(http.StatusServiceUnavailable)(w, r)
			return
		}
	}
	writePlaylist(w, r, s.text(d.Skip != hls.SkipNone))
}

func writePlaylist(w http.ResponseWriter, r *http.Request, text string) {
	body := []byte(text)
	w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
	w.Header().Set("Etag", fmt.Sprintf(`"%d-%d"`, len(text), strings.Count(text, "PART:")))
	if r.Header.Get("Accept-Encoding") == "gzip" {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		body = b.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Etag", fmt.Sprintf(`"%d-%d-gz"`, len(text), strings.Count(text, "PART:")))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// bodyOf is the bytes that a URL names.
func bodyOf(uri string, n int) []byte {
	return bytes.Repeat([]byte(uri+"|"), n/(len(uri)+1)+1)[:n]
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
