package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MustServeSRT starts a Server on a free UDP port.
func MustServeSRT(tb testing.TB, cfg Config, rec *recorder) *testServer {
	tb.Helper()
	s := newTestServer(tb, cfg, rec)
	listener, err := ListenSRT(cfg, "127.0.0.1:0", s.logger)
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ServeSRT(ctx, listener) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("ServeSRT: %v", err)
		}
	})
	tb.Cleanup(s.stop)
	return s
}

func srtArgs(s *testServer, streamID string, more ...string) []string {
	args := encoderArgs("", more...)
	// Without linger ffmpeg throws away what it has not sent when it ends.
	return append(args[:len(args)-3], "-f", "mpegts", "srt://"+s.addr+"?linger=2&streamid="+streamID)
}

// dialSRT connects with the Go library.
func dialSRT(s *testServer, streamID, passphrase string) (gosrt.Conn, error) {
	cfg := gosrt.DefaultConfig()
	cfg.StreamId, cfg.Passphrase = streamID, passphrase
	return gosrt.Dial("srt", s.addr, cfg)
}

func MustDialSRT(tb testing.TB, s *testServer, streamID, passphrase string) gosrt.Conn {
	tb.Helper()
	conn, err := dialSRT(s, streamID, passphrase)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func sendTS(tb testing.TB, conn io.Writer, stream []byte) {
	tb.Helper()
	for datagram := range slices.Chunk(stream, 7*tsPacket) {
		if _, err := conn.Write(datagram); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestSRTFFmpegPublishes(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s := MustServeSRT(t, Config{}, rec)
	for i, id := range []string{
		"publish:acme/show:" + rec.key,
		"%23!::r=acme/show,m=publish,s=" + rec.key + ",u=somebody",
	} {
		if out, err := MustFFmpeg(t, append([]string{"-re"}, srtArgs(s, strings.ReplaceAll(id, "+", "%2B"), "-t", "3")...)...).wait(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		p := rec.publication(t, i)
		if !p.clean {
			t.Error("not closed clean")
		}
		if len(p.tracks) != 1 || len(p.tracks[0]) != 2 || p.tracks[0][0].Kind != media.Video || p.tracks[0][1].Kind != media.Audio {
			t.Fatalf("tracks set %d times: %v", len(p.tracks), p.tracks)
		}
		var video, audio, sync, reordered int
		var last time.Duration
		for _, f := range p.frames {
			if f.Track == 1 {
				audio++
				continue
			}
			if video > 0 && f.DTS-last != 40*time.Millisecond {
				t.Errorf("video DTS %v after %v", f.DTS, last)
			}
			if err := checkUnits(f.Payload); err != nil {
				t.Error(err)
			}
			video, last = video+1, f.DTS
			if f.Sync {
				sync++
			}
			if f.PTS != f.DTS {
				reordered++
			}
		}
		// The very end may be lost with the goodbye, by the sender; what we were sent is all there.
		if video != 75 || sync != 3 || reordered == 0 || audio < 138 || audio > 143 {
			t.Errorf("%d video frames, %d of them sync, %d reordered, %d audio frames", video, sync, reordered, audio)
		}
	}
	t.Log(s.log.await(t, "publisher left", "how=clean", "srt_packets.received=", "srt_packets.missing=0"))
}

func TestSRTFFmpegIsTakenOver(t *testing.T) {
	t.Parallel()
	s := MustServeSRT(t, Config{}, newRecorder())
	id := "publish:acme/show:" + strings.ReplaceAll(s.rec.key, "+", "%2B")
	first := MustFFmpeg(t, append([]string{"-re"}, srtArgs(s, id, "-t", "50")...)...)
	s.rec.await(t, "the first publishes", func() bool { return len(s.rec.publs) == 1 && len(s.rec.publs[0].frames) > 10 })
	second := MustFFmpeg(t, append([]string{"-re"}, srtArgs(s, id, "-t", "1")...)...)
	if out, err := first.wait(); err == nil {
		t.Errorf("the first was not sent away\n%s", out)
	}
	if out, err := second.wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if p := s.rec.publication(t, 1); !p.clean || len(p.frames) < 25 {
		t.Errorf("the second: clean=%v, %d frames", p.clean, len(p.frames))
	}
	s.log.await(t, "publisher left", `how="taken over"`)
}

func TestSRTFFmpegKilled(t *testing.T) {
	t.Parallel()
	s := MustServeSRT(t, Config{}, newRecorder())
	id := "publish:acme/show:" + strings.ReplaceAll(s.rec.key, "+", "%2B")
	f := MustFFmpeg(t, append([]string{"-re"}, srtArgs(s, id, "-t", "50")...)...)
	s.rec.await(t, "it publishes", func() bool { return len(s.rec.publs) == 1 && len(s.rec.publs[0].frames) > 10 })
	if err := f.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if s.rec.publication(t, 0).clean {
		t.Error("closed clean")
	}
	_, _ = f.wait()
	s.log.await(t, "publisher left", "how=lost")
}

func TestSRTRefusals(t *testing.T) {
	rec := newRecorder()
	s := MustServeSRT(t, Config{}, rec)
	for _, tt := range []struct {
		name, id, passphrase string
		code                 int
		log                  string
	}{
		{"a wrong key", "publish:acme/show:wrong", "", srtUnauthorized, `reason="wrong key"`},
		{"another stream", "publish:acme/other:" + rec.key, "", srtUnauthorized, `reason="wrong key"`},
		{"no key", "publish:acme/show", "", srtUnauthorized, `reason="no key"`},
		{"no stream id", "", "", srtUnauthorized, `reason="no key"`},
		{"a player", "#!::r=acme/show,m=request,s=" + rec.key, "", srtForbidden, "reason=play"},
		{"both ways", "#!::r=acme/show,m=bidirectional,s=" + rec.key, "", srtBadMode, "reason=mode"},
		{"a bad name", "publish:" + rec.key, "", srtBadRequest, `reason="bad name"`},
		{"another form", rec.key, "", srtBadRequest, `reason="stream id"`},
		{"encrypted", "publish:acme/show:" + rec.key, "correct horse", srtUnsecure, "reason=encryption"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := dialSRT(s, tt.id, tt.passphrase)
			if err == nil {
				_ = conn.Close()
				t.Fatal("accepted")
			}
			t.Log(err)
			s.log.await(t, "publish refused", tt.log, fmt.Sprintf("code=%d", tt.code))
		})
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.publs) > 0 {
		t.Errorf("%d publications", len(rec.publs))
	}
}

func TestSRTPackagerRefuses(t *testing.T) {
	rec := newRecorder()
	rec.onPublish = func() error { return media.ErrUnavailable }
	s := MustServeSRT(t, Config{}, rec)
	if _, err := dialSRT(s, "publish:acme/show:"+rec.key, ""); err == nil {
		t.Fatal("accepted")
	}
	s.log.await(t, "publish refused", "code=1402")
}

func TestSRTPassphrase(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s := MustServeSRT(t, Config{SRTPassphrase: "correct horse battery"}, rec)
	id := "publish:acme/show:" + rec.key
	if _, err := dialSRT(s, id, ""); err == nil {
		t.Error("accepted without a passphrase")
	}
	s.log.await(t, "publish refused", "reason=encryption", "code=1011")
	if _, err := dialSRT(s, id, "wrong horse battery"); err == nil {
		t.Error("accepted with a wrong passphrase")
	}
	s.log.await(t, "publish refused", "reason=passphrase", "code=1010")
	args := srtArgs(s, strings.ReplaceAll(id, "+", "%2B"), "-t", "1")
	args[len(args)-1] += "&passphrase=correct horse battery&pbkeylen=32"
	if out, err := MustFFmpeg(t, append([]string{"-re"}, args...)...).wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if p := rec.publication(t, 0); !p.clean || len(p.frames) < 60 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
}

// lossyRelay passes datagrams on to a server and loses every nth of the client's data packets.
func lossyRelay(tb testing.TB, server string, nth int) (address string) {
	tb.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	back, err := net.Dial("udp", server)
	if err != nil {
		tb.Fatal(err)
	}
	var client atomic.Value
	var relays sync.WaitGroup
	tb.Cleanup(func() {
		_, _ = front.Close(), back.Close()
		relays.Wait()
	})
	relays.Go(func() {
		buf := make([]byte, 2048)
		for data := 0; ; {
			n, from, err := front.ReadFrom(buf)
			if err != nil {
				return
			}
			client.Store(from)
			if n > 0 && buf[0]&0x80 == 0 { // no control packet
				if data++; data%nth == 0 {
					continue
				}
			}
			_, _ = back.Write(buf[:n])
		}
	})
	relays.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			_, _ = front.WriteTo(buf[:n], client.Load().(net.Addr))
		}
	})
	return front.LocalAddr().String()
}

// What the network loses is sent again within the latency.
func TestSRTFFmpegThroughLoss(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s := MustServeSRT(t, Config{}, rec)
	args := srtArgs(s, "publish:acme/show:"+strings.ReplaceAll(rec.key, "+", "%2B"), "-t", "3")
	last := &args[len(args)-1]
	*last = strings.Replace(*last, s.addr, lossyRelay(t, s.addr, 12), 1)
	if out, err := MustFFmpeg(t, append([]string{"-re"}, args...)...).wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	video := 0
	for _, f := range rec.publication(t, 0).frames {
		if f.Track == 0 {
			video++
		}
	}
	line := s.log.await(t, "publisher left", "how=clean")
	t.Log(line)
	// If the very last packet is the one that is lost, there is none behind it to tell.
	if video < 73 || !strings.Contains(line, "srt_packets.missing=0") || strings.Contains(line, "srt_packets.retransmitted=0") {
		t.Errorf("%d pictures", video)
	}
}

// Nothing that is thrown at the port keeps a publisher from publishing.
func TestSRTGarbage(t *testing.T) {
	rec := newRecorder()
	s := MustServeSRT(t, Config{}, rec)
	conn, err := net.Dial("udp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	junk := bytes.Repeat([]byte{0x80, 0, 0, 0, 0xff, 7}, 250)
	for size := range 1400 {
		_, _ = conn.Write(junk[size%5 : size%5+size])
	}
	for kind := range 256 { // control packets with everything or nothing behind
		_, _ = conn.Write(append([]byte{0x80 | byte(kind>>4), byte(kind)}, make([]byte, 14)...))
		_, _ = conn.Write(append([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(kind)}, junk[:60]...))
	}
	// Its first packets may be lost in the flood. Encoders ask again; the client of this library does not.
	var publisher gosrt.Conn
	for range 3 {
		if publisher, err = dialSRT(s, "publish:acme/show:"+rec.key, ""); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	sendTS(t, publisher, junk) // no transport stream
	sendTS(t, publisher, smallTS)
	rec.await(t, "pictures come", func() bool { return len(rec.publs) == 1 && len(rec.publs[0].frames) > 40 })
}

func TestSRTIdle(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s := MustServeSRT(t, Config{IdleTimeout: 800 * time.Millisecond}, rec)
	publisher := MustDialSRT(t, s, "publish:acme/show:"+rec.key, "")
	sendTS(t, publisher, smallTS)
	s.log.await(t, "publisher left", "how=timeout", "no packet for 800ms")
	if rec.publication(t, 0).clean {
		t.Error("closed clean")
	}

	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, 0x02, 0x101)
	publisher = MustDialSRT(t, s, "publish:acme/show:"+rec.key, "")
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := publisher.Write(m.out); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	})
	s.log.await(t, "publisher left", "how=unsupported", "nothing but MPEG-2 video came")
	close(stop)
	sender.Wait()
}

func TestSRTStopClosesPublishers(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s := MustServeSRT(t, Config{}, rec)
	publisher := MustDialSRT(t, s, "publish:acme/show:"+rec.key, "")
	sendTS(t, publisher, smallTS)
	rec.await(t, "it publishes", func() bool { return len(rec.publs) == 1 && len(rec.publs[0].frames) > 10 })
	if !s.Kick(rec.path) {
		t.Error("found nobody")
	}
	rec.publication(t, 0)
	s.log.await(t, "publisher left", "how=kicked")
	publisher = MustDialSRT(t, s, "publish:acme/show:"+rec.key, "")
	sendTS(t, publisher, smallTS)
	rec.await(t, "it publishes", func() bool { return len(rec.publs) == 2 && len(rec.publs[1].frames) > 10 })
	s.stop()
	if rec.publication(t, 1).clean {
		t.Error("closed clean")
	}
	s.log.await(t, "publisher left", "how=stopping")
}

func TestSRTPortInUse(t *testing.T) {
	s := MustServeSRT(t, Config{}, newRecorder())
	if _, err := ListenSRT(Config{}, s.addr, s.logger); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

func TestSRTReceiveBuffer(t *testing.T) {
	s := newTestServer(t, Config{}, newRecorder())
	l, err := ListenSRT(Config{SRTReceiveBuffer: 1 << 30}, "localhost:0", s.logger)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s.log.await(t, "receive buffer", "wanted=1073741824", "sysctl -w net.core.rmem_max=1073741824")
}

func TestSRTQueue(t *testing.T) {
	q := newSRTQueue(1000)
	now := time.Unix(1, 0)
	q.put([]byte("one"), false, now)
	q.put(nil, true, now)
	q.put([]byte("two"), false, now)
	for range 10 {
		q.put(bytes.Repeat([]byte{1}, 200), false, now)
	}
	batch, end := q.take(srtBatch{})
	if len(batch.pieces) != 5 || batch.pieces[0].gap || !batch.pieces[1].gap || string(batch.data[:6]) != "onetwo" || end != nil {
		t.Errorf("%+v %v", batch.pieces, end)
	}
	q.put([]byte("three"), false, now)
	q.close(io.EOF)
	batch, end = q.take(batch)
	if len(batch.pieces) != 1 || !batch.pieces[0].gap || !errors.Is(end, io.EOF) || q.drops() != 7 {
		t.Errorf("%+v %v %d", batch.pieces, end, q.drops())
	}
}

var streamIDCases = []struct {
	id      string
	want    target
	wantErr error
}{
	{"publish:acme/show:key", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"publish:acme/show:a:b,c=d", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "a:b,c=d"}, nil},
	{`"publish:/acme/show:key"`, target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"#!::r=acme/show,m=publish,s=key,u=me", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "key"}, nil},
	{"%23!::r=acme%2Fshow,m=publish,s=k%2B1", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "k+1"}, nil},
	{"#!::u=me,s=k=1,h=host,t=stream,r=/acme/show", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "k=1"}, nil},
	{"#!::m=request,r=acme/show,s=key", target{}, errPlay},
	{"play:acme/show:key", target{}, errPlay},
	{"#!::m=other,r=acme/show,s=key", target{}, errMode},
	{"#!::t=file,r=acme/show,s=key", target{}, media.ErrUnsupported},
	{"#!:{r: acme/show}", target{}, errStreamID},
	{"#!::secret", target{}, errStreamID},
	{"secret", target{}, errStreamID},
	{"", target{}, errNoKey},
	{"publish:acme/show", target{path: media.StreamPath{Publisher: "acme", Stream: "show"}}, errNoKey},
	{"publish:secret", target{}, media.ErrBadName},
	{"publish:Acme/show:key", target{}, media.ErrBadName},
	{"publish:v1/show:key", target{}, media.ErrBadName},
	{strings.Repeat("x", maxStreamID+1), target{}, media.ErrTooLarge},
}

func TestParseStreamID(t *testing.T) {
	for _, tt := range streamIDCases {
		got, err := parseStreamID(tt.id)
		if got != tt.want || !errors.Is(err, tt.wantErr) {
			t.Errorf("%q: %+v, %v", tt.id, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error repeats it: %v", tt.id, err)
		}
	}
}

// FuzzSRTStreamID: what is accepted has a name of good form and a key within its limit.
func FuzzSRTStreamID(f *testing.F) {
	for _, tt := range streamIDCases {
		f.Add(tt.id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, err := parseStreamID(id)
		if err != nil {
			if r := refuse(err); r.reason == reasonInternal || r.srt < srtBadRequest {
				t.Errorf("%q: %v is refused as %s, %d", id, err, r.reason, r.srt)
			}
			return
		}
		if _, err := media.ParseStreamPath(got.path.String()); err != nil || got.key == "" || len(got.key) > maxKey {
			t.Errorf("%q: %+v", id, got)
		}
	})
}
