package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicBuffer is what a UDP socket needs for many viewers, in bytes; the kernel may give less.
const quicBuffer = 7 << 20

// openUDP opens the UDP port of the same number.
func (h *httpsPort) openUDP(ctx context.Context) error {
	host, _, _ := net.SplitHostPort(string(h.flags.HTTPS))
	_, number, _ := net.SplitHostPort(h.listener.Addr().String())
	address := listenAddress(net.JoinHostPort(host, number))
	socket, err := new(net.ListenConfig).ListenPacket(ctx, "udp", string(address))
	if err != nil {
		return address.explain(err, "--http3")
	}
	h.udp = socket.(*net.UDPConn)
	h.node.onClose(func() error { _ = h.udp.Close(); return nil }) // its server has closed it, mostly
	// The QUIC library tells of small buffers, too, in a form of its own.
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		return err
	}
	if got := growBuffers(h.udp); got < quicBuffer {
		h.node.logger.Warn("HTTP/3 may lose packets at high rates: the kernel's limit for UDP buffers is low", "bytes", got,
			"do", "sysctl -w net.core.rmem_max=7340032 net.core.wmem_max=7340032")
	}
	return nil
}

// growBuffers asks for larger buffers and gives the size of the one for what comes in.
func growBuffers(socket *net.UDPConn) (got int) {
	_, _ = socket.SetReadBuffer(quicBuffer), socket.SetWriteBuffer(quicBuffer)
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		got, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	})
	return got
}

// Limits of HTTP/3. A connection costs more than one of TCP, and whoever asks for one may have forged its address.
const (
	maxQUICConnections = 20_000
	quicIdle           = 30 * time.Second
	quicHandshake      = 5 * time.Second
	// Clients open three of their own for HTTP/3, and may open some that mean nothing.
	maxUniStreams = 8
	// More handshakes a second than this have to prove their address first, which costs them a round trip.
	quicUnproven = 200
)

// quicServer is HTTP/3.
type quicServer struct {
	http      *http3.Server
	transport *quic.Transport
	config    *quic.Config
	logger    *slog.Logger
	open      atomic.Int64
	rate      arrivals
}

func newQUICServer(h *httpsPort, handler http.Handler) *quicServer {
	s := &quicServer{logger: h.node.logger}
	// Requests sent before the handshake is over (0-RTT) could be played again by others: never taken.
	s.config = &quic.Config{
		HandshakeIdleTimeout: quicHandshake, MaxIdleTimeout: quicIdle,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: maxUniStreams,
		InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: streamWindow,
		InitialConnectionReceiveWindow: connectionWindow, MaxConnectionReceiveWindow: connectionWindow,
		Allow0RTT:          false,
		GetConfigForClient: s.admit,
	}
	s.transport = &quic.Transport{
		Conn:                h.udp,
		VerifySourceAddress: func(net.Addr) bool { return s.rate.more(time.Now(), quicUnproven) },
		ConnContext: func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
			s.open.Add(1)
			context.AfterFunc(ctx, func() { s.open.Add(-1) })
			return ctx, nil
		},
	}
	config := h.config(http3.NextProtoH3)
	config.NextProtos = []string{http3.NextProtoH3} // authorities ask over TCP
	s.http = &http3.Server{
		TLSConfig: config, Handler: handler, MaxHeaderBytes: maxHeader, IdleTimeout: idleTimeout,
		Logger: slog.New(slog.DiscardHandler),
	}
	h.metrics.countQUIC(s.open.Load)
	return s
}

var errTooManyConnections = errors.New("too many connections")

func (s *quicServer) admit(*quic.ClientInfo) (*quic.Config, error) {
	if s.open.Load() >= maxQUICConnections {
		return nil, errTooManyConnections
	}
	return s.config, nil
}

// Serve answers until Shutdown or Close.
func (s *quicServer) Serve() error {
	listener, err := s.transport.Listen(s.http.TLSConfig, s.config)
	if err != nil {
		return err
	}
	return s.http.ServeListener(listener)
}

// Shutdown has clients finish and go, until ctx ends.
func (s *quicServer) Shutdown(ctx context.Context) error {
	return errors.Join(s.http.Shutdown(ctx), s.transport.Close(), s.transport.Conn.Close())
}

// Close cuts all connections.
func (s *quicServer) Close() error {
	err := s.http.Close()
	_ = errors.Join(s.transport.Close(), s.transport.Conn.Close()) // closed already, mostly
	return err
}

// arrivals counts what comes within a second.
type arrivals struct{ second, count atomic.Int64 }

// more counts one and says that it is above the limit.
func (a *arrivals) more(now time.Time, limit int64) bool {
	if second := now.Unix(); a.second.Swap(second) != second {
		a.count.Store(0)
	}
	return a.count.Add(1) > limit
}
