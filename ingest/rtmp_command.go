package ingest

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxStreams = 16 // message streams of one connection
	maxEncoder = 64 // bytes kept of what a client says it is
	maxURL     = 4 << 10
)

// command obeys a command message: [name, transaction, command object, arguments...].
func (c *rtmpConn) command(ctx context.Context, m message) error {
	values, err := decodeAMF0(m.payload)
	var name string
	if len(values) > 0 {
		name, _ = values[0].(string)
	}
	if name == "" {
		return fmt.Errorf("%w: command without a name: %w", media.ErrInvalid, orNothing(err))
	}
	if err != nil && name == "connect" {
		return fmt.Errorf("command connect: %w", err)
	}
	// Past its name a command with broken arguments is judged by what it has.
	var transaction float64
	if len(values) > 1 {
		transaction, _ = values[1].(float64)
	}
	var object amfObject
	if len(values) > 2 {
		object, _ = values[2].(amfObject)
	}
	argument := ""
	if len(values) > 3 {
		argument, _ = values[3].(string)
	}
	switch name {
	case "connect":
		c.connect(transaction, object)
	case "createStream":
		if err := c.createStream(transaction); err != nil {
			return err
		}
	case "FCPublish":
		c.wire.queueCommand(chunkStreamCommand, 0, "onFCPublish", 0.0, nil, amfObject{
			{"code", "NetStream.Publish.Start"}, {"description", "go on with publish"},
		})
		c.result(transaction, nil)
	case "getStreamLength":
		c.result(transaction, 0.0)
	case "publish":
		c.stream = m.stream
		return c.publish(ctx, argument)
	case "play", "play2":
		c.stream = m.stream
		return refuse(errPlay)
	case "FCUnpublish", "closeStream", "deleteStream":
		if name != "deleteStream" || len(values) < 4 || values[3] == float64(c.stream) {
			c.unpublish(ctx, name, transaction)
		}
	case "_result", "_error", "onStatus":
		return nil // answers to what we never asked
	default: // releaseStream, _checkbw and whatever else a client waits to hear of
		c.result(transaction, nil)
	}
	return c.wire.answer()
}

func orNothing(err error) error {
	if err == nil {
		return media.ErrInvalid
	}
	return err
}

// result answers a call. Transaction zero wants no answer.
func (c *rtmpConn) result(transaction float64, value any) {
	if transaction != 0 {
		c.wire.queueCommand(chunkStreamCommand, 0, "_result", transaction, nil, value)
	}
}

func (c *rtmpConn) connect(transaction float64, object amfObject) {
	// They may hold keys and are never logged.
	c.app, c.tcURL = clip(object.text("app"), maxURL), clip(object.text("tcUrl"), maxURL)
	c.encoder = clip(strings.ToValidUTF8(object.text("flashVer"), "?"), maxEncoder)

	var window [5]byte
	binary.BigEndian.PutUint32(window[:], answerWindow)
	const dynamic = 2
	window[4] = dynamic
	c.wire.queue(chunkStreamControl, message{kind: typeWindowAckSize, payload: window[:4]})
	c.wire.queue(chunkStreamControl, message{kind: typePeerBandwidth, payload: window[:]})
	c.wire.queue(chunkStreamControl, message{
		kind: typeSetChunkSize, payload: binary.BigEndian.AppendUint32(nil, answerChunkSize),
	})
	c.wire.chunkSize = answerChunkSize
	if c.wire.window == 0 {
		c.wire.window = answerWindow
	}
	c.capabilities = capabilitiesOf(object)
	c.wire.queueCommand(chunkStreamCommand, 0, "_result", transaction,
		append(amfObject{{"fmsVer", "FMS/3,0,1,123"}, {"capabilities", 31.0}}, c.capabilities.answer()...),
		amfObject{
			{"level", "status"}, {"code", "NetConnection.Connect.Success"},
			{"description", "Connection succeeded."}, {"objectEncoding", 0.0},
		})
}

func (c *rtmpConn) createStream(transaction float64) error {
	if c.streams++; c.streams > maxStreams {
		return fmt.Errorf("%w: more than %d message streams", media.ErrTooLarge, maxStreams)
	}
	c.result(transaction, float64(c.streams))
	return nil
}

// publish checks the key and begins a session. A refusal ends the connection.
func (c *rtmpConn) publish(ctx context.Context, name string) error {
	if c.session != nil {
		return refuse(errTwice)
	}
	var err error
	if c.asked, err = parseTarget(c.app, c.tcURL, clip(name, maxURL)); err != nil {
		return refuse(err)
	}
	session, err := c.server.open(ctx, request{
		target: c.asked, protocol: c.protocol, remote: c.remote, encoder: c.encoder, place: c.place,
	}, c.stop)
	if err != nil {
		return refuse(err)
	}
	c.asked.path = session.path
	c.session, c.served = session, true
	c.demuxer = flvDemuxer{sink: session, maxFrame: c.server.cfg.MaxFrame}
	c.server.callers.enter(c, session.pulse)
	c.chunks.limits = chunkLimits{
		media: c.server.cfg.MaxFrame + messageOverhead, data: maxData, command: maxCommand,
		memory: c.server.cfg.MaxMemory,
	}
	session.quality.transport = c.transport
	c.lastMedia = time.Now()
	c.wire.expectWithin(c.server.cfg.IdleTimeout)

	const streamBegin = 0
	begin := binary.BigEndian.AppendUint32([]byte{0, streamBegin}, c.stream)
	c.wire.queue(chunkStreamControl, message{kind: typeUserControl, payload: begin})
	c.wire.queueCommand(chunkStreamStatus, c.stream,
		statusOf("status", "NetStream.Publish.Start", session.path.String()+" is being published")...)
	return c.wire.answer()
}

// transport tells of the connection below the session.
func (c *rtmpConn) transport() media.IngestTransport {
	return media.IngestTransport{ReceivedBytes: int64(c.wire.received)}
}

// unpublish ends the session in peace. The connection stays: some encoders publish again on it.
func (c *rtmpConn) unpublish(ctx context.Context, name string, transaction float64) {
	if c.session != nil {
		// A client that was asked to reconnect says goodbye to this connection, not to its show.
		c.session.close(ctx, c.server.callers.leave(c.session.pulse))
		c.session = nil
		c.chunks.limits.media = 0
		if name == "FCUnpublish" {
			c.wire.queueCommand(chunkStreamCommand, 0, "onFCUnpublish", 0.0, nil, amfObject{
				{"code", codeUnpublished}, {"description", "unpublished"},
			})
		}
		c.wire.queueCommand(chunkStreamStatus, c.stream,
			statusOf("status", codeUnpublished, "unpublished")...)
		_ = c.wire.expectBy(c.server.cfg.PublishTimeout) // fails with the next read if it does
	}
	if name == "FCUnpublish" {
		c.result(transaction, nil)
	}
}

// statusOf makes an onStatus command (RTMP 1.0, section 7.2.2).
func statusOf(level, code, description string) []any {
	return []any{"onStatus", 0.0, nil, amfObject{{"level", level}, {"code", code}, {"description", description}}}
}

func clip(s string, most int) string { return s[:min(len(s), most)] }
