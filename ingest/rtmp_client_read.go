package ingest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/oxbow-video/oxbow/internal/media"
)

const maxStatus = 256 // bytes kept of a server's description

// ReadMessage gives the next message of media or metadata. It answers and passes over what is not media; a status that
// is an error ends the stream as an *RTMPStatusError. Without a byte for as long as idle it fails with
// os.ErrDeadlineExceeded; zero waits until Close.
func (c *RTMPClient) ReadMessage(idle time.Duration) (RTMPMessage, error) {
	if now := time.Now(); idle > 0 && now.Sub(c.readArmed) > idle/16 {
		if err := c.conn.SetReadDeadline(now.Add(idle)); err != nil {
			return RTMPMessage{}, err
		}
		c.readArmed = now
	}
	for {
		m, err := c.next()
		if err != nil {
			return RTMPMessage{}, err
		}
		switch m.kind {
		case typeAudio, typeVideo, typeDataAMF0:
			return RTMPMessage{Kind: m.kind, Timestamp: m.timestamp, Body: m.payload}, nil
		case typeCommandAMF0:
			values, err := commandOf(m)
			if err != nil {
				return RTMPMessage{}, err
			}
			c.status(values)
		}
	}
}

// status passes on what a status asks for.
func (c *RTMPClient) status(values []any) {
	if c.reconnect == nil || len(values) < 4 || values[0] != "onStatus" {
		return
	}
	if info, _ := values[3].(amfObject); info.text("code") == codeReconnect {
		c.reconnect(info.text("tcUrl"))
	}
}

// next gives the next message that is not the protocol's own. AMF3 messages come as AMF0.
func (c *RTMPClient) next() (message, error) {
	for {
		m, err := c.chunks.read()
		if err != nil {
			return message{}, err
		}
		switch m.kind {
		case typeWindowAckSize:
			if len(m.payload) >= 4 {
				c.window = uint64(max(binary.BigEndian.Uint32(m.payload), minAckWindow))
			}
			continue
		case typeUserControl:
			err = c.userControl(m.payload)
		case typeCommandAMF3, typeDataAMF3: // a zero, and then AMF0
			if len(m.payload) > 0 && m.payload[0] == 0 {
				m.kind += typeCommandAMF0 - typeCommandAMF3
				m.payload = m.payload[1:]
				return m, nil
			}
		case typeAudio, typeVideo, typeDataAMF0, typeCommandAMF0:
			return m, nil
		}
		if err != nil {
			return message{}, err
		}
	}
}

// userControl answers a ping.
func (c *RTMPClient) userControl(payload []byte) error {
	const pingRequest, pingResponse = 6, 7
	if len(payload) < 6 || binary.BigEndian.Uint16(payload) != pingRequest {
		return nil
	}
	answer := append([]byte{0, pingResponse}, payload[2:6]...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queueLocked(chunkStreamControl, message{kind: typeUserControl, payload: answer})
	return c.flushLocked()
}

// commandOf gives a command's values, of which the first is its name. A status or answer that is an error is an
// *RTMPStatusError.
func commandOf(m message) ([]any, error) {
	values, err := decodeAMF0(m.payload)
	if len(values) == 0 {
		return nil, fmt.Errorf("%w: command without a name: %w", media.ErrInvalid, orNothing(err))
	}
	if values[0] != "onStatus" && values[0] != "_error" {
		return values, nil
	}
	info := amfObject{}
	if len(values) > 3 {
		info, _ = values[3].(amfObject)
	}
	if values[0] == "onStatus" && !strings.EqualFold(info.text("level"), "error") {
		return values, nil
	}
	return values, &RTMPStatusError{Code: printable(info.text("code")), Description: printable(info.text("description"))}
}

// call sends a command with what was queued before, and gives the values of its answer.
func (c *RTMPClient) call(stream uint32, name string, arguments ...any) ([]any, error) {
	c.calls++
	transaction := c.calls
	c.command(stream, append([]any{name, transaction}, arguments...)...)
	if err := c.Flush(); err != nil {
		return nil, err
	}
	for {
		m, err := c.next()
		if err != nil {
			return nil, err
		}
		if m.kind != typeCommandAMF0 {
			continue
		}
		values, err := commandOf(m)
		mine := len(values) > 1 && values[1] == transaction
		switch {
		case err != nil && (mine || len(values) == 0 || values[0] == "onStatus"):
			return nil, err
		case mine && values[0] == "_result":
			return values, nil
		}
	}
}

// awaitStatus reads until the status of the code.
func (c *RTMPClient) awaitStatus(code string) error {
	for {
		m, err := c.next()
		if err != nil {
			return err
		}
		if m.kind != typeCommandAMF0 {
			continue
		}
		values, err := commandOf(m)
		if err != nil && (len(values) == 0 || values[0] == "onStatus" || len(values) > 1 && values[1] == c.calls) {
			return err
		}
		if len(values) > 3 && values[0] == "onStatus" {
			if info, _ := values[3].(amfObject); info.text("code") == code {
				return nil
			}
		}
	}
}

// clientSource reads from the connection and sends the acknowledgements that the server asked for.
type clientSource struct{ c *RTMPClient }

// Read implements io.Reader.
func (s clientSource) Read(p []byte) (int, error) {
	c := s.c
	n, err := c.conn.Read(p)
	c.received += uint64(n)
	if c.window == 0 || c.received-c.acked < c.window/2 || err != nil {
		return n, err
	}
	c.acked = c.received
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queueLocked(chunkStreamControl, message{
		kind: typeAck, payload: binary.BigEndian.AppendUint32(nil, uint32(c.received)),
	})
	return n, c.flushLocked()
}

// printable makes a server's words fit for a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, clip(s, maxStatus))
}
