package front

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ListenerConfig says how a Listener treats connections. Book is needed.
type ListenerConfig struct {
	Book *Book
	// Proxies begin their connections with a header of the PROXY protocol. Empty means that nobody does.
	Proxies []netip.Prefix
	// HeaderTimeout bounds the wait for that. Zero means 5 s.
	HeaderTimeout time.Duration
	// PlainHTTP says that who has too many connections can be told so by an answer.
	PlainHTTP bool
	// Logger is told of headers that are no good, at debug level. Nil means slog's default.
	Logger *slog.Logger
}

const (
	// maxHeading bounds the connections whose header is waited for.
	maxHeading = 4096
	// maxTold bounds the connections that are being told that they are too many.
	maxTold = 256
	// toldTimeout is how long such a one may take to hear it.
	toldTimeout = time.Second
)

// Listener accepts connections for their clients. Those of TCP are given as *Conn, others as they are.
type Listener struct {
	net.Listener
	cfg     ListenerConfig
	start   sync.Once
	offers  chan offer
	closed  chan struct{}
	close   func() error
	heading chan struct{} // a place for each
	told    chan struct{} // a place for each
	open    atomic.Int64
}

type offer struct {
	conn net.Conn
	err  error
}

// NewListener makes one of another.
func NewListener(l net.Listener, cfg ListenerConfig) *Listener {
	cfg.HeaderTimeout = cmp.Or(cfg.HeaderTimeout, 5*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	f := &Listener{
		Listener: l, cfg: cfg, offers: make(chan offer), closed: make(chan struct{}),
		heading: make(chan struct{}, maxHeading), told: make(chan struct{}, maxTold),
	}
	f.close = sync.OnceValue(func() error {
		close(f.closed)
		return l.Close()
	})
	return f
}

// Close implements net.Listener. Connections whose header is waited for are closed when it comes, or does not.
func (l *Listener) Close() error { return l.close() }

// Open is how many of the connections that were accepted are open.
func (l *Listener) Open() int { return int(l.open.Load()) }

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	if len(l.cfg.Proxies) == 0 {
		for {
			nc, err := l.Listener.Accept()
			if err != nil {
				return nil, err
			}
			if conn := l.admit(nc, proxied{}); conn != nil {
				return conn, nil
			}
		}
	}
	l.start.Do(func() { go l.pump() })
	select {
	case o := <-l.offers:
		return o.conn, o.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// pump accepts for as long as the listener is open. Who waits for a header keeps nobody else waiting.
func (l *Listener) pump() {
	for {
		nc, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			_ = l.Close()
			return
		case err != nil: // whoever accepts knows what to do: the next attempt waits until it has been told
		case !l.fromProxy(nc):
			if nc = l.admit(nc, proxied{}); nc == nil {
				continue
			}
		default:
			select {
			case l.heading <- struct{}{}:
				go l.head(nc)
			default:
				l.cfg.Book.metrics.headers.WithLabelValues("busy").Inc()
				_ = nc.Close()
			}
			continue
		}
		if !l.offer(offer{nc, err}) {
			return
		}
	}
}

func (l *Listener) offer(o offer) bool {
	select {
	case l.offers <- o:
		return true
	case <-l.closed:
		if o.conn != nil {
			_ = o.conn.Close()
		}
		return false
	}
}

func (l *Listener) fromProxy(nc net.Conn) bool {
	peer := peerOf(nc)
	return slices.ContainsFunc(l.cfg.Proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// head reads a connection's header and offers it.
func (l *Listener) head(nc net.Conn) {
	defer func() { <-l.heading }()
	_ = nc.SetReadDeadline(time.Now().Add(l.cfg.HeaderTimeout))
	p, err := readProxy(nc, new([maxProxy]byte))
	if err == nil {
		err = nc.SetReadDeadline(time.Time{})
	}
	outcome := "client"
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome = "late"
	case err != nil:
		outcome = "bad"
	case !p.client.IsValid():
		outcome = "none"
	}
	l.cfg.Book.metrics.headers.WithLabelValues(outcome).Inc()
	if err != nil {
		l.cfg.Logger.Debug("connection without a good PROXY header is closed", "remote", nc.RemoteAddr().String(), "err", err)
		_ = nc.Close()
		return
	}
	if conn := l.admit(nc, p); conn != nil {
		l.offer(offer{conn: conn})
	}
}

// admit counts a connection, and gives it as who serves it is to see it; nil if it was refused.
func (l *Listener) admit(nc net.Conn, p proxied) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	client := peerOf(nc)
	if p.client.IsValid() {
		client = p.client.Addr()
	}
	leave, ok := l.cfg.Book.enter(client)
	if !ok {
		l.refuse(tcp)
		return nil
	}
	l.open.Add(1)
	c := &Conn{TCPConn: tcp, leave: sync.OnceFunc(func() {
		l.open.Add(-1)
		if leave != nil {
			leave()
		}
	})}
	if p.client.IsValid() {
		c.remote, c.local = net.TCPAddrFromAddrPort(p.client), net.TCPAddrFromAddrPort(p.local)
	}
	return c
}

// tooMany is what who has too many connections is told. Players come again after a 503, and not after a 429.
const tooMany = "HTTP/1.1 503 Service Unavailable\r\nAccess-Control-Allow-Origin: *\r\nCache-Control: no-store\r\n" +
	"Retry-After: 2\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 36\r\nConnection: close\r\n\r\n" +
	"too many connections of this address"

// refuse closes a connection. Who has sent its request already would see a reset instead of the answer, so that is
// waited for, for a moment.
func (l *Listener) refuse(tcp *net.TCPConn) {
	if !l.cfg.PlainHTTP {
		_ = tcp.Close()
		return
	}
	select {
	case l.told <- struct{}{}:
	default:
		_ = tcp.Close()
		return
	}
	go func() {
		defer func() { <-l.told }()
		defer func() { _ = tcp.Close() }()
		_ = tcp.SetDeadline(time.Now().Add(toldTimeout))
		if _, err := io.ReadFull(tcp, make([]byte, 1)); err != nil {
			return // an answer to no request would be an error
		}
		if _, err := io.WriteString(tcp, tooMany); err == nil && tcp.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(tcp, 64<<10))
		}
	}()
}

// peerOf is a connection's other end.
func peerOf(nc net.Conn) netip.Addr {
	if addr, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Conn is a TCP connection that was counted, or whose ends a proxy told.
type Conn struct {
	*net.TCPConn
	remote, local net.Addr // nil: the connection's own
	leave         func()
}

// TCP gives the system's connection. Close and addresses are the Conn's.
func (c *Conn) TCP() *net.TCPConn { return c.TCPConn }

// RemoteAddr implements net.Conn: where the client is.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.TCPConn.RemoteAddr()
}

// LocalAddr implements net.Conn: where the client thinks that we are.
func (c *Conn) LocalAddr() net.Addr {
	if c.local != nil {
		return c.local
	}
	return c.TCPConn.LocalAddr()
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}
