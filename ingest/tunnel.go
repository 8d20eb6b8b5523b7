package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// tunnelType is the content type of every request and answer.
	tunnelType = "application/x-fcs"
	// maxTunnelBody bounds a request's body, of which only tunnelBuffer bytes are held.
	maxTunnelBody = 64 << 20
	tunnelBuffer  = 32 << 10
)

var (
	errTunnelMethod = errors.New("RTMPT requests are POST")
	errTunnelType   = errors.New("RTMPT requests have the content type " + tunnelType)
	errTunnelOrder  = errors.New("RTMPT request out of order")
	errTunnelEnded  = errors.New("the RTMPT session has ended")
)

// Tunnel is RTMPT: RTMP in HTTP requests, for publishers behind firewalls that let nothing else out. Each session is a
// tunnelConn which Run accepts and serves like any connection, within the same limits.
//
// A client opens a session and then sends requests with consecutive numbers, whose bodies are the bytes of one RTMP
// connection and whose answers are those of the other direction. Requests are obeyed in the order of their numbers; one
// that comes early waits for a moment, one that repeats the last gets its answer again, and any other is refused. A
// session without a request for IdleTimeout is lost.
type Tunnel struct {
	server *Server
	offers chan *tunnelConn
	closed chan struct{}
	close  func()

	mu struct {
		sync.Mutex
		conns map[string]*tunnelConn
	}
}

// Tunnel makes the handler of the paths for which TunnelPath is true. It takes sessions while its Run does.
func (s *Server) Tunnel() *Tunnel {
	t := &Tunnel{server: s, offers: make(chan *tunnelConn), closed: make(chan struct{})}
	t.close = sync.OnceFunc(func() { close(t.closed) })
	t.mu.conns = make(map[string]*tunnelConn)
	return t
}

// Run serves the sessions until ctx ends, which is no error: then they are told, and all goroutines have left when it
// returns. It can be called once.
func (t *Tunnel) Run(ctx context.Context) error {
	return t.server.accept(ctx, tunnelListener{t}, protocolRTMPT, func(ctx context.Context, conn net.Conn, place *visit) {
		c, ok := conn.(*tunnelConn)
		if !ok {
			panic(fmt.Sprintf("BUG: a tunnel gave a %T", conn))
		}
		c.begin()
		defer t.forget(c)
		t.server.serveRTMP(ctx, c, place)
		c.drain()
	})
}

// tunnelListener is the tunnel as Server.accept wants it.
type tunnelListener struct{ tunnel *Tunnel }

func (l tunnelListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.tunnel.offers:
		return c, nil
	case <-l.tunnel.closed:
		return nil, net.ErrClosed
	}
}

func (l tunnelListener) Close() error {
	l.tunnel.close()
	return nil
}

func (l tunnelListener) Addr() net.Addr { return &net.TCPAddr{} }

func (t *Tunnel) forget(c *tunnelConn) {
	c.reaper.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.conns, c.id)
}

// ServeHTTP implements http.Handler.
func (t *Tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := t.serve(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		status := tunnelStatus(err)
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		t.server.logger.Debug("tunnel request refused", "remote", r.RemoteAddr, "status", status, "err", err)
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", tunnelType)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // a client that did not get it asks again, or is lost
}

// serve obeys a request and gives the body of its answer.
func (t *Tunnel) serve(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	call, err := parseTunnelPath(r.URL.Path)
	if err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost {
		return nil, errTunnelMethod
	}
	acknowledge(r)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != tunnelType {
		return nil, errTunnelType
	}
	switch call.verb {
	case tunnelIdent:
		// Flash asks which address of a cluster to use; not found is to stay with this one.
		return nil, fmt.Errorf("%w: no other address: go on with /open/1", media.ErrNotFound)
	case tunnelOpen:
		return t.open(r)
	}
	t.mu.Lock()
	c := t.mu.conns[call.id]
	t.mu.Unlock()
	if c == nil {
		return nil, errTunnelEnded
	}
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave(t.server.cfg.IdleTimeout)
	return t.exchange(w, r, c, call)
}

// open begins a session and gives its id.
func (t *Tunnel) open(r *http.Request) ([]byte, error) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil, fmt.Errorf("%w: no remote address: %w", media.ErrInvalid, err)
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	c := newTunnelConn(rand.Text(), local, net.TCPAddrFromAddrPort(remote))
	c.reaper = time.AfterFunc(t.server.cfg.IdleTimeout, c.abandon)
	t.mu.Lock()
	t.mu.conns[c.id] = c
	t.mu.Unlock()

	ctx, cancel := context.WithTimeout(r.Context(), t.server.cfg.ServiceTimeout)
	defer cancel()
	select {
	case t.offers <- c:
		// It begins, or is closed since there are too many.
		begun := false
		c.await(ctx, time.Time{}, func() bool {
			begun = c.mu.begun
			return begun || c.mu.closed
		})
		if begun {
			return []byte(c.id + "\n"), nil
		}
		_ = c.Close()
	case <-t.closed:
	case <-ctx.Done():
	}
	t.forget(c)
	return nil, fmt.Errorf("%w: too many connections, or the server is stopping", media.ErrUnavailable)
}

// exchange takes the request's body in its turn and gives what the session has to say.
func (t *Tunnel) exchange(w http.ResponseWriter, r *http.Request, c *tunnelConn, call tunnelCall) ([]byte, error) {
	ctx := r.Context()
	again, err := c.turn(ctx, call.sequence)
	if again != nil || err != nil {
		return again, err
	}
	var answer []byte
	defer func() { c.done(answer) }()
	switch call.verb {
	case tunnelSend:
		err = t.pour(w, r, c)
	case tunnelClose:
		c.end(errGoodbye)
	}
	if err != nil && !errors.Is(err, errTunnelEnded) {
		// Part of the body may have been read: what follows could only be misunderstood.
		t.server.logger.Debug("tunnel request broken off", "remote", r.RemoteAddr, "err", err)
		c.abandon()
		return nil, fmt.Errorf("%w: its body broke off", errTunnelEnded)
	}
	c.settle(ctx)
	answer, err = c.take()
	if call.verb == tunnelClose && err != nil {
		answer, err = []byte{0}, nil
	}
	return answer, err
}

// pour feeds a request's body to the session. When the session has ended, what is left of a body that is not too large
// is read past: the client reads its answer only behind it.
func (t *Tunnel) pour(w http.ResponseWriter, r *http.Request, c *tunnelConn) error {
	control := http.NewResponseController(w)
	body := http.MaxBytesReader(w, r.Body, maxTunnelBody)
	buf := make([]byte, tunnelBuffer)
	if r.ContentLength >= 0 {
		buf = buf[:min(r.ContentLength+1, tunnelBuffer)]
	}
	var ended error
	for waste := 0; waste <= lingerBytes; {
		timeout := t.server.cfg.IdleTimeout
		if ended != nil {
			timeout = lingerTimeout
		}
		_ = control.SetReadDeadline(time.Now().Add(timeout)) // only tests' writers have none
		n, err := body.Read(buf)
		// The server watches the connection once the body has ended; the time that the session takes is no silence.
		_ = control.SetReadDeadline(time.Time{})
		if ended != nil {
			waste += n
		} else if n > 0 {
			if ended = c.feed(r.Context(), buf[:n]); ended != nil && !errors.Is(ended, errTunnelEnded) {
				return ended
			}
		}
		switch {
		case errors.Is(err, io.EOF), ended != nil && err != nil:
			return ended
		case err != nil:
			return fmt.Errorf("read the body: %w", err)
		}
	}
	return ended
}
