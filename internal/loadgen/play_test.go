package loadgen

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testPart    = 100 * time.Millisecond
	testParts   = 5 // of a segment
	testHold    = 800 * time.Millisecond
	testListed  = 4 // segments
	testTTL     = 200 * time.Millisecond
	testViewers = 5
)

// testShow is a low-latency stream that grows as time passes, and the steering server of its edges.
type testShow struct {
	began time.Time
	ended bool // all is listed, and no more comes

	mu       sync.Mutex
	priority []string
	sessions map[string]string // by CMCD's sid: the keys of its last piece
	steered  map[string]int    // requests by pathway

	listeners map[string]*testListener // by address
}

// testEdge serves the show at an address until it is killed.
type testEdge struct {
	show   *testShow
	server *http.Server
	addr   string
}

func newTestShow() *testShow {
	return &testShow{
		began: time.Now().Add(-10 * time.Second), sessions: map[string]string{}, steered: map[string]int{},
		listeners: map[string]*testListener{},
	}
}

// testListener takes connections that a bubble's clock goes on beside: of the system's, nobody knows whether they wait.
type testListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newTestListener() *testListener {
	l := &testListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *testListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *testListener) Close() error {
	l.close()
	return nil
}

func (*testListener) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects to an edge.
func (s *testShow) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	l := s.listeners[addr]
	if l == nil {
		return nil, refused
	}
	viewer, server := net.Pipe()
	select {
	case l.conns <- server:
		return viewer, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// edges starts edges a and b, on one port of two addresses.
func (s *testShow) edges(tb testing.TB) (a, b *testEdge) {
	tb.Helper()
	s.priority = []string{"a", "b"}
	start := func(addr string) *testEdge {
		e := &testEdge{show: s, addr: addr, server: &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}}
		l := newTestListener()
		s.listeners[addr] = l
		go func() { _ = e.server.Serve(l) }()
		tb.Cleanup(e.kill)
		return e
	}
	return start("127.0.0.1:8080"), start("127.0.0.2:8080")
}

func (e *testEdge) kill() { _ = e.server.Close() }

func (s *testShow) order(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.priority = ids
}

func (s *testShow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.note(r, query.Get("CMCD"))
	switch {
	case r.URL.Path == "/index.m3u8":
		_, _ = w.Write([]byte(strings.ReplaceAll(steered, "id/live/", "")))
	case r.URL.Path == "/steer":
		s.mu.Lock()
		s.steered[query.Get("_HLS_pathway")]++
		order := strings.Join(s.priority, `","`)
		s.mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"VERSION":1,"TTL":%v,"RELOAD-URI":"/steer?slot=1","PATHWAY-PRIORITY":["%s"],"PATHWAY-CLONES":[`+
			`{"BASE-ID":"a","ID":"b","URI-REPLACEMENT":{"HOST":"127.0.0.2"}}]}`, testTTL.Seconds(), order)
	case strings.HasSuffix(r.URL.Path, ".m3u8"):
		if msn, err := strconv.Atoi(query.Get("_HLS_msn")); err == nil {
			part, _ := strconv.Atoi(query.Get("_HLS_part"))
			select {
			case <-time.After(time.Until(s.began.Add(time.Duration(msn*testParts+part+1) * testPart))):
			case <-r.Context().Done():
			}
		}
		_, _ = w.Write([]byte(s.playlist(time.Now())))
	default:
		_, _ = w.Write(make([]byte, 500))
	}
}

// note keeps what a viewer tells of itself.
func (s *testShow) note(r *http.Request, keys string) {
	_, id, _ := strings.Cut(keys, `sid="`)
	if id, _, found := strings.Cut(id, `"`); found && strings.HasSuffix(r.URL.Path, ".m4s") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions[id] = keys
	}
}

func (s *testShow) playlist(now time.Time) string {
	var b strings.Builder
	parts := int(now.Sub(s.began) / testPart)
	if s.ended {
		parts = 10
	}
	first := max(parts/testParts-testListed, 0)
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-PART-INF:PART-TARGET=%v\n", testPart.Seconds())
	fmt.Fprintf(&b, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=%v\n", testHold.Seconds())
	fmt.Fprintf(&b, "#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-MAP:URI=\"init.mp4\"\n", first)
	for n := first * testParts; n < parts; n++ {
		fmt.Fprintf(&b, "#EXT-X-PART:DURATION=%v,URI=\"%d.%d.m4s\"\n", testPart.Seconds(), n/testParts, n%testParts)
		if n%testParts == testParts-1 {
			fmt.Fprintf(&b, "#EXTINF:%v,\n%d.m4s\n", (testParts * testPart).Seconds(), n/testParts)
		}
	}
	if s.ended {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	return b.String()
}

// play has a few viewers watch at edge a for a while, in which happen comes after a second.
func (s *testShow) play(t *testing.T, a *testEdge, length time.Duration, happen func()) PlayResult {
	t.Helper()
	then := time.AfterFunc(time.Second, happen)
	defer then.Stop()
	r, err := Play(t.Context(), PlayConfig{
		URL: "http://" + a.addr + "/index.m3u8", Viewers: testViewers, Ramp: testPart, Duration: length, CMCD: true,
		dialer: s.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d play, fatal %v, faults %v, %d stalls of at most %.0f ms, %d moved, %v",
		r.Playing, r.Viewers, r.Fatal, r.Faults, r.Stalls, r.StallMaxMS, r.Moved, r.Pathways)
	return r
}

func TestPlayersLeaveADeadEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestShow()
		a, b := s.edges(t)
		r := s.play(t, a, 3*time.Second, a.kill)
		if r.Playing != testViewers || len(r.Fatal) > 0 || r.Moved != testViewers || r.Pathways["b"] != testViewers {
			t.Errorf("%d of %d play, fatal %v, at %v", r.Playing, testViewers, r.Fatal, r.Pathways)
		}
		for _, v := range r.Each {
			if v.Host != b.addr || v.StartMS < 0 || v.Bytes == 0 || v.Moves[0].MediaMS < 0 || v.Moves[0].Why == "steering" {
				t.Errorf("%+v", v)
			}
			// The head runs with the clock but for its stalls.
			stood := v.WatchedS*1000 + v.StalledMS + v.StartMS - float64(v.LeftMS-v.CameMS)
			if stood < -200 || stood > 10 {
				t.Errorf("watched %v s, stalled %v ms, began after %v ms of %d", v.WatchedS, v.StalledMS, v.StartMS, v.LeftMS-v.CameMS)
			}
		}
	})
}

func TestPlayersFollowSteering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestShow()
		a, b := s.edges(t)
		r := s.play(t, a, 2*time.Second, func() { s.order("b", "a") })
		if r.Playing != testViewers || len(r.Faults) > 0 || r.Pathways["b"] != testViewers {
			t.Errorf("%d of %d play, faults %v, at %v", r.Playing, testViewers, r.Faults, r.Pathways)
		}
		for _, v := range r.Each {
			if v.Host != b.addr || len(v.Moves) != 1 || v.Moves[0].Why != "steering" {
				t.Errorf("%+v", v)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.sessions) != testViewers || s.steered["a"] < 2*testViewers || s.steered["b"] < testViewers {
			t.Errorf("%d sessions, asked where to go at %v", len(s.sessions), s.steered)
		}
		for _, v := range r.Each {
			for _, key := range []string{"bl=", "br=250,", "d=100,", "dl=", "mtp=", "ot=", "rtp=1300,sf=h,sid=", "st=ll"} {
				if told := s.sessions[v.Session]; !strings.Contains(told, key) || strings.HasSuffix(told, ",su") {
					t.Errorf("%s told %s", v.Session, told)
				}
			}
		}
	})
}

func TestPlayersGiveUpWhereNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestShow()
		a, b := s.edges(t)
		b.kill()
		r := s.play(t, a, 20*time.Second, a.kill)
		if r.Playing != 0 || r.Seconds > 15 {
			t.Errorf("%d play, it took %v s", r.Playing, r.Seconds)
		}
		for _, v := range r.Each {
			if v.Fatal == "" || v.Faults[v.Fatal] == 0 {
				t.Errorf("%+v", v)
			}
		}
	})
}

func TestPlayersEndWithTheShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestShow()
		s.ended = true
		a, _ := s.edges(t)
		r := s.play(t, a, 2500*time.Millisecond, func() {})
		if r.Playing != testViewers || r.Stalls != 0 {
			t.Errorf("%d of %d are fine, %d stalls", r.Playing, testViewers, r.Stalls)
		}
	})
}

func TestPlayRefusesOtherURLs(t *testing.T) {
	if _, err := Play(context.Background(), PlayConfig{URL: "https://a.example/index.m3u8", Viewers: 1}); err == nil {
		t.Error("https is taken")
	}
	if u := (&url.URL{Scheme: "http", Host: "a.example"}); hostPort(u) != "a.example:80" {
		t.Error(hostPort(u))
	}
}
