package ingest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// testClient speaks RTMP by hand, so that it can do what no decent client does.
type testClient struct {
	tb     testing.TB
	conn   net.Conn
	chunks *chunkReader
}

// MustDial connects and shakes hands.
func MustDial(tb testing.TB, addr string) *testClient {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		tb.Fatal(err)
	}
	return MustShakeHands(tb, conn)
}

// MustShakeHands does the simple handshake on a connection.
func MustShakeHands(tb testing.TB, conn net.Conn) *testClient {
	tb.Helper()
	c := &testClient{tb: tb, conn: conn}
	src := bufio.NewReader(conn)
	c.write(append([]byte{rtmpVersion}, make([]byte, handshakeSize)...))
	if _, err := src.Discard(1 + 2*handshakeSize); err != nil {
		tb.Fatalf("handshake: %v", err)
	}
	c.write(make([]byte, handshakeSize))
	c.chunks = newChunkReader(src, chunkLimits{media: 1 << 20, data: 1 << 20, command: 1 << 20, memory: 4 << 20})
	return c
}

func (c *testClient) write(b []byte) {
	c.tb.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.tb.Fatalf("write: %v", err)
	}
}

func (c *testClient) send(kind byte, stream, timestamp uint32, payload []byte) {
	c.tb.Helper()
	m := message{kind: kind, stream: stream, timestamp: timestamp, payload: payload}
	c.write(appendMessage(nil, 3+uint32(kind), m, defaultChunkSize))
}

func (c *testClient) command(stream uint32, values ...any) {
	c.tb.Helper()
	c.send(typeCommandAMF0, stream, 0, appendAMF0(nil, values...))
}

// answer gives the server's next command of the name.
func (c *testClient) answer(name string) []any {
	c.tb.Helper()
	values, err := c.tryAnswer(name)
	if err != nil {
		c.tb.Fatalf("wait for %s: %v", name, err)
	}
	return values
}

func (c *testClient) tryAnswer(name string) ([]any, error) {
	for {
		m, err := c.chunks.read()
		if err != nil {
			return nil, err
		}
		if m.kind != typeCommandAMF0 {
			continue
		}
		values, err := decodeAMF0(m.payload)
		if err != nil {
			return nil, err
		}
		if values[0] == name {
			return values, nil
		}
	}
}

// status waits for onStatus and gives its code and description.
func (c *testClient) status() (code, description string) {
	c.tb.Helper()
	values := c.answer("onStatus")
	info := values[3].(amfObject)
	return info.text("code"), info.text("description")
}

// connect does what encoders do before publish.
func (c *testClient) connect(app, tcURL string) {
	c.tb.Helper()
	c.command(0, "connect", 1.0, amfObject{{"app", app}, {"tcUrl", tcURL}, {"flashVer", "test/1"}})
	info := c.answer("_result")[3].(amfObject)
	if code := info.text("code"); code != "NetConnection.Connect.Success" {
		c.tb.Fatalf("connect: %s", code)
	}
	c.command(0, "createStream", 2.0, nil)
	if id := c.answer("_result")[3]; id != 1.0 {
		c.tb.Fatalf("createStream gave %v", id)
	}
}

// publish connects and publishes by the key.
func (c *testClient) publish(key string) {
	c.tb.Helper()
	c.connect("live", "rtmp://localhost/live")
	c.command(1, "publish", 3.0, nil, key, "live")
	if code, description := c.status(); code != "NetStream.Publish.Start" {
		c.tb.Fatalf("publish: %s: %s", code, description)
	}
}

// awaitEnd reads until the server closes.
func (c *testClient) awaitEnd() {
	c.tb.Helper()
	for {
		if _, err := c.chunks.read(); errors.Is(err, io.EOF) || isLoss(err) {
			return
		} else if err != nil {
			c.tb.Fatalf("wait for the end: %v", err)
		}
	}
}

// Media to publish. Parameter sets are of a 64x64 baseline stream.
var (
	testSPS = []byte{0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x04, 0x26, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x48, 0x99, 0x20}
	testPPS = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
	testASC = []byte{0x12, 0x10} // AAC LC, 44100 Hz, stereo
)

// recordOf makes an AVCDecoderConfigurationRecord of one SPS and one PPS.
func recordOf(sps, pps []byte) []byte {
	record := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1}
	record = binary.BigEndian.AppendUint16(record, uint16(len(sps)))
	record = append(record, sps...)
	record = append(record, 1)
	record = binary.BigEndian.AppendUint16(record, uint16(len(pps)))
	return append(record, pps...)
}

// unitsOf puts NAL units behind lengths of 4 bytes.
func unitsOf(units ...[]byte) []byte {
	var b []byte
	for _, u := range units {
		b = binary.BigEndian.AppendUint32(b, uint32(len(u)))
		b = append(b, u...)
	}
	return b
}

func idr(n byte) []byte   { return []byte{0x65, 0x88, n} }
func slice(n byte) []byte { return []byte{0x41, 0x9a, n} }

func videoConfig(record []byte) []byte { return append([]byte{0x17, 0, 0, 0, 0}, record...) }
func audioConfig(config []byte) []byte { return append([]byte{0xaf, 0}, config...) }
func audioUnit(unit ...byte) []byte    { return append([]byte{0xaf, 1}, unit...) }

func videoUnit(composition int32, units ...[]byte) []byte {
	kind := byte(0x27)
	if len(units) > 0 && len(units[0]) > 0 && units[0][0]&0x1f == 5 {
		kind = 0x17
	}
	b := []byte{kind, 1, byte(composition >> 16), byte(composition >> 8), byte(composition)}
	return append(b, unitsOf(units...)...)
}

func metadata(properties ...amfProperty) []byte {
	return appendAMF0(nil, "@setDataFrame", "onMetaData", amfObject(properties))
}

// eventsOf joins events for comparison.
func eventsOf(rec *recorder) string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return fmt.Sprintf("%q", rec.events)
}
