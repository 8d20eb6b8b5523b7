package front

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// listened is a Listener on a socket whose connections are answered with where they come from and what they sent.
type listened struct {
	*Listener
	book *Book
}

func listen(t *testing.T, book Config, cfg ListenerConfig) *listened {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Book, cfg.Logger = newBook(book), slog.New(slog.DiscardHandler)
	l := &listened{Listener: NewListener(inner, cfg), book: cfg.Book}
	done := make(chan error)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				line := make([]byte, 4)
				_, _ = io.ReadFull(conn, line)
				_, _ = io.WriteString(conn, conn.RemoteAddr().String()+" "+conn.LocalAddr().String()+" "+string(line))
				_, _ = io.Copy(io.Discard, conn) // as long as the client stays
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		eventually(t, "all connections are gone", func() bool { _, n := l.book.usage(); return n == 0 })
	})
	return l
}

func (l *listened) dial(t *testing.T, text string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// hear reads what the connection is told until it is closed.
func hear(conn *net.TCPConn) string {
	_ = conn.CloseWrite()
	text, _ := io.ReadAll(conn)
	return string(text)
}

func eventually(t *testing.T, what string, ok func() bool) {
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

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func TestAProxyTellsWhoAConnectionIsFrom(t *testing.T) {
	l := listen(t, Config{}, ListenerConfig{Proxies: loopback(), HeaderTimeout: time.Minute})
	silent := l.dial(t, "") // keeps nobody waiting
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n": "192.0.2.1:4711 198.51.100.1:443 text",
		v2(0x21, 0x21, ends6...):                         "[2001:db8::1]:4711 [2001:db8::]:443 text",
	} {
		if got := hear(l.dial(t, header+"text")); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	own := l.dial(t, "PROXY UNKNOWN\r\ntext")
	if got, want := hear(own), own.LocalAddr().String()+" "+l.Addr().String()+" text"; got != want {
		t.Errorf("the proxy's own: %q, want %q", got, want)
	}
	if got := hear(l.dial(t, "GET / HTTP/1.1\r\n\r\n")); got != "" {
		t.Errorf("without a header: %q", got)
	}
	if got := hear(l.dial(t, "PROXY TCP4 1.2.3.4")); got != "" {
		t.Errorf("half a header: %q", got)
	}
	for outcome, want := range map[string]float64{"client": 2, "none": 1, "bad": 2} {
		eventually(t, outcome, func() bool {
			return testutil.ToFloat64(l.book.metrics.headers.WithLabelValues(outcome)) == want
		})
	}
	if got := hear(silent); got != "" {
		t.Errorf("nothing at all: %q", got)
	}
}

func TestAHeaderThatDoesNotCome(t *testing.T) {
	l := listen(t, Config{}, ListenerConfig{Proxies: loopback(), HeaderTimeout: 10 * time.Millisecond})
	text, err := io.ReadAll(l.dial(t, "PROXY "))
	if len(text) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%q %v", text, err)
	}
	if late := testutil.ToFloat64(l.book.metrics.headers.WithLabelValues("late")); late != 1 {
		t.Errorf("%v late", late)
	}
}

func TestAHeaderOfAStrangerIsWhatAnyBytesAre(t *testing.T) {
	l := listen(t, Config{}, ListenerConfig{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	conn := l.dial(t, "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n")
	if got, want := hear(conn), conn.LocalAddr().String()+" "+l.Addr().String()+" PROX"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTooManyConnectionsAreTold(t *testing.T) {
	l := listen(t, Config{Connections: 2}, ListenerConfig{PlainHTTP: true})
	first, second := l.dial(t, "text"), l.dial(t, "text")
	eventually(t, "two are counted", func() bool { _, n := l.book.usage(); return n == 2 })
	resp, err := http.Get("http://" + l.Addr().String() + "/a")
	for err != nil && t.Context().Err() == nil { // who takes a second to ask, on a busy machine, is not told
		resp, err = http.Get("http://" + l.Addr().String() + "/a")
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "2" || !resp.Close ||
		resp.Header.Get("Access-Control-Allow-Origin") != "*" || err != nil {
		t.Errorf("%v %q %v", resp, body, err)
	}
	_ = hear(first)
	eventually(t, "one has left", func() bool { _, n := l.book.usage(); return n == 1 })
	if got := hear(l.dial(t, "text")); !strings.HasSuffix(got, " text") {
		t.Errorf("after one has left: %q", got)
	}
	_ = hear(second)
}

func TestConnectionsAreCountedForWhomTheProxySpeaks(t *testing.T) {
	l := listen(t, Config{Connections: 1}, ListenerConfig{Proxies: loopback()})
	one, other := "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n", "PROXY TCP4 192.0.2.2 198.51.100.1 4711 443\r\n"
	first := l.dial(t, one+"text")
	eventually(t, "it is counted", func() bool { _, n := l.book.usage(); return n == 1 })
	if got := hear(l.dial(t, one+"text")); got != "" {
		t.Errorf("a second of one client: %q", got)
	}
	if got := hear(l.dial(t, other+"text")); !strings.HasPrefix(got, "192.0.2.2:") {
		t.Errorf("another client: %q", got)
	}
	_ = hear(first)
}
