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
		{"a player", "#!::r=acme/show,m=request,s=" + rec.key, "", srtBadMode, "reason=play"},
		{"no mode", "#!::r=acme/show,s=" + rec.key, "", srtBadMode, "reason=mode"},
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
	const servers, streams = "correct horse battery", "a stream of its own"
	for _, tt := range []struct {
		name                         string
		server, stream, right, wrong string
	}{
		{"of the server", servers, "", servers, "wrong horse battery"},
		{"of the stream", "", streams, streams, "wrong horse battery"},
		{"of the stream before the server's", servers, streams, streams, servers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			rec.stream.SRTPassphrase = tt.stream
			s := MustServeSRT(t, Config{SRTPassphrase: tt.server}, rec)
			id := "publish:acme/show:" + rec.key
			if _, err := dialSRT(s, id, ""); err == nil {
				t.Error("accepted without a passphrase")
			}
			s.log.await(t, "publish refused", "reason=encryption", "code=1011")
			if _, err := dialSRT(s, id, tt.wrong); err == nil {
				t.Error("accepted with a wrong passphrase")
			}
			s.log.await(t, "publish refused", "reason=passphrase", "code=1010")
			// Who has no key learns nothing of passphrases.
			if _, err := dialSRT(s, "publish:acme/show:wrong", tt.wrong); err == nil {
				t.Error("accepted with a wrong key")
			}
			s.log.await(t, "publish refused", `reason="wrong key"`, "code=1401")
			publisher := MustDialSRT(t, s, id, tt.right)
			sendTS(t, publisher, smallTS)
			rec.await(t, "pictures come", func() bool { return len(rec.publs) == 1 && len(rec.publs[0].frames) > 40 })
		})
	}
}

func TestSRTFFmpegEncrypts(t *testing.T) {
	for _, bytes := range []int{16, 24, 32} {
		t.Run(fmt.Sprintf("AES-%d", 8*bytes), func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			rec.stream.SRTPassphrase = "a stream of its own"
			s := MustServeSRT(t, Config{SRTPassphrase: "correct horse battery"}, rec)
			args := srtArgs(s, "publish:acme/show:"+strings.ReplaceAll(rec.key, "+", "%2B"), "-t", "1")
			args[len(args)-1] += fmt.Sprintf("&passphrase=%s&pbkeylen=%d", rec.stream.SRTPassphrase, bytes)
			if out, err := MustFFmpeg(t, append([]string{"-re"}, args...)...).wait(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if p := rec.publication(t, 0); !p.clean || len(p.frames) < 60 {
				t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
			}
		})
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
	args := srtArgs(s, "publish:acme/show:"+strings.ReplaceAll(rec.key, "+", "%2B"), "-t", "5")
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
	if !strings.Contains(line, "packet_loss") {
		t.Error("the publisher was not warned")
	}
	if video < 123 || !strings.Contains(line, "srt_packets.missing=0") || strings.Contains(line, "srt_packets.retransmitted=0") {
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
	s = MustServeSRT(t, Config{}, newRecorder())
	publisher = MustDialSRT(t, s, "publish:acme/show:"+s.rec.key, "")
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
