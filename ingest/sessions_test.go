package ingest

import (
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestSessionsAreThoseConnected(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	if _, live := s.Session(s.rec.path); live || len(s.Sessions()) != 0 {
		t.Error("a session without a publisher")
	}
	first := MustDial(t, s.addr)
	first.publish(s.rec.key)
	report, live := s.Session(s.rec.path)
	if !live || report.Publisher != "acme" || report.Stream != "show" || report.Epoch != 1 || report.Protocol != "rtmp" ||
		report.Remote != first.conn.LocalAddr().String() || report.StartedAt.IsZero() || report.Warnings == nil {
		t.Errorf("%v %+v", live, report)
	}
	second := MustDial(t, s.addr) // takes over
	second.publish(s.rec.key)
	s.log.await(t, "publisher left", `how="taken over"`)
	if reports := s.Sessions(); len(reports) != 1 || reports[0].Epoch != 2 {
		t.Errorf("%+v", reports)
	}
	_ = second.conn.Close()
	s.log.await(t, "publisher left", "how=lost", "bitrate_bps=0")
	if reports := s.Sessions(); len(reports) != 0 {
		t.Errorf("%+v", reports)
	}
}

func TestKickTellsTheReason(t *testing.T) {
	for reason, want := range map[string]string{
		"":                         "the administrator closed this connection",
		"the hall\n is closed":     "the administrator closed this connection: the hall  is closed",
		" \x00\t":                  "the administrator closed this connection",
		"only \xff bytes, no text": "the administrator closed this connection: only ? bytes, no text",
	} {
		s := MustServe(t, Config{}, newRecorder())
		if s.KickFor(s.rec.path, reason) {
			t.Error("kicked nobody and said yes")
		}
		c := MustDial(t, s.addr)
		c.publish(s.rec.key)
		if !s.KickFor(s.rec.path, reason) {
			t.Error("found nobody")
		}
		if code, says := c.status(); code != codeDenied || says != want {
			t.Errorf("%q: told %s: %q, want %q", reason, code, says, want)
		}
		s.log.await(t, "publisher left", "how=kicked")
	}
}

// TestGoodPublishersAreNotWarned lets real encoders send as they should.
func TestGoodPublishersAreNotWarned(t *testing.T) {
	for name, serve := range map[string]func(testing.TB, Config, *recorder) *testServer{"rtmp": MustServe, "srt": MustServeSRT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, Config{}, newRecorder())
			// ffmpeg's -re throttles what it reads; the filters do so in either case.
			live := []string{"-filter:v", "realtime", "-filter:a", "arealtime", "-t", "16"}
			args := encoderArgs("rtmp://"+s.addr+"/live/"+s.rec.key, live...)
			if name == "srt" {
				args = srtArgs(s, "publish:acme/show:"+url.QueryEscape(s.rec.key), live...)
			}
			f := MustFFmpeg(t, args...)
			var last media.IngestReport
			s.rec.await(t, "the publisher has left", func() bool {
				if r, live := s.Session(s.rec.path); live {
					last = r
				}
				return len(s.rec.publs) > 0 && s.rec.publs[0].closed
			})
			if out, err := f.wait(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			left := s.log.await(t, "publisher left")
			if strings.Contains(s.log.String(), "ingest warning") || strings.Contains(left, "warnings=") {
				t.Errorf("warned: %s", s.log)
			}
			if len(last.Tracks) != 2 || last.Tracks[0].KeyFrames == nil {
				t.Fatalf("%+v", last)
			}
			video, audio := last.Tracks[0], last.Tracks[1]
			if video.FPS < 24.5 || video.FPS > 25.5 || audio.FPS < 46 || audio.FPS > 48 ||
				video.KeyFrames.IntervalSec < 0.99 || video.KeyFrames.IntervalSec > 1.01 || video.KeyFrames.IntervalFrames != 25 ||
				audio.Bitrate10sBPS < 20_000 || audio.Bitrate10sBPS > 150_000 || video.Bitrate10sBPS < 100_000 ||
				last.Pace < 0.95 || last.Pace > 1.05 || last.Transport.ReceivedBytes < last.Bytes || last.UpdatedAt.IsZero() ||
				last.SilentMS > (5*time.Second).Milliseconds() {
				t.Errorf("%+v\n%+v\n%+v", last, video, video.KeyFrames)
			}
			if srt := last.Transport.SRT; (srt != nil) != (name == "srt") || srt != nil && (srt.RTTMS <= 0 || srt.LatencyMS != 500 ||
				srt.Received == 0 || srt.Missing != 0) {
				t.Errorf("%+v", srt)
			}
			t.Logf("lag %d ms, pace %v, skew %d ms, jitter %v and %v ms", last.LagMS, last.Pace, last.AVSkewMS, video.JitterMS, audio.JitterMS)
		})
	}
}

// slowRelay passes a TCP connection on to a server, so many bytes a second.
func slowRelay(tb testing.TB, server string, rate int) (address string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	back, err := net.Dial("tcp", server)
	if err != nil {
		tb.Fatal(err)
	}
	var relays sync.WaitGroup
	tb.Cleanup(func() {
		_, _ = listener.Close(), back.Close()
		relays.Wait()
	})
	relays.Go(func() {
		front, err := listener.Accept()
		if err != nil {
			return
		}
		defer back.Close()
		defer front.Close()
		relays.Go(func() { _, _ = io.Copy(front, back) })
		const every = 20 * time.Millisecond
		beat := time.NewTicker(every)
		defer beat.Stop()
		for range beat.C {
			if _, err := io.CopyN(back, front, int64(rate)*int64(every)/int64(time.Second)); err != nil {
				return
			}
		}
	})
	return listener.Addr().String()
}

// TestSlowConnectionIsTold has an encoder send more than its network carries.
func TestSlowConnectionIsTold(t *testing.T) {
	t.Parallel()
	s := MustServe(t, Config{}, newRecorder())
	target := "rtmp://" + slowRelay(t, s.addr, 30_000) + "/live/" + s.rec.key
	f := MustFFmpeg(t, encoderArgs(target, "-b:v", "600k", "-filter:v", "realtime", "-filter:a", "arealtime", "-t", "60")...)
	t.Log(s.log.await(t, "ingest warning", "code=falling_behind"))
	for _, code := range []string{"av_skew", "timestamps_jump", "fps_unstable"} {
		if strings.Contains(s.log.String(), "code="+code) {
			t.Errorf("warned of %s", code)
		}
	}
	_ = f.cmd.Process.Kill()
	_, _ = f.wait() // killed
}
