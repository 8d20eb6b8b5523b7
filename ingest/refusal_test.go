package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name       string
		app, asked string
		before     func(*recorder)
		code, says string
		log        []string
	}{
		{"a wrong key", "live", "ox_wrong", nil, codeDenied, "wrong stream key", []string{`reason="wrong key"`, "key=sha256:"}},
		{"a wrong key of a named stream", "acme", "show?key=ox_wrong", nil, codeDenied, "wrong stream key", []string{`reason="wrong key"`, "stream=show"}},
		{"no key", "acme", "show", nil, codeDenied, "rtmp://HOST/live/KEY", []string{`reason="no key"`}},
		{"a bad name", "ACME!", "show?key=x", nil, codeDenied, "a-z", []string{`reason="bad name"`}},
		{"no leases", "live", "ox_secret-key+1", func(r *recorder) {
			r.onAcquire = func() error { return fmt.Errorf("redis: %w", media.ErrUnavailable) }
		}, codeDenied, "try again", []string{"reason=unavailable", "redis"}},
		{"a service that is away", "live", "ox_secret-key+1", func(r *recorder) {
			r.onAcquire = func() error {
				return Away(fmt.Errorf("dial 192.0.2.9:6379: %w", media.ErrUnavailable), "the registry is away")
			}
		}, codeDenied, "the registry is away", []string{"reason=unavailable", "192.0.2.9"}},
		{"a registry that is away", "live", "ox_secret-key+1", func(r *recorder) {
			r.onAcquire = func() error { return fmt.Errorf("dial 192.0.2.9:6379: %w", media.ErrUnavailable) }
		}, codeDenied, "their registry is away: try again", []string{"reason=unavailable", "192.0.2.9"}},
		{"a packager's fault", "live", "ox_secret-key+1", func(r *recorder) {
			r.onPublish = func() error { return errors.New("disk on fire") }
		}, codeDenied, "its log tells more", []string{"reason=internal", "disk on fire"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder()
			if tt.before != nil {
				tt.before(rec)
			}
			s := MustServe(t, Config{}, rec)
			c := MustDial(t, s.addr)
			c.connect(tt.app, "rtmp://localhost/"+tt.app)
			c.command(1, "publish", 3.0, nil, tt.asked, "live")
			code, says := c.status()
			if code != tt.code || !strings.Contains(says, tt.says) {
				t.Errorf("got %s: %s", code, says)
			}
			c.awaitEnd()
			_ = c.conn.Close()
			line := s.log.await(t, append(tt.log, "publish refused", "remote=127.0.0.1:")...)
			if strings.Contains(line, "ox_wrong") {
				t.Errorf("a key was logged: %s", line)
			}
			s.stop()
			s.rec.mu.Lock()
			defer s.rec.mu.Unlock()
			if acquired, released := strings.Count(fmt.Sprint(rec.events), "acquire"), strings.Count(fmt.Sprint(rec.events), "release"); acquired != released {
				t.Errorf("a lease was kept: %q", rec.events)
			}
		})
	}
}

func TestPlayIsRefused(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.connect("live", "")
	c.command(1, "play", 3.0, nil, "show")
	if code, says := c.status(); code != codePlayFailed || !strings.Contains(says, "index.m3u8") {
		t.Errorf("got %s: %s", code, says)
	}
	c.awaitEnd()
}

func TestGarbage(t *testing.T) {
	s := MustServe(t, Config{HandshakeTimeout: 5 * time.Second}, newRecorder())
	for _, tt := range []struct {
		name, send, log string
	}{
		{"HTTP", "GET /?key=ox_secret-key+1 HTTP/1.1\r\n\r\n", "an HTTP request"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00", "a TLS hello"},
		{"RTSP", "OPTIONS rtsp://host/ RTSP/1.0\r\n", "RTSP request"},
		{"RTMPE", "\x06" + strings.Repeat("x", 1536), "RTMPE"},
		{"random", "\xde\xad\xbe\xef", "first byte 0xde"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, conn)
			s.log.await(t, "not RTMP", tt.log, conn.LocalAddr().String())
		})
	}
	t.Run("after the handshake", func(t *testing.T) {
		c := MustDial(t, s.addr)
		c.write(bytes.Repeat([]byte{0xde, 0xad}, 2000))
		c.awaitEnd()
		s.log.await(t, "broken RTMP", c.conn.LocalAddr().String())
	})
}

func TestNestedAMF0(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	nested := appendAMF0(nil, "connect", 1.0)
	nested = append(nested, bytes.Repeat([]byte{amfObjectStart, 0, 1, 'a'}, 10<<18)...)
	_, _ = c.conn.Write(appendMessage(nil, 3, message{kind: typeCommandAMF0, payload: nested}, defaultChunkSize))
	c.awaitEnd()
	s.log.await(t, "broken RTMP", "too large", "the limit is 65536")

	small := MustDial(t, s.addr)
	small.send(typeCommandAMF0, 0, 0, nested[:40<<10])
	small.awaitEnd()
	s.log.await(t, "broken RTMP", "nested deeper")
}

func TestUnknownCodecs(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind byte
		body []byte
		says []string
	}{
		{"VVC by FourCC", typeVideo, []byte("\x90vvc1\x01\x02"), []string{"VVC", "HEVC"}},
		{"VP8 by FourCC", typeVideo, []byte("\x90vp08\x01\x02"), []string{"VP8", "VP9"}},
		{"Sorenson", typeVideo, []byte{0x12, 0, 0}, []string{"Sorenson", "H.264"}},
		{"a FourCC nobody knows", typeVideo, []byte("\x90\x01\x02\x03\x04"), []string{`\x01\x02`, "H.264"}},
		{"Speex", typeAudio, []byte{0xb2, 1, 2}, []string{"Speex", "AAC"}},
		{"G.711", typeAudio, []byte{0x72, 1, 2}, []string{"G.711 A-law", "AAC"}},
		{"a second track of VVC", typeVideo, []byte("\x96\x00vvc1\x01"), []string{"VVC", "H.264"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := MustServe(t, Config{}, newRecorder())
			c := MustDial(t, s.addr)
			c.publish(s.rec.key)
			c.send(tt.kind, 1, 0, tt.body)
			code, says := c.status()
			if code != codeDenied {
				t.Error(code)
			}
			for _, want := range tt.says {
				if !strings.Contains(says, want) {
					t.Errorf("%q does not name %s", says, want)
				}
			}
			c.awaitEnd()
			s.log.await(t, "publish refused", "reason=unsupported", "publisher=acme")
			if s.rec.publication(t, 0).clean {
				t.Error("closed clean")
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	for reason, cfg := range map[string]Config{
		"too many connections of one address": {MaxConnectionsPerIP: 2},
		`"too many connections"`:              {MaxConnections: 2},
	} {
		rec := newRecorder()
		rec.others = map[string]media.StreamPath{"other": {Publisher: "acme", Stream: "other"}}
		s := MustServe(t, cfg, rec)
		MustDial(t, s.addr).publish(rec.key)
		second := MustDial(t, s.addr)
		second.publish("other")
		third, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := third.Read(make([]byte, 1)); err == nil {
			t.Error("the third was let in")
		}
		_ = third.Close()
		s.log.await(t, "connection refused", reason)
		_ = second.conn.Close()
		s.log.await(t, "publisher left", "stream=other")
	}
}

func TestPackagerErrors(t *testing.T) {
	for _, tt := range []struct {
		err       error
		says, log string
	}{
		{fmt.Errorf("track video: %w: no such profile", media.ErrInvalid), "no such profile", "how=invalid"},
		{media.ErrFenced, "another server owns the stream", `how="lease lost"`},
		{media.ErrUnavailable, "try again", "level=WARN"},
		{errors.New("disk on fire"), "its log tells more", "level=WARN"},
	} {
		rec := newRecorder()
		rec.onFrame = func(*media.Frame) error { return tt.err }
		s := MustServe(t, Config{}, rec)
		c := MustDial(t, s.addr)
		c.publish(rec.key)
		c.send(typeDataAMF0, 1, 0, onlyAudio)
		c.send(typeAudio, 1, 0, audioConfig(testASC))
		c.send(typeAudio, 1, 0, audioUnit(1))
		if _, says := c.status(); !strings.Contains(says, tt.says) {
			t.Errorf("%v: told %q", tt.err, says)
		}
		_ = c.conn.Close()
		s.log.await(t, "publisher left", tt.log, "err=")
		if rec.publication(t, 0).clean {
			t.Errorf("%v: closed clean", tt.err)
		}
	}
}

func TestARefusedStreamSendsNobodyAway(t *testing.T) {
	rec := newRecorder()
	var members atomic.Bool
	cfg := Config{Refuse: func(_ context.Context, stream media.Stream) error {
		if members.Load() && stream.Path == rec.path {
			return fmt.Errorf("%w: it is made of the streams show_1080", media.ErrConflict)
		}
		return nil
	}}
	s := MustServe(t, cfg, rec)
	first := MustDial(t, s.addr)
	first.publish(rec.key)
	members.Store(true)
	second := MustDial(t, s.addr)
	second.connect("live", "rtmp://localhost/live")
	second.command(1, "publish", 3.0, nil, rec.key, "live")
	if code, says := second.status(); code != codeDenied || !strings.Contains(says, "made of the streams show_1080") {
		t.Errorf("told %s %q", code, says)
	}
	_ = second.conn.Close()
	s.log.await(t, "publish refused", "reason=conflict")
	_ = first.conn.Close()
	s.log.await(t, "publisher left", "how=lost")
}
