package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Server accepts publishers.
type Server struct {
	cfg      Config
	auth     Authorizer
	leases   Leases
	packager Packager
	logger   *slog.Logger
	metrics  *metrics
	seats    seats
	callers  callers

	mu struct {
		sync.Mutex
		open int
		from map[netip.Prefix]int
	}
}

// New makes a Server.
func New(
	cfg Config, auth Authorizer, leases Leases, packager Packager, logger *slog.Logger, reg prometheus.Registerer,
) *Server {
	s := &Server{
		cfg: cfg.withDefaults(), auth: auth, leases: leases, packager: packager,
		logger: logger, metrics: newMetrics(reg),
	}
	s.mu.from = make(map[netip.Prefix]int)
	return s
}

// Serve accepts RTMP publishers until ctx ends, which is no error: then the listener and all connections are closed,
// and all goroutines have left when it returns. It may be called for several listeners.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return s.accept(ctx, listener, protocolRTMP, s.serveRTMP)
}

// Kick closes the connection that publishes the stream on this node, and says whether there was one. The publisher's
// encoder may come back; what keeps it out is its key.
func (s *Server) Kick(path media.StreamPath) bool { return s.seats.stop(path, errKicked) }

// accept runs a handler for each connection of a listener, within the limits.
func (s *Server) accept(
	ctx context.Context, listener net.Listener, protocol string, handle func(context.Context, net.Conn),
) error {
	// Connections end with errClosing, whatever ended ctx.
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer stop(errClosing)
	unhook := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer unhook()
	connections := s.metrics.connections.WithLabelValues(protocol)
	accepted := s.metrics.accepted.WithLabelValues(protocol)
	for delay := time.Duration(0); ; {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept %s: %w", protocol, err)
		case err != nil:
			// No file descriptors, mostly: wait until some are free.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.logger.Warn("accept failed", "protocol", protocol, "retry_in", delay, "err", err)
			pause(ctx, delay)
			continue
		}
		delay = 0
		from := origin(remoteOf(conn))
		if reason := s.enter(from); reason != "" {
			s.metrics.refuse(reason)
			s.logger.Warn("connection refused", "remote", remoteOf(conn), "protocol", protocol, "reason", reason)
			_ = conn.Close()
			continue
		}
		accepted.Inc()
		connections.Inc()
		handlers.Go(func() {
			defer connections.Dec()
			defer s.exit(from)
			defer func() { _ = conn.Close() }()
			handle(life, conn)
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// enter counts a connection, or says which limit forbids it.
func (s *Server) enter(from netip.Prefix) (reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.open >= s.cfg.MaxConnections:
		return "too many connections"
	case s.mu.from[from] >= s.cfg.MaxConnectionsPerIP:
		return "too many connections of one address"
	}
	s.mu.open++
	s.mu.from[from]++
	return ""
}

func (s *Server) exit(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.open--
	if s.mu.from[from]--; s.mu.from[from] == 0 {
		delete(s.mu.from, from)
	}
}

// origin is what connections are counted by: an IPv4 address, or the /64 that an IPv6 host has to itself.
func origin(remote string) netip.Prefix {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := address.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// Protocols, as logs and metrics name them.
const (
	protocolRTMP  = "rtmp"
	protocolRTMPS = "rtmps"
	protocolRTMPT = "rtmpt"
)

// protocolOf names what RTMP comes in.
func protocolOf(conn net.Conn) string {
	switch conn.(type) {
	case *tls.Conn:
		return protocolRTMPS
	case *tunnelConn:
		return protocolRTMPT
	default:
		return protocolRTMP
	}
}

func remoteOf(conn net.Conn) string { return conn.RemoteAddr().String() }

// isLoss says that the connection broke, or ended without a goodbye.
func isLoss(err error) bool {
	for _, loss := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE,
		syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, loss) {
			return true
		}
	}
	return false
}
