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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Server accepts publishers.
type Server struct {
	cfg        Config
	auth       Authorizer
	leases     Leases
	packager   Packager
	logger     *slog.Logger
	metrics    *metrics
	seats      seats
	sessions   sessions
	door       *door
	damper     damper
	overruns   overruns
	callers    callers
	keyholders keyholders
	draining   atomic.Bool
}

// New makes a Server.
func New(
	cfg Config, auth Authorizer, leases Leases, packager Packager, logger *slog.Logger, reg prometheus.Registerer,
) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, auth: auth, leases: leases, packager: packager,
		logger: logger, metrics: newMetrics(reg),
		door: newDoor(doorLimits{
			all: cfg.MaxConnections, perIP: cfg.MaxConnectionsPerIP,
			strangers: cfg.MaxStrangers, strangersPerIP: cfg.MaxStrangersPerIP,
		}),
	}
	s.damper.report = func(from netip.Prefix, unlogged int) {
		logger.Warn("refusals and broken connections were not logged", "remote", from, "count", unlogged)
	}
	return s
}

// Serve accepts RTMP publishers until ctx ends, which is no error: then the listener and all connections are closed,
// and all goroutines have left when it returns. It may be called for several listeners.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return s.accept(ctx, listener, protocolRTMP, s.serveRTMP)
}

// Kick closes the connections that publish the stream on this node, live or standing by, and says whether there were
// any. The publisher's encoder may come back; what keeps it out is its key.
func (s *Server) Kick(path media.StreamPath) bool { return s.kick(path, errKicked) }

// kick stops the standbys first: they would take over.
func (s *Server) kick(path media.StreamPath, cause error) bool {
	stood := s.seats.dismiss(path, cause)
	return s.seats.stop(path, cause) || stood
}

// accept runs a handler for each connection of a listener, within the limits.
func (s *Server) accept(
	ctx context.Context, listener net.Listener, protocol string, handle func(context.Context, net.Conn, *visit),
) error {
	// Connections end with errClosing, whatever ended ctx.
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer stop(errClosing)
	var hall hall
	defer s.empty(&hall)
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
		own, drop := context.WithCancelCause(life)
		place, reason := s.door.enter(origin(remoteOf(conn)), drop)
		if reason != "" {
			drop(nil)
			s.logCrowd(remoteOf(conn), protocol, reason)
			_ = conn.Close()
			continue
		}
		place.hall = &hall
		accepted.Inc()
		connections.Inc()
		handlers.Go(func() {
			defer drop(nil)
			defer connections.Dec()
			defer place.leave()
			defer func() { _ = conn.Close() }()
			handle(own, conn, place)
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

// logCrowd logs and counts a connection that the limits forbid.
func (s *Server) logCrowd(remote, protocol, reason string) {
	s.metrics.refuse(reason)
	s.complain(s.logger, slog.LevelWarn, remote, "connection refused",
		"remote", remote, "protocol", protocol, "reason", reason)
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
