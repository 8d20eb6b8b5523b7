package cacheproxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ports "github.com/oxbow-video/oxbow/internal/front"
	"github.com/oxbow-video/oxbow/internal/smuggletest"
)

// overheard is an origin that notes what it is asked, by the first element of the path, once it has the whole of it.
type overheard struct {
	mu    sync.Mutex
	asked map[string][]string
}

func (o *overheard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	of, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	o.mu.Lock()
	if o.asked == nil {
		o.asked = make(map[string][]string)
	}
	if err == nil {
		o.asked[of] = append(o.asked[of], fmt.Sprintf("%s %s of %d", r.Method, path, len(body)))
	}
	o.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "answer to "+path)
}

func (o *overheard) of(first string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[first]
}

// TestSmuggledRequestsReachNobody sends requests of two readings to the cache, in the lane and without it. What is hidden
// in a body is never asked of the origin nor answered, and both ways answer alike; the origin sees nothing that it would
// not have seen without the cache.
func TestSmuggledRequestsReachNobody(t *testing.T) {
	t.Parallel()
	behind, alone := &overheard{}, &overheard{}
	w := newReverseWorld(t, ReverseConfig{}, behind.ServeHTTP)
	viaNet := onNetHTTP(t, ports.OneReading(w.cache)) // as the program's servers are made
	_, lane := handlerInLane(t, inFront{w.cache}, nil)
	direct := onNetHTTP(t, ports.OneReading(alone))
	t.Run("all", func(t *testing.T) {
		number := 0
		for name, raw := range smuggletest.Requests() {
			number++
			raw += "GET /xxx/next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
			to := func(of string) string { return strings.ReplaceAll(raw, "/xxx/", "/"+of+"/") }
			// Requests of the same length, since lengths are in them.
			byNet, inLane, without := fmt.Sprintf("n%02d", number), fmt.Sprintf("l%02d", number), fmt.Sprintf("d%02d", number)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got, other := exchanged(t, viaNet, to(byNet)), exchanged(t, lane, to(inLane))
				if !slices.Equal(got, other) || !slices.Equal(behind.of(byNet), behind.of(inLane)) {
					t.Errorf("by net/http %q asks %q, in the lane %q asks %q", got, behind.of(byNet), other, behind.of(inLane))
				}
				said := exchanged(t, direct, to(without))
				if rest := alone.of(without); !slices.ContainsFunc([][]string{behind.of(byNet)}, func(asked []string) bool {
					for _, one := range asked {
						at := slices.Index(rest, one)
						if at < 0 {
							return false
						}
						rest = rest[at+1:]
					}
					return true
				}) {
					t.Errorf("the origin is asked %q, and without the cache %q (%q)", behind.of(byNet), alone.of(without), said)
				}
				if all := strings.Join(slices.Concat(got, other, behind.of(byNet), behind.of(inLane)), " "); strings.Contains(all, "hidden") {
					t.Errorf("what was hidden is answered: %q", all)
				}
			})
		}
	})
}

// inFront is a cache as the program puts it behind the lane.
type inFront struct{ *Reverse }

func (f inFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ports.OneReading(f.Reverse).ServeHTTP(w, r)
}

// exchanged sends raw bytes, and gives the statuses and bodies of all that comes back.
func exchanged(t *testing.T, url, raw string) (answers []string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	go func() { _, _ = io.WriteString(conn, raw) }()
	// Who waits for more of a body is told that there is none, long after it could have answered.
	rest := time.AfterFunc(4*time.Second, func() { _ = conn.(*net.TCPConn).CloseWrite() })
	defer rest.Stop()
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers // its end, or a reset behind the last answer
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		answers = append(answers, fmt.Sprintf("%d %.40s", resp.StatusCode, body))
		if err != nil {
			return answers
		}
	}
}

// rawOrigin answers /evil with bytes of a test, as often as it is asked, and all else as it should.
func rawOrigin(t *testing.T) (url string, set func(string)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	evil := ""
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				for in := bufio.NewReader(conn); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if r.URL.Path != "/evil" {
						body := "good " + r.URL.Path
						_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
						continue
					}
					mu.Lock()
					said, closes := strings.CutSuffix(evil, "<close>")
					mu.Unlock()
					if _, err := io.WriteString(conn, said); err != nil || closes {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return "http://" + l.Addr().String(), func(said string) {
		mu.Lock()
		defer mu.Unlock()
		evil = said
	}
}

// TestSmuggledAnswersReachNobodyElse: an origin that answers one request in a way of two readings poisons neither the
// cache nor the answer of another viewer, and nobody waits for it for ever.
func TestSmuggledAnswersReachNobodyElse(t *testing.T) {
	t.Parallel()
	const fresh = "Cache-Control: max-age=60\r\n"
	poison := "HTTP/1.1 200 OK\r\n" + fresh + "Content-Length: 6\r\n\r\npoison"
	ok := "HTTP/1.1 200 OK\r\n" + fresh
	for name, said := range map[string]string{
		"a second answer":           ok + "Content-Length: 2\r\n\r\nok" + poison,
		"a second behind no body":   "HTTP/1.1 204 No Content\r\n" + fresh + "\r\n" + poison,
		"a second behind 304":       "HTTP/1.1 304 Not Modified\r\n" + fresh + "\r\n" + poison,
		"CL and TE":                 ok + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 5+len(poison)) + poison,
		"TE and CL":                 ok + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n" + poison,
		"two lengths":               ok + "Content-Length: 2\r\nContent-Length: 300\r\n\r\nok" + poison,
		"a length that is none":     ok + "Content-Length: 2, 300\r\n\r\nok" + poison,
		"TE of two":                 ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + poison,
		"a short body":              ok + "Content-Length: 500\r\n\r\nok<close>",
		"a short chunk":             ok + "Transfer-Encoding: chunked\r\n\r\nff\r\nok<close>",
		"a chunk past 64 bits":      ok + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n" + poison,
		"no last chunk":             ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n<close>",
		"a folded line":             ok + "A: b\r\n Content-Length: 2\r\nContent-Length: 2\r\n\r\nok" + poison,
		"a space before the colon":  ok + "Content-Length : 2\r\n\r\nok" + poison + "<close>",
		"a bare CR":                 ok + "A: b\rSet-Cookie: poison=1\r\nContent-Length: 2\r\n\r\nok",
		"a NUL":                     ok + "A: \x00poison\r\nContent-Length: 2\r\n\r\nok",
		"a trailer that is a head":  ok + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 300\r\nSet-Cookie: poison=1\r\n\r\n" + poison,
		"a flood of 100s":           strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", 2000) + ok + "Content-Length: 2\r\n\r\nok",
		"a flood of headers":        ok + strings.Repeat("A: b\r\n", 400_000) + "Content-Length: 2\r\n\r\nok",
		"a header without an end":   ok + "A: " + strings.Repeat("b", 12<<20) + "<close>",
		"a switch of protocols":     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + poison,
		"HTTP/0.9":                  "poison" + "<close>",
		"a status past three":       "HTTP/1.1 20000 OK\r\nContent-Length: 2\r\n\r\nok<close>",
		"HTTP/2's preface":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n<close>",
		"nothing":                   "<close>",
		"an Age and a Vary of ones": ok + "Age: -1\r\nVary: \x80\r\nContent-Length: 2\r\n\r\nok",
	} {
		url, set := rawOrigin(t)
		set(said)
		cache, err := NewReverse(ReverseConfig{Upstreams: []string{url}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		_, url = handlerInLane(t, cache, nil)
		get := func(path string) []string {
			return exchanged(t, url, "GET "+path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		}
		for range 3 { // over a kept connection, if it was kept
			evil := strings.Join(get("/evil"), "\n")
			if strings.Contains(evil, "poison") && name != "HTTP/0.9" {
				t.Errorf("%s: the answer has what came behind it: %q", name, evil)
			}
			for _, path := range []string{"/a", "/b"} {
				if got := get(path); !slices.Equal(got, []string{"200 good " + path}) {
					t.Errorf("%s: then %s is %q", name, path, got)
				}
			}
		}
		set("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback")
		whole := strings.Contains(said, ok) && !strings.Contains(name, "short") && name != "no last chunk"
		if got := get("/evil"); !whole && len(got) == 1 && strings.Contains(got[0], "200 ok") {
			t.Errorf("%s: what came in part is stored: %q", name, got)
		}
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	}
}
