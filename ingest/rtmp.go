package ingest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	readBuffer = 64 << 10
	// messageOverhead is what FLV may add to an access unit.
	messageOverhead = 1 << 10
	maxCommand      = 64 << 10
	maxData         = 256 << 10
	// strangerMemory bounds the message buffers of a client that has shown no key yet.
	strangerMemory = 160 << 10
	lingerTimeout  = time.Second
	lingerBytes    = 4 << 20
)

// errNotRTMP is an end before RTMP began.
var errNotRTMP = errors.New("not RTMP")

// rtmpConn is one RTMP client. One goroutine reads, demuxes, writes.
type rtmpConn struct {
	server   *Server
	wire     wire
	chunks   *chunkReader
	stop     context.CancelCauseFunc
	place    *visit
	remote   string
	protocol string
	logger   *slog.Logger

	app, tcURL, encoder string // what connect said

	capabilities capabilities // of the client, by Enhanced RTMP

	streams uint32 // message streams created

	session   *session // nil when it does not publish
	served    bool     // it has published
	demuxer   flvDemuxer
	stream    uint32 // message stream of the last publish or play
	asked     target // of the last publish command
	lastMedia time.Time
}

// serveRTMP is the handler of one RTMP connection.
func (s *Server) serveRTMP(ctx context.Context, conn net.Conn, place *visit) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	remote, protocol := remoteOf(conn), protocolOf(conn)
	stopped := make(chan struct{})
	c := &rtmpConn{
		server: s, stop: stop, place: place, remote: remote,
		protocol: protocol, logger: s.logger.With("remote", remote, "protocol", protocol),
		wire: wire{
			conn: conn, done: stopped, writeTimeout: s.cfg.WriteTimeout, chunkSize: defaultChunkSize,
			bytes: s.metrics.bytes.WithLabelValues(protocol),
		},
	}
	unhook := context.AfterFunc(ctx, func() {
		close(stopped)
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		_ = conn.SetWriteDeadline(time.Now().Add(farewellTimeout))
	})
	err := c.run(ctx)
	unhook()
	if ctx.Err() != nil {
		err = context.Cause(ctx) // the read only failed for it
	}
	c.end(ctx, err)
}

// run speaks with the client until the end, and says why it ended.
func (c *rtmpConn) run(ctx context.Context) error {
	if err := c.wire.expectBy(c.server.cfg.HandshakeTimeout); err != nil {
		return err
	}
	src := bufio.NewReaderSize(&c.wire, readBuffer)
	if head, err := src.Peek(1); err != nil {
		return err
	} else if head[0] != rtmpVersion {
		head, _ = src.Peek(min(src.Buffered(), sniffSize))
		return fmt.Errorf("%w but %s", errNotRTMP, looksLike(head))
	}
	if err := serveHandshake(src, &c.wire); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	c.place.shakes()
	c.chunks = newChunkReader(src, chunkLimits{data: maxCommand, command: maxCommand, memory: strangerMemory})
	c.chunks.dropped = func(kind byte) {
		if c.session != nil {
			c.session.repaired(repairMessage)
		}
	}
	if err := c.wire.expectBy(c.server.cfg.PublishTimeout); err != nil {
		return err
	}
	for {
		m, err := c.chunks.read()
		if errors.Is(err, errGoodbye) {
			c.unpublish(ctx, "close", 0)
			return io.EOF
		}
		if err != nil {
			return err
		}
		if err := c.handle(ctx, m); err != nil {
			return err
		}
	}
}

// handle obeys one message. What is not known is passed over.
func (c *rtmpConn) handle(ctx context.Context, m message) error {
	switch m.kind {
	case typeVideo, typeAudio:
		return c.media(m)
	case typeAggregate:
		return c.aggregate(m)
	case typeCommandAMF3, typeDataAMF3:
		// AMF3 messages begin with a zero, their format, and go on in AMF0, whose values may change to AMF3.
		if len(m.payload) > 0 && m.payload[0] == 0 {
			m.payload = m.payload[1:]
		}
	}
	switch m.kind {
	case typeCommandAMF0, typeCommandAMF3:
		if err := c.command(ctx, m); err != nil {
			return err
		}
	case typeDataAMF0, typeDataAMF3:
		if err := c.media(m); err != nil {
			return err
		}
	case typeWindowAckSize:
		if len(m.payload) >= 4 {
			c.wire.setWindow(binary.BigEndian.Uint32(m.payload))
		}
	case typeUserControl:
		if err := c.userControl(m.payload); err != nil {
			return err
		}
	}
	if c.session != nil && time.Since(c.lastMedia) > c.server.cfg.IdleTimeout {
		return errSilent
	}
	return nil
}

// media hands a message of the publisher's stream to the demuxer.
func (c *rtmpConn) media(m message) error {
	if c.session == nil {
		return nil
	}
	now := time.Now()
	var err error
	switch m.kind {
	case typeVideo:
		err = c.demuxer.video(m.timestamp, m.payload, now)
	case typeAudio:
		err = c.demuxer.audio(m.timestamp, m.payload, now)
	default:
		return c.demuxer.data(m.timestamp, m.payload, now)
	}
	c.lastMedia = time.Now() // not now: the packager may have held us back
	return err
}

// aggregate takes an aggregate message apart (RTMP 1.0, section 7.1.6): messages behind FLV tag headers, whose
// timestamps count from the aggregate's own.
func (c *rtmpConn) aggregate(m message) error {
	const header, backPointer = 11, 4
	var offset uint32
	for rest, first := m.payload, true; len(rest) > 0; first = false {
		if len(rest) < header || len(rest)-header < uint24(rest[1:]) {
			c.chunks.dropped(m.kind)
			return nil
		}
		size := uint24(rest[1:])
		part := message{
			kind: rest[0], stream: m.stream, payload: rest[header : header+size : header+size],
			timestamp: uint32(rest[7])<<24 | uint32(uint24(rest[4:])),
		}
		if first {
			offset = m.timestamp - part.timestamp
		}
		part.timestamp += offset
		rest = rest[min(header+size+backPointer, len(rest)):]
		if part.kind != typeVideo && part.kind != typeAudio && part.kind != typeDataAMF0 {
			c.chunks.dropped(part.kind)
			continue
		}
		if err := c.media(part); err != nil {
			return err
		}
	}
	return nil
}

// userControl answers a ping; the other events are of no interest to a server.
func (c *rtmpConn) userControl(payload []byte) error {
	const pingRequest, pingResponse = 6, 7
	if len(payload) < 6 || binary.BigEndian.Uint16(payload) != pingRequest {
		return nil
	}
	answer := append([]byte{0, pingResponse}, payload[2:6]...)
	c.wire.queue(chunkStreamControl, message{kind: typeUserControl, payload: answer})
	return c.wire.answer()
}

// end closes the session, logs, and tells the client why.
func (c *rtmpConn) end(ctx context.Context, err error) {
	published := c.session != nil
	if published {
		_ = c.server.callers.leave(c.session.pulse)
		c.session.close(ctx, err)
		c.session = nil
	}
	r := refuse(err)
	var tell bool
	switch {
	case published && isRefusal(err):
		c.logRefusal(r)
		tell = true
	case published:
		tell = !isLoss(err) && !errors.Is(err, os.ErrDeadlineExceeded)
	default:
		tell = c.logUnpublished(err, r)
	}
	if !tell {
		return
	}
	if published && errors.Is(err, errDraining) {
		c.wire.queueCommand(chunkStreamStatus, c.stream, statusOf("status", codeUnpublished, r.say)...)
	} else {
		c.wire.queueCommand(chunkStreamStatus, c.stream, statusOf("error", r.code, r.say)...)
	}
	if c.wire.answer() == nil {
		c.wire.linger(lingerTimeout, lingerBytes)
	}
}

// logUnpublished logs the end of a connection that did not publish, and says whether the client is told of it.
func (c *rtmpConn) logUnpublished(err error, r *refusal) (tell bool) {
	var asked *refusal
	switch {
	case errors.As(err, &asked), errors.Is(err, media.ErrTakenOver), errors.Is(err, errKicked),
		errors.Is(err, errKeyRevoked), errors.Is(err, media.ErrKeyExpired):
		c.logRefusal(r)
		return true
	case errors.Is(err, errClosing):
		return false
	case errors.Is(err, errCrowded):
		c.server.logCrowd(c.remote, c.protocol, r.reason)
	case c.served && (isLoss(err) || errors.Is(err, os.ErrDeadlineExceeded)):
		c.logger.Debug("connection closed after its publish")
	case c.chunks == nil && errors.Is(err, io.EOF) && c.wire.received == 0:
		c.logger.Debug("connection closed unused") // load balancers look like this
	case errors.Is(err, errNotRTMP):
		c.count("not rtmp")
		c.complain(slog.LevelInfo, "connection is not RTMP", "err", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.count("timeout")
		c.complain(slog.LevelInfo, "connection timed out before a publish", "handshake_done", c.chunks != nil)
	case isLoss(err):
		c.complain(slog.LevelInfo, "connection closed before a publish", "handshake_done", c.chunks != nil)
	case c.chunks == nil:
		c.count("not rtmp")
		c.complain(slog.LevelInfo, "connection is not RTMP", "err", err)
	default:
		c.count("broken rtmp")
		c.complain(slog.LevelWarn, "connection closed: broken RTMP", "reason", r.reason, "err", err)
	}
	return false
}

func (c *rtmpConn) logRefusal(r *refusal) {
	c.server.logRefusal(c.logger.With("encoder", c.encoder), c.remote, r, c.asked)
}

func (c *rtmpConn) complain(level slog.Level, message string, attrs ...any) {
	c.server.complain(c.logger, level, c.remote, message, attrs...)
}

func (c *rtmpConn) count(reason string) { c.server.metrics.refuse(reason) }
