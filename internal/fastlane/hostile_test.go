package fastlane

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// drip does something small again and again until it fails.
func drip(some func() error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if some() != nil {
			return
		}
	}
}

// Who sends a head byte by byte, or takes an answer so, gets somewhere all the time, and for all that no longer than who
// does nothing: it is the whole that has a time.
func TestClientsWhoDripAreClosed(t *testing.T) {
	for _, c := range []struct {
		why     string
		request string
		some    func(net.Conn) error
	}{
		{"head", "GET /a HTTP/1.1\r\nX-A: ", func(conn net.Conn) error {
			_, err := io.WriteString(conn, "a")
			return err
		}},
		{"head", "GET /a HTTP/1.1\r\nHost: a\r\n", func(conn net.Conn) error { // whole fields
			_, err := io.WriteString(conn, "X: a\r\n")
			return err
		}},
		{"write", strings.Repeat(get("/big"), 8), func(conn net.Conn) error {
			_, err := conn.Read(make([]byte, 64))
			return err
		}},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := serveEcho(t, Config{
				Period: 5 * time.Millisecond, HeadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond,
			})
			conn := s.dial(t)
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				drip(func() error { return c.some(conn) })
			}()
			eventually(t, "it is closed", func() bool { return s.Stats().Closed[c.why] == 1 })
			_ = conn.Close()
			<-done
			// Others are served as ever.
			if got := exchange(t, s.dial(t), get("/a"), "GET"); got[0] != "lane /a?" {
				t.Errorf("another client: %q", got)
			}
		})
	}
}
