package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
)

// ServeTLS is Serve for RTMPS: every connection begins with a TLS handshake, which has HandshakeTimeout like the RTMP
// handshake behind it.
func (s *Server) ServeTLS(ctx context.Context, listener net.Listener, config *tls.Config) error {
	return s.accept(ctx, listener, protocolRTMPS, func(ctx context.Context, conn net.Conn, place *visit) {
		secured := tls.Server(conn, config)
		if err := s.shakeTLS(ctx, secured); err != nil {
			if errors.Is(context.Cause(ctx), errCrowded) {
				s.logCrowd(remoteOf(conn), protocolRTMPS, refuse(errCrowded).reason)
			} else {
				s.logNoTLS(remoteOf(conn), err)
			}
			return
		}
		s.serveRTMP(ctx, secured, place)
	})
}

func (s *Server) shakeTLS(ctx context.Context, conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HandshakeTimeout)
	defer cancel()
	return conn.HandshakeContext(ctx)
}

// logNoTLS logs the end of a connection whose TLS handshake failed. It repeats no bytes of the client, as looksLike.
func (s *Server) logNoTLS(remote string, err error) {
	logger := s.logger.With("remote", remote, "protocol", protocolRTMPS)
	complain := func(message string, attrs ...any) { s.complain(logger, slog.LevelInfo, remote, message, attrs...) }
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, io.EOF): // load balancers look like this
		logger.Debug("connection closed unused")
	case errors.Is(err, context.Canceled):
		logger.Debug("connection closed in its TLS handshake: the server is stopping")
	case errors.Is(err, context.DeadlineExceeded):
		s.metrics.refuse("timeout")
		complain("TLS handshake timed out")
	case errors.As(err, &record) && record.Conn != nil && record.RecordHeader[0] == rtmpVersion:
		s.metrics.refuse("not tls")
		complain("connection is not TLS", "err", "plain RTMP: use rtmps://, not rtmp://, on this port")
	case errors.As(err, &record) && record.Conn != nil:
		s.metrics.refuse("not tls")
		complain("connection is not TLS", "err", looksLike(record.RecordHeader[:]))
	default:
		s.metrics.refuse("tls handshake")
		complain("TLS handshake failed", "err", err)
	}
}
