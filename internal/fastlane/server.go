package fastlane

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config is what a Server is made of. HTTP and Handler are needed.
type Config struct {
	// Handler answers in the lane.
	Handler Handler
	// HTTP serves what the lane does not take. Its own limits and hooks count for the connections that it gets, from when
	// it gets them.
	HTTP *http.Server
	// Takes says which paths are the Handler's. The path is a view that it must not keep. Nil means all.
	Takes func(path string) bool
	// Logger is told of panics. Nil means slog's default.
	Logger *slog.Logger
	// IdleTimeout bounds the wait for a request. Zero means 2 min.
	IdleTimeout time.Duration
	// HeadTimeout bounds the time from a head's first byte to its last. Zero means 10 s.
	HeadTimeout time.Duration
	// WriteTimeout bounds the time that a viewer takes for 256 KiB of an answer. Zero means 30 s.
	WriteTimeout time.Duration
	// Period is how often all connections are looked at, and how exact the timeouts before are. Zero means 1 s.
	Period time.Duration
}

// Server answers at one listener. Serve, then Shutdown or Close, once each.
type Server struct {
	cfg     Config
	handler Handler
	takes   func(path string) bool
	logger  *slog.Logger
	lobby   *lobby
	buffers sync.Pool // of *[maxHead]byte
	count   counters
	// tick counts periods.
	tick     atomic.Uint64
	leaving  atomic.Bool // every answer is its connection's last
	draining atomic.Bool
	closed   atomic.Bool
	running  sync.WaitGroup // connections and the sweeper
	stop     chan struct{}  // ends the sweeper

	mu struct {
		sync.Mutex
		listener net.Listener
		conns    map[*conn]struct{}
	}
}

// New makes a server.
func New(cfg Config) *Server {
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 2*time.Minute)
	cfg.HeadTimeout = cmp.Or(cfg.HeadTimeout, 10*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 30*time.Second)
	cfg.Period = cmp.Or(cfg.Period, time.Second)
	s := &Server{cfg: cfg, handler: cfg.Handler, takes: cfg.Takes, logger: cfg.Logger, stop: make(chan struct{})}
	if s.takes == nil {
		s.takes = func(string) bool { return true }
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	s.buffers.New = func() any { return new([maxHead]byte) }
	s.mu.conns = make(map[*conn]struct{})
	return s
}

// Serve takes the listener's connections until Shutdown or Close, and then gives http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	s.lobby = newLobby(l.Addr())
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		_ = l.Close()
		return http.ErrServerClosed
	}
	s.mu.listener = l
	s.running.Go(s.sweepUntilStop)
	s.mu.Unlock()
	beside := make(chan error, 1)
	go func() { beside <- s.cfg.HTTP.Serve(s.lobby) }()
	err := s.accept(l)
	if s.draining.Load() {
		err = http.ErrServerClosed
	} else { // the listener broke
		_ = s.Close()
	}
	if other := <-beside; !errors.Is(other, http.ErrServerClosed) {
		err = errors.Join(err, other)
	}
	return err
}

// accept takes connections until the listener ends. What an overloaded system refuses it may give a moment later.
func (s *Server) accept(l net.Listener) error {
	const first, most = 5 * time.Millisecond, time.Second
	pause := first
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.draining.Load() || !overloaded(err) {
				return err
			}
			s.logger.Warn("HTTP connections can't be taken", "err", err, "dur", pause)
			select {
			case <-time.After(pause):
			case <-s.stop:
			}
			pause = min(2*pause, most)
			continue
		}
		pause = first
		s.count.connections.Add(1)
		s.begin(nc)
	}
}

func overloaded(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// OverTCP is a connection that is a TCP connection with other ends, as the PROXY protocol tells them, or with somebody
// who wants to know when it is closed. Nothing but its bytes is taken from the TCP connection.
type OverTCP interface {
	net.Conn
	TCP() *net.TCPConn
}

func (s *Server) begin(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if over, is := nc.(OverTCP); is {
		tcp, ok = over.TCP(), true
	}
	if ok && supported {
		if raw, err := tcp.SyscallConn(); err == nil {
			s.take(newConn(s, nc, tcp, raw))
			return
		}
	}
	s.count.handed[reasonSystem].Add(1)
	s.lobby.offer(nc)
}

func (s *Server) take(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() { // Shutdown may have seen all
		_ = c.outer.Close()
		return
	}
	s.mu.conns[c] = struct{}{}
	s.running.Go(c.serve)
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

// all gives the connections in the lane.
func (s *Server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	return conns
}

// Leave has every connection close after its next answer, which tells so, in the lane; new ones are taken still. It
// comes before Shutdown: who is asked to leave sends no request into a connection that is being closed.
func (s *Server) Leave() { s.leaving.Store(true) }

// Shutdown takes no more connections, closes those that idle, and waits for the others to answer what they are at, in
// the lane and in net/http, until the context ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.unlisten()
	beside := make(chan error, 1)
	go func() { beside <- s.cfg.HTTP.Shutdown(ctx) }()
	const look = 5 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for s.closeIdle() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), <-beside)
		}
	}
	s.halt()
	s.running.Wait()
	return <-beside
}

// Close closes all connections at once.
func (s *Server) Close() error {
	s.draining.Store(true)
	s.closed.Store(true)
	s.unlisten()
	err := s.cfg.HTTP.Close()
	for _, c := range s.all() {
		_ = c.outer.Close() // its goroutine finds it closed
		if p := c.presence.Load(); p != nil {
			p.leave() // behind that, else who waited would be sent what its handler says of being cut
		}
	}
	s.halt()
	s.running.Wait()
	return err
}

func (s *Server) unlisten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.listener != nil {
		_ = s.mu.listener.Close()
		s.mu.listener = nil
	}
}

// halt ends the sweeper, once.
func (s *Server) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
}

// closeIdle closes what idles, and says how many connections there are.
func (s *Server) closeIdle() int {
	conns := s.all()
	for _, c := range conns {
		if was := c.state.Load(); phaseOf(was) == idle {
			c.cut(was)
		}
	}
	return len(conns)
}
