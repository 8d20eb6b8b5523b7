package cacheproxy

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/porttest"
)

// origins are what stands in for the network behind a Reverse: per host, what it does with a request.
type origins struct {
	does  map[string]func(*http.Request) (*http.Response, error)
	mu    sync.Mutex
	asked []string // hosts, in order
}

func (o *origins) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.asked = append(o.asked, r.URL.Host)
	does := o.does[r.URL.Host]
	o.mu.Unlock()
	return does(r)
}

// take gives who was asked since the last call.
func (o *origins) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := strings.Join(o.asked, " ")
	o.asked = nil
	return asked
}

func originAnswers(status int, after time.Duration) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(after):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: 1,
			Header: http.Header{"Cache-Control": {"no-store"}}, Body: io.NopCloser(strings.NewReader(r.URL.Host)), Request: r,
		}, nil
	}
}

func originIsAway(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// inReverse runs a test with a Reverse before the origins a and b.
func inReverse(t *testing.T, run func(t *testing.T, o *origins, do func(method, uri string) (int, string, time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &origins{does: make(map[string]func(*http.Request) (*http.Response, error))}
		registry := prometheus.NewRegistry()
		p, err := NewReverse(ReverseConfig{Upstreams: []string{"http://a", "http://b"}, Transport: o},
			slog.New(slog.DiscardHandler), registry)
		if err != nil {
			t.Fatal(err)
		}
		run(t, o, func(method, uri string) (int, string, time.Duration) {
			began := time.Now()
			rec := httptest.NewRecorder()
			p.ServeHTTP(rec, httptest.NewRequest(method, uri, nil))
			return rec.Code, rec.Body.String(), time.Since(began)
		})
		synctest.Wait()
		want := strings.NewReader("# HELP oxbow_upstream_requests Requests under way that take a place with an upstream.\n" +
			"# TYPE oxbow_upstream_requests gauge\noxbow_upstream_requests 0\n")
		if err := testutil.GatherAndCompare(registry, want, "oxbow_upstream_requests"); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestReverseLeavesAnOriginThatIsAwayAlone(t *testing.T) {
	inReverse(t, func(t *testing.T, o *origins, do func(string, string) (int, string, time.Duration)) {
		o.does["a"], o.does["b"] = originIsAway, originAnswers(200, 0)
		for i, row := range []struct {
			rest  time.Duration
			asked string
		}{
			{0, "a b"}, {0, "b"}, // out for 1 s
			{1100 * time.Millisecond, "a b"}, {1100 * time.Millisecond, "b"}, // then for 2 s
			{time.Second, "a b"}, {3 * time.Second, "b"},
		} {
			time.Sleep(row.rest)
			if status, body, _ := do("GET", "/a"); status != 200 || body != "b" {
				t.Errorf("%d: %d %q", i, status, body)
			}
			if asked := o.take(); asked != row.asked {
				t.Errorf("%d: asked %q, want %q", i, asked, row.asked)
			}
		}
		o.does["a"] = originAnswers(200, 0)
		time.Sleep(2 * time.Second)
		for range 3 { // it has all requests again, from the first that it answers
			time.Sleep(time.Millisecond)
			if _, body, _ := do("GET", "/a"); body != "a" {
				t.Errorf("back: answered by %q", body)
			}
		}
	})
}

func TestReverseAsksAnotherWhenAnOriginIsDown(t *testing.T) {
	inReverse(t, func(t *testing.T, o *origins, do func(string, string) (int, string, time.Duration)) {
		o.does["a"], o.does["b"] = originAnswers(503, 0), originAnswers(404, 0)
		for i := range 7 { // five in a row, and it is out
			want := "a b"
			if i >= 5 {
				want = "b"
			}
			if status, _, _ := do("GET", "/a"); status != 404 || o.asked[len(o.asked)-1] != "b" {
				t.Errorf("%d: status %d", i, status)
			}
			if asked := o.take(); asked != want {
				t.Errorf("%d: asked %q, want %q", i, asked, want)
			}
		}
		time.Sleep(2 * time.Second)
		if status, _, _ := do("POST", "/a"); status != 503 || o.take() != "a" { // it may have been heard
			t.Errorf("POST: status %d", status)
		}
		time.Sleep(time.Minute)
		o.does["b"] = originIsAway
		if status, body, _ := do("GET", "/a"); status != 503 || body != "a" {
			t.Errorf("nobody says better: %d %q", status, body)
		}
	})
}

func TestReverseAsksAnotherWhenAnOriginIsLate(t *testing.T) {
	inReverse(t, func(t *testing.T, o *origins, do func(string, string) (int, string, time.Duration)) {
		o.does["a"], o.does["b"] = originAnswers(200, 0), originAnswers(200, 0)
		for range 20 {
			do("GET", "/known")
		}
		o.take()
		o.does["a"] = originAnswers(200, 2*time.Second)
		for i, row := range []struct {
			uri, asked string
			took       time.Duration
		}{
			{"/list?_HLS_msn=7", "a", 2 * time.Second}, // nobody knows how long that may be held back
			{"/a.ts", "a b", time.Second}, {"/b.ts", "a b", time.Second}, {"/c.ts", "a b", time.Second},
			{"/d.ts", "a b", time.Second}, {"/e.ts", "a b", time.Second},
			{"/f.ts", "b", 0}, // it was late five times in a row
		} {
			status, _, took := do("GET", row.uri)
			if asked := o.take(); status != 200 || took != row.took || asked != row.asked {
				t.Errorf("%d: %d after %v, asked %q; want it after %v from %q", i, status, took, asked, row.took, row.asked)
			}
		}
		time.Sleep(time.Minute)
		o.does["b"] = originAnswers(404, 0)
		if status, body, took := do("GET", "/g.ts"); status != 200 || body != "a" || took != 2*time.Second {
			t.Errorf("the first is believed before the other says 404: %d %q after %v", status, body, took)
		}
	})
}

// An origin that takes connections again is asked at once: it is looked at while it is out.
func TestReverseLooksWhetherAnOriginIsBack(t *testing.T) {
	t.Parallel()
	address, err := porttest.Loopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := newReverseWorld(t, ReverseConfig{Upstreams: []string{"http://" + address}}, nil)
	w.answers(200, "other", "Cache-Control: no-store")
	if got := w.get("/a"); got.body != "other" {
		t.Fatalf("got %+v", got)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	first := &http.Server{
		Handler:           http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { tell(rw, 200, "first") }),
		ReadHeaderTimeout: time.Second,
	}
	go func() { _ = first.Serve(listener) }()
	defer func() { _ = first.Close() }()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(2 * time.Minute)
	for w.get("/a").body != "first" {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatal("it is not asked again")
		}
	}
}
