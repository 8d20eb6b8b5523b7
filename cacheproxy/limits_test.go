package cacheproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	clients "github.com/oxbow-video/oxbow/internal/front"
)

// limited are edges, of both kinds and in front of each by both servers, whose clients have these limits.
func limited(t *testing.T, cfg clients.Config, do func(t *testing.T, client *http.Client, url string)) {
	t.Helper()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	served := func(w http.ResponseWriter, r *http.Request) {
		fixed(string(bodyOf(r.URL.Path, 600_000)), immutable)(w, r)
	}
	proxy := func(t *testing.T) laneHandler {
		up := &node{}
		up.set(served)
		book := clients.NewBook(cfg, prometheus.NewRegistry())
		return newRealEdge(t, Config{TrustedProxies: local, Limits: book}, nil, up).Proxy
	}
	reverse := func(t *testing.T) laneHandler {
		book := clients.NewBook(cfg, prometheus.NewRegistry())
		return newReverseWorld(t, ReverseConfig{TrustedProxies: local, Limits: book}, served).cache
	}
	for name, handler := range map[string]func(t *testing.T) laneHandler{"Proxy": proxy, "Reverse": reverse} {
		t.Run(name+"/lane", func(t *testing.T) {
			_, url := handlerInLane(t, handler(t), InLane)
			do(t, newTestClient(t), url)
		})
		t.Run(name+"/net-http", func(t *testing.T) { do(t, newTestClient(t), onNetHTTP(t, handler(t))) })
	}
}

func newTestClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func viewerIs(address string) []string { return []string{"X-Forwarded-For: " + address} }

func TestAClientThatAsksTooOftenIsRefusedAsPlayersRideItOut(t *testing.T) {
	cfg := clients.Config{Requests: 0.05, RequestBurst: 100 * time.Second} // five at once, and then none for long
	limited(t, cfg, func(t *testing.T, client *http.Client, url string) {
		for i := range 6 {
			got := ask1(t, client, url, asked{http.MethodGet, segPath, viewerIs("192.0.2.1")})
			header := http.Header(got.header)
			after, _ := strconv.Atoi(header.Get("Retry-After"))
			switch {
			case i < 5 && got.status != http.StatusOK:
				t.Fatalf("request %d: %d %s", i, got.status, got.body)
			case i == 5 && (got.status != http.StatusServiceUnavailable || after < 1 || after > 20 ||
				header.Get("Cache-Control") != "no-store" || !strings.Contains(string(got.body), "too many requests")):
				t.Errorf("%d %v %s", got.status, got.header, got.body)
			}
		}
		if got := ask1(t, client, url, asked{http.MethodGet, segPath, viewerIs("192.0.2.2")}); got.status != http.StatusOK {
			t.Errorf("another client: %d", got.status)
		}
	})
}

// A request that waits has its own path and answer behind the wait, whatever came into the connection's buffer.
func TestRequestsThatAreHeldBackAreAnsweredInOrder(t *testing.T) {
	limited(t, clients.Config{Requests: 500, RequestBurst: time.Nanosecond}, func(t *testing.T, _ *http.Client, url string) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
		const requests = 10
		begun := time.Now()
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range requests {
				_, _ = fmt.Fprintf(conn, "GET %s/1/video/%d.m4s HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
					recBase, i+1)
			}
		})
		defer sent.Wait()
		in := bufio.NewReader(conn)
		for i := range requests {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			want := bodyOf(fmt.Sprintf("%s/1/video/%d.m4s", recBase, i+1), 600_000)
			if err != nil || string(body) != string(want) {
				t.Fatalf("answer %d: %d, %.40q, want %.40q, %v", i, resp.StatusCode, body, want, err)
			}
		}
		if took := time.Since(begun); took < (requests-1)*time.Second/500 {
			t.Errorf("took %v", took)
		}
	})
}

func TestBodiesArePaced(t *testing.T) {
	cfg := clients.Config{Bytes: 4 << 20, ByteBurst: time.Nanosecond}
	limited(t, cfg, func(t *testing.T, client *http.Client, url string) {
		for _, row := range []struct {
			path   string
			paced  bool
			method string
		}{
			{segPath, true, http.MethodGet}, // a miss
			{segPath, true, http.MethodGet}, // a hit
			{segPath, false, http.MethodHead},
			{recBase + "/recording.mp4", true, http.MethodGet},
		} {
			begun := time.Now()
			got := ask1(t, client, url, asked{row.method, row.path, viewerIs("192.0.2.1")})
			took, least := time.Since(begun), 600_000*time.Second/(4<<20)
			if got.status != http.StatusOK || row.paced && (took < least || string(got.body) != string(bodyOf(row.path, 600_000))) {
				t.Errorf("%s %s: %d %d bytes in %v, want at least %v", row.method, row.path, got.status, len(got.body), took, least)
			}
		}
	})
}

func TestALongTargetIsRefused(t *testing.T) {
	limited(t, clients.Config{}, func(t *testing.T, client *http.Client, url string) {
		got := ask1(t, client, url, asked{http.MethodGet, segPath + "?" + strings.Repeat("a", maxURI), nil})
		if got.status != http.StatusRequestURITooLong {
			t.Errorf("%d", got.status)
		}
	})
}

// BenchmarkLimits is a hit in the lane with limits, beside one without.
func BenchmarkLimits(b *testing.B) {
	body := bodyOf(segPath, 1<<10)
	n := &node{}
	n.set(fixed(string(body), immutable, "Content-Type", "video/mp4", "Etag", `"e1"`))
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("limits=%v", on), func(b *testing.B) {
			config := Config{}
			if on {
				config.Limits = clients.NewBook(clients.Config{Requests: 1e9, Bytes: 1e15}, prometheus.NewRegistry())
			}
			_, url := inLane(b, newRealEdge(b, config, nil, n).Proxy)
			loopback(b, url, len(body))
		})
	}
}
