package ingest

import (
	"net/url"
	"strings"
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
