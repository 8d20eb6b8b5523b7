package fastlane

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/slab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ok = "HTTP/1.1 200 OK\r\n"

// echo answers with what was asked for, in one piece or in chunks; /wait waits, /big is 8 MiB, /panic panics.
type echo struct {
	waiting, left atomic.Int32
	release       chan struct{}
}

func (e *echo) ServeLane(x *Exchange) error {
	text := fmt.Sprintf("lane %s?%s", x.Path(), x.Query())
	block := []byte("Content-Type: text/plain\r\n")
	switch x.Path() {
	case "/panic":
		panic("as asked")
	case "/wait":
		ctx := x.Context()
		x.Keep()
		e.waiting.Add(1)
		select {
		case <-e.release:
		case <-ctx.Done():
			e.left.Add(1)
			return ctx.Err()
		}
		text = fmt.Sprintf("lane %s?%s", x.Path(), x.Query())
	case "/short":
		if err := x.Begin(ok, block, []byte("Content-Length: 100\r\n"), 100); err != nil {
			return err
		}
		_ = x.Write(slab.Of([]byte("too short")))
		return x.End()
	case "/chunks":
		if err := x.Begin(ok, block, nil, -1); err != nil {
			return err
		}
		for i := range 20 {
			if err := x.Write(slab.Of([]byte(strings.Repeat("c", i)))); err != nil {
				return err
			}
		}
		return x.End()
	case "/big":
		text = strings.Repeat("b", 8<<20)
	}
	more := fmt.Appendf(nil, "Content-Length: %d\r\n", len(text))
	body := text
	if x.Head() {
		body = ""
	}
	if err := x.Begin(ok, block, more, int64(len(body))); err != nil {
		return err
	}
	if err := x.Write(slab.Of([]byte(body))); err != nil {
		return err
	}
	return x.End()
}

// served is a server on a socket; net/http answers "net/http METHOD URI BODY REMOTE".
type served struct {
	*Server
	listener *net.TCPListener
	addr     string
	echo     *echo
}

func serveEcho(t testing.TB, config Config) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{release: make(chan struct{})}
	config.Handler, config.Logger = e, slog.New(slog.DiscardHandler)
	config.HTTP = &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "net/http %s %s %s %s", r.Method, r.RequestURI, body, r.RemoteAddr)
		}),
	}
	s := &served{Server: New(config), listener: l.(*net.TCPListener), addr: l.Addr().String(), echo: e}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

func (s *served) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn.(*net.TCPConn)
}

// exchange writes text and reads so many answers.
func exchange(t testing.TB, conn net.Conn, text string, methods ...string) []string {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	var got []string
	for _, method := range methods {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(body))
	}
	return got
}

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

func get(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: edge\r\n" + strings.Join(lines, "") + "\r\n"
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	s := serveEcho(t, Config{})
	var text strings.Builder
	var want, methods []string
	for i := range 200 { // more than a buffer has room for
		path := fmt.Sprintf("/a/%d", i)
		text.WriteString(get(path+"?q", "X-Fill: "+strings.Repeat("x", i), "\r\n"))
		want, methods = append(want, "lane "+path+"?q"), append(methods, http.MethodGet)
	}
	text.WriteString(get("/chunks") + "HEAD" + get("/b")[3:] + get("/big") + get("/end"))
	chunks := strings.Repeat("c", 190)
	want = append(want, chunks, "", strings.Repeat("b", 8<<20), "lane /end?")
	methods = append(methods, http.MethodGet, http.MethodHead, http.MethodGet, http.MethodGet)
	conn := s.dial(t)
	for i, got := range exchange(t, conn, text.String(), methods...) {
		if got != want[i] {
			t.Fatalf("answer %d is %.100q, want %.100q", i, got, want[i])
		}
	}
	if st := s.Stats(); st.Requests != 204 || st.Connections != 1 || st.Open != 1 {
		t.Errorf("%+v", st)
	}
}

func TestAHeadInPieces(t *testing.T) {
	s := serveEcho(t, Config{})
	conn := s.dial(t)
	text := get("/a") + get("/b")
	for i := range len(text) - 1 {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := exchange(t, conn, text[len(text)-1:], "GET", "GET"); got[0] != "lane /a?" || got[1] != "lane /b?" {
		t.Error(got)
	}
}

func TestWhatIsOddGoesToNetHTTPWithItsBytes(t *testing.T) {
	s := serveEcho(t, Config{Takes: func(path string) bool { return path != "/other" }})
	for text, reason := range map[string]string{
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi": "method",
		"GET /a HTTP/1.0\r\n\r\n":                                    "version",
		get("/a%41"):                                                 "target",
		get("/other"):                                                "path",
		get("/a", "X: ü\r\n"):                                        "field",
		get("/a", "Content-Length: 3\r\n") + "abc":                   "body",
		get("/a", "Connection: te\r\n"):                              "connection",
		"GET /a HTTP/1.1\nHost: a\n\n":                               "line",
		get("/a", "X: "+strings.Repeat("y", 2*maxHead)+"\r\n"):       "size",
		"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n": "body",
	} {
		before := s.Stats()
		conn := s.dial(t)
		// It comes behind one for the lane, and what follows it is net/http's too.
		methods := []string{"GET", "GET", "GET"}
		all := get("/first") + text + get("/last")
		if strings.Contains(text, "HTTP/1.0") {
			all, methods = get("/first")+text, methods[:2]
		}
		got := exchange(t, conn, all, methods...)
		if got[0] != "lane /first?" {
			t.Errorf("%.60q: first is %q", text, got[0])
		}
		for _, g := range got[1:] {
			if !strings.HasPrefix(g, "net/http ") || !strings.HasSuffix(g, " "+conn.LocalAddr().String()) {
				t.Errorf("%.60q: got %q", text, g)
			}
		}
		if n := s.Stats().HandedOver[reason]; n != before.HandedOver[reason]+1 {
			t.Errorf("%.60q: no count of %s: %+v", text, reason, s.Stats())
		}
	}
	if got := exchange(t, s.dial(t), "GET /a HTTP/1.1\r\n\r\n", "GET"); !strings.Contains(got[0], "400") {
		t.Errorf("a request without Host: %q", got)
	}
}

// laterBy has so many periods pass at once, of a server whose own are too long to come.
func (s *served) laterBy(periods uint64) {
	s.tick.Add(periods)
	s.sweep()
}

// phases counts the connections by what they are at.
func (s *served) phases() map[phase]int {
	all := make(map[phase]int)
	for _, c := range s.all() {
		all[phaseOf(c.state.Load())]++
	}
	return all
}

func TestSlowAndIdleConnectionsAreClosed(t *testing.T) {
	s := serveEcho(t, Config{
		Period: time.Hour, IdleTimeout: 4 * time.Hour, HeadTimeout: 3 * time.Hour, WriteTimeout: 20 * time.Millisecond,
	})
	fresh, used, slow, reader := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	exchange(t, used, get("/a"), "GET")
	if _, err := io.WriteString(slow, "GET /a HT"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(reader, strings.Repeat(get("/big"), 4)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow reader is cut", func() bool { return s.Stats().Closed["write"] == 1 })
	eventually(t, "the others wait", func() bool { p := s.phases(); return p[idle] == 2 && p[heading] == 1 && len(p) == 2 })
	for _, c := range []struct {
		periods uint64
		left    int
	}{{3, 3}, {1, 2}, {1, 0}} {
		s.laterBy(c.periods)
		eventually(t, "those whose time is over are closed", func() bool { return s.Stats().Open == c.left })
	}
	for _, conn := range []net.Conn{fresh, used, slow} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it is open: %v", err)
		}
	}
	if c := s.Stats().Closed; c["idle"] != 2 || c["head"] != 1 || c["write"] != 1 {
		t.Errorf("closed: %v", c)
	}
}

// On a busy machine the goroutine of a connection that was just taken runs late: the sweeper must not think that it has
// idled since the server began.
func TestANewConnectionHasNotIdledYet(t *testing.T) {
	s := New(Config{HTTP: new(http.Server), IdleTimeout: time.Minute, Period: time.Second})
	s.tick.Store(100)
	c := newConn(s, nil, nil, nil)
	s.mu.conns[c] = struct{}{}
	s.sweep()
	if phaseOf(c.state.Load()) != idle || s.Stats().Closed["idle"] != 0 {
		t.Errorf("phase %d, %v closed", phaseOf(c.state.Load()), s.Stats().Closed)
	}
}

func TestAViewerWhoLeavesAWaitIsNoticed(t *testing.T) {
	s := serveEcho(t, Config{Period: 5 * time.Millisecond})
	closed, half, reset, pipelining, patient := s.dial(t), s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	for _, conn := range []net.Conn{closed, half, reset, patient} {
		if _, err := io.WriteString(conn, get("/wait")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(pipelining, get("/wait")+get("/next")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all wait", func() bool { return s.echo.waiting.Load() == 5 })
	_ = closed.Close()
	_ = half.CloseWrite()
	_ = reset.SetLinger(0)
	_ = reset.Close()
	eventually(t, "three have left", func() bool { return s.echo.left.Load() == 3 })
	now := s.tick.Load()
	eventually(t, "it was looked at the others", func() bool { return s.tick.Load() > now+3 })
	close(s.echo.release)
	if got := exchange(t, patient, "", "GET"); got[0] != "lane /wait?" {
		t.Error(got)
	}
	if got := exchange(t, pipelining, "", "GET", "GET"); got[1] != "lane /next?" {
		t.Error(got)
	}
	if n := s.Stats().Closed["left"]; n != 3 {
		t.Errorf("%d have left", n)
	}
}

func TestBodiesThatAreNotAsLongAsTheirHeaderToldCutTheConnection(t *testing.T) {
	s := serveEcho(t, Config{})
	for _, path := range []string{"/short", "/panic"} {
		conn := s.dial(t)
		if _, err := io.WriteString(conn, get(path)+get("/after")); err != nil {
			t.Fatal(err)
		}
		if all, _ := io.ReadAll(conn); strings.Contains(string(all), "after") {
			t.Errorf("%s: %q", path, all)
		}
	}
}

func TestShutdownClosesIdleConnectionsAndLetsOthersFinish(t *testing.T) {
	s := serveEcho(t, Config{})
	idle, busy, odd := s.dial(t), s.dial(t), s.dial(t)
	exchange(t, idle, get("/a"), "GET")
	exchange(t, odd, get("/a%41"), "GET")
	if _, err := io.WriteString(busy, get("/wait")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return s.echo.waiting.Load() == 1 })
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for _, conn := range []net.Conn{idle, odd} {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("it is open: %v", err)
		}
	}
	if err := s.listener.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it listens: %v", err)
	}
	close(s.echo.release)
	resp, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil || !resp.Close {
		t.Errorf("%v %v", resp, err)
	}
	wg.Wait()
}

func TestCloseCutsThoseWhoWait(t *testing.T) {
	s := serveEcho(t, Config{})
	if _, err := io.WriteString(s.dial(t), get("/wait")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return s.echo.waiting.Load() == 1 })
	if err := s.Close(); err != nil || s.echo.left.Load() != 1 {
		t.Error(err)
	}
}

func TestHandedConnectionsAreTCPToNetHTTP(t *testing.T) {
	var conn net.Conn = &handed{}
	if _, ok := conn.(io.ReaderFrom); !ok {
		t.Error("no sendfile")
	}
	if _, ok := conn.(interface{ CloseWrite() error }); !ok {
		t.Error("no half-close")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(out, " second")
	_ = out.Close()
	h := &handed{TCPConn: in.(*net.TCPConn), unread: []byte("the first")}
	one := make([]byte, 4)
	if _, err := io.ReadFull(h, one); err != nil || string(one) != "the " {
		t.Errorf("%q %v", one, err)
	}
	var rest strings.Builder
	if _, err := io.Copy(&rest, h); err != nil || rest.String() != "first second" {
		t.Errorf("%q %v", rest.String(), err)
	}
	_ = in.Close()
}
