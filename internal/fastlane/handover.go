package fastlane

import (
	"io"
	"net"
	"sync"
)

// lobby is the listener at which net/http accepts the connections that are handed over.
type lobby struct {
	addr   net.Addr
	offers chan net.Conn
	closed chan struct{}
	close  func()
}

func newLobby(addr net.Addr) *lobby {
	l := &lobby{addr: addr, offers: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Accept implements net.Listener.
func (l *lobby) Accept() (net.Conn, error) {
	select {
	case conn := <-l.offers:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *lobby) Close() error {
	l.close()
	return nil
}

// Addr implements net.Listener.
func (l *lobby) Addr() net.Addr { return l.addr }

// offer gives the connection to net/http, or closes it when that has stopped.
func (l *lobby) offer(conn net.Conn) {
	select {
	case l.offers <- conn:
	case <-l.closed:
		_ = conn.Close() // nobody is there to be told
	}
}

// handed is a TCP connection some of whose bytes were read already: they come first. All else is the connection's own,
// so that net/http finds its sendfile, half-close and deadlines; but its ends and its close are outer's.
type handed struct {
	*net.TCPConn
	outer  net.Conn
	mu     sync.Mutex // net/http reads in the background too, never at once, but in another goroutine
	unread []byte
}

// Read implements net.Conn.
func (h *handed) Read(b []byte) (int, error) {
	h.mu.Lock()
	if len(h.unread) > 0 {
		defer h.mu.Unlock()
		n := copy(b, h.unread)
		if h.unread = h.unread[n:]; len(h.unread) == 0 {
			h.unread = nil
		}
		return n, nil
	}
	h.mu.Unlock()
	return h.TCPConn.Read(b)
}

// RemoteAddr implements net.Conn.
func (h *handed) RemoteAddr() net.Addr { return h.outer.RemoteAddr() }

// LocalAddr implements net.Conn.
func (h *handed) LocalAddr() net.Addr { return h.outer.LocalAddr() }

// Close implements net.Conn.
func (h *handed) Close() error { return h.outer.Close() }

// WriteTo implements io.WriterTo, which io.Copy prefers to Read.
func (h *handed) WriteTo(w io.Writer) (int64, error) {
	h.mu.Lock()
	unread := h.unread
	h.unread = nil
	h.mu.Unlock()
	var first int64
	if len(unread) > 0 {
		n, err := w.Write(unread)
		if first = int64(n); err != nil {
			return first, err
		}
	}
	rest, err := h.TCPConn.WriteTo(w)
	return first + rest, err
}
