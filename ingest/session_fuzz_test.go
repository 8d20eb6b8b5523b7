package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// scripted is a connection whose peer says what is written down, and hears everything.
type scripted struct {
	says  *bytes.Reader
	heard bytes.Buffer
	from  net.IP // 127.0.0.1 if nil
}

func (c *scripted) Read(p []byte) (int, error)       { return c.says.Read(p) }
func (c *scripted) Write(p []byte) (int, error)      { return c.heard.Write(p) }
func (c *scripted) Close() error                     { return nil }
func (c *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1935} }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

func (c *scripted) RemoteAddr() net.Addr {
	if c.from == nil {
		return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000}
	}
	return &net.TCPAddr{IP: c.from, Port: 5000}
}

// publishing is what a publisher says behind its handshake, up to one picture.
func publishing(key string) (said []byte) {
	for _, m := range []message{
		{kind: typeCommandAMF0, payload: appendAMF0(nil, "connect", 1.0, amfObject{{"app", "live"}, {"tcUrl", "rtmp://h/live"}})},
		{kind: typeCommandAMF0, payload: appendAMF0(nil, "createStream", 2.0, nil)},
		{kind: typeCommandAMF0, stream: 1, payload: appendAMF0(nil, "publish", 3.0, nil, key, "live")},
		{kind: typeDataAMF0, stream: 1, payload: metadata(amfProperty{"videocodecid", 7.0})},
		{kind: typeVideo, stream: 1, payload: videoConfig(recordOf(testSPS, testPPS))},
		{kind: typeVideo, stream: 1, timestamp: 40, payload: videoUnit(0, idr(1))},
	} {
		said = appendMessage(said, 3, m, defaultChunkSize)
	}
	return said
}

// FuzzRTMPSession: whatever a client says behind its handshake, no more is allocated than its limits and what it sent
// allow, no more is answered than it asked, and a publication that began has ended when the connection has.
func FuzzRTMPSession(f *testing.F) {
	rec := newRecorder()
	key := rec.key
	whole := publishing(key)
	goodbye := appendMessage(nil, 3, message{kind: typeCommandAMF0, stream: 1, payload: appendAMF0(nil, "FCUnpublish", 4.0, nil, key)},
		defaultChunkSize)
	ping := appendMessage(nil, 2, message{kind: typeUserControl, payload: []byte{0, 6, 1, 2, 3, 4}}, defaultChunkSize)
	aggregate := appendMessage(nil, 4, message{kind: typeAggregate, stream: 1, payload: append([]byte{typeVideo, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0},
		0x17, 1, 0, 0, 0, 13)}, defaultChunkSize)
	for _, seed := range [][]byte{nil, whole, whole[:len(whole)/2], append(bytes.Clone(whole), goodbye...), append(ping, whole...),
		append(append(bytes.Clone(whole), aggregate...), whole...)} {
		f.Add(seed)
	}
	s := New(Config{MaxFrame: 64 << 10, MaxMemory: 256 << 10}, rec, rec, rec, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	hello := append([]byte{rtmpVersion}, make([]byte, 2*handshakeSize)...)
	var clients uint32
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > 64<<10 {
			return
		}
		clients++ // each by itself: an address that had wrong keys waits for seconds
		conn := &scripted{
			says: bytes.NewReader(append(bytes.Clone(hello), said...)),
			from: net.IP(append(binary.BigEndian.AppendUint32([]byte{0x20, 1, 0xd, 0xb8}, clients), make([]byte, 8)...)),
		}
		within := fuzztest.Bound(t, 4<<20+64*len(said))
		s.serveRTMP(t.Context(), conn, nil)
		within()
		// An answer to a call is longer than the shortest call; acknowledgements are few.
		if most := 4*handshakeSize + 1<<10 + 64*len(said); conn.heard.Len() > most {
			t.Errorf("%d bytes were answered to %d", conn.heard.Len(), len(said))
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		for _, p := range rec.publs {
			if !p.closed {
				t.Error("a publication has not ended")
			}
		}
		rec.publs, rec.events = nil, nil
	})
}

// FuzzRTMPClient: whatever a server that is pulled from says, setting up and playing end, within the limits.
func FuzzRTMPClient(f *testing.F) {
	var good []byte
	add := func(stream uint32, kind byte, payload []byte) {
		good = appendMessage(good, 3+uint32(kind), message{kind: kind, stream: stream, payload: payload}, defaultChunkSize)
	}
	add(0, typeWindowAckSize, []byte{0, 1, 0, 0})
	add(0, typeCommandAMF0, appendAMF0(nil, "_result", 1.0, nil, amfObject{{"code", "NetConnection.Connect.Success"}}))
	add(0, typeUserControl, []byte{0, 6, 1, 2, 3, 4})
	add(0, typeCommandAMF0, appendAMF0(nil, "_result", 2.0, nil, 1.0))
	add(1, typeCommandAMF0, appendAMF0(nil, statusOf("status", "NetStream.Play.Start", "")...))
	add(1, typeVideo, videoConfig(recordOf(testSPS, testPPS)))
	add(1, typeCommandAMF0, appendAMF0(nil, statusOf("status", "NetStream.Play.UnpublishNotify", "")...))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(appendMessage(nil, 3, message{kind: typeCommandAMF0, payload: appendAMF0(nil, statusOf("error", "NetStream.Failed", "x")...)},
		defaultChunkSize))
	hello := append([]byte{rtmpVersion}, make([]byte, 2*handshakeSize)...)
	const limit = 64 << 10
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > limit {
			return
		}
		conn := &scripted{says: bytes.NewReader(append(bytes.Clone(hello), said...))}
		c := &RTMPClient{conn: conn, app: "live", name: "k", tcURL: "rtmp://h/live", chunkSize: defaultChunkSize}
		defer fuzztest.Bound(t, 2<<20+64*len(said))()
		err := c.connect(defaultChunkSize)
		if err == nil {
			err = c.Play(t.Context(), limit)
		}
		for err == nil {
			var m message
			if m, err = c.played(time.Minute); len(m.payload) > max(limit, maxData) {
				t.Errorf("a message of %d bytes", len(m.payload))
			}
		}
		var status *RTMPStatusError
		if errors.As(err, &status) && strings.ContainsAny(status.Error(), "\x00\x1b\n\r") {
			t.Errorf("%q could not be logged", err)
		}
		if err == nil || conn.says.Len() > 0 && errors.Is(err, io.EOF) {
			t.Errorf("%v with %d bytes unread", err, conn.says.Len())
		}
	})
}

// FuzzTarget: what is accepted names a stream or nothing, and has a key within its limit; what is not is refused with a
// reason that has nothing of it.
func FuzzTarget(f *testing.F) {
	for _, seed := range [][3]string{
		{"live", "rtmp://h/live", "KEY?backup=1"}, {"acme/show?key=KEY", "", ""}, {"", "rtmp://h:1935/live/KEY?x=y", ""},
		{"acme", "rtmp://h/acme?key=KEY", "show"}, {"../..", "", "%2e%2e?key=%2f"}, {"live", "", "?KEY"}, {"a/b/c", "", "d\x00\\..\\e"},
		{"live/KEY", "", "KEY"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, app, tcURL, name string) {
		got, err := parseTarget(clip(app, maxURL), clip(tcURL, maxURL), clip(name, maxURL))
		if err != nil {
			if r := refuse(err); r.reason == reasonInternal || strings.ContainsAny(r.say, "\x00\n\r") {
				t.Errorf("%q %q %q: %v is refused as %s", app, tcURL, name, err, r.reason)
			}
			return
		}
		if got.key == "" || len(got.key) > maxKey {
			t.Errorf("a key of %d bytes", len(got.key))
		}
		if got.path == (media.StreamPath{}) {
			return
		}
		if again, err := media.ParseStreamPath(got.path.String()); err != nil || again != got.path {
			t.Errorf("stream %q: %v", got.path, err)
		}
		// Said again in the plainest form it is the same.
		if strings.ContainsAny(got.key, "%?&= \t\r\n\x00\"'/+") {
			return
		}
		plain, err := parseTarget(got.path.Publisher, "", got.path.Stream+"?key="+got.key)
		if plain.backup = got.backup; err != nil || plain != got {
			t.Errorf("%+v is %+v in plain form: %v", got, plain, err)
		}
	})
}

// FuzzBinaryInText: what metadata has in base64 is cut out of it by its own length, and is never longer.
func FuzzBinaryInText(f *testing.F) {
	f.Add([]byte("\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x20"))
	f.Add([]byte("ID3\x04\x00\x00\x00\x00\x00\x02ab"))
	f.Add([]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7fab"))
	f.Add(append([]byte{0xfc, 0xbf, 0xff}, make([]byte, 40)...))
	f.Add(cueOf(f, cueInsert, func([]byte) {}))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := base64.StdEncoding.EncodeToString(data)
		object := amfObject{{"type", "708"}, {"data", text}, {"more", []any{text}}}
		if got := captionsOf(object); got != nil && (len(got) < 3 || len(got)%3 != 0 || !bytes.Contains(data, got)) {
			t.Errorf("captions %x of %x", got, data)
		}
		if got := spliceOf(object); got != nil && (got[0] != 0xfc || crcMPEG(got) != 0 || !bytes.HasPrefix(data, got)) {
			t.Errorf("splice %x of %x", got, data)
		}
		if got := id3Of(object); got != nil && (!bytes.HasPrefix(got, []byte("ID3")) || !bytes.HasPrefix(data, got)) {
			t.Errorf("ID3 %x of %x", got, data)
		}
	})
}
