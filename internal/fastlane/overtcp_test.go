package fastlane

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// ended is a connection whose other end is said to be another.
type ended struct {
	*net.TCPConn
	closed *atomic.Int32
}

func (c ended) TCP() *net.TCPConn { return c.TCPConn }

func (ended) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To4(), Port: 4711} }

func (c ended) Close() error {
	c.closed.Add(1)
	return c.TCPConn.Close()
}

type tellingListener struct {
	net.Listener
	closed atomic.Int32
}

func (l *tellingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return ended{nc.(*net.TCPConn), &l.closed}, nil
}

// remote answers with where the request is from.
type remote struct{}

func (remote) ServeLane(x *Exchange) error {
	text := "lane " + x.Remote().String()
	if err := x.Begin(ok, nil, fmt.Appendf(nil, "Content-Length: %d\r\n", len(text)), int64(len(text))); err != nil {
		return err
	}
	return errors.Join(x.Write(slab.Of([]byte(text))), x.End())
}

func TestAConnectionsEndsAreThoseItTells(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &tellingListener{Listener: inner}
	s := New(Config{
		Handler: remote{}, Logger: slog.New(slog.DiscardHandler),
		HTTP: &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "net/http "+r.RemoteAddr)
			}),
		},
	})
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	in := bufio.NewReader(conn)
	for _, row := range []struct{ text, want string }{
		{get("/a"), "lane 192.0.2.1:4711"},
		{"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 0\r\n\r\n", "net/http 192.0.2.1:4711"},
	} {
		if _, err := io.WriteString(conn, row.text); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != row.want {
			t.Errorf("%q, want %q", body, row.want)
		}
	}
	_ = conn.Close()
	eventually(t, "net/http closes it as what was accepted", func() bool { return l.closed.Load() == 1 })
	idle, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = exchange(t, idle, get("/a"), http.MethodGet)
	_ = s.Close()
	_ = idle.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) || l.closed.Load() < 2 {
		t.Errorf("%v, %d are closed", err, l.closed.Load())
	}
}
