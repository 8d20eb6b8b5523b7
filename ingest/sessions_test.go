package ingest

import (
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// stall says how far a publisher's frames came apart from their times: on a busy machine the encoder itself is held up,
// and is warned of it with reason.
func stall(frames []media.Frame) time.Duration {
	least, most := time.Duration(math.MaxInt64), time.Duration(math.MinInt64)
	for _, f := range frames {
		late := f.Wall.Sub(frames[0].Wall) - (f.DTS - frames[0].DTS)
		least, most = min(least, late), max(most, late)
	}
	return most - least
}

// onTime brings a publication's frames again, each at its time, and gives the warnings.
func onTime(t *testing.T, p *recPublication) []string {
	t.Helper()
	l := newLineup(Config{}.withDefaults(), sinkhole{}, newMetrics(prometheus.NewRegistry()))
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l.quality.begin(media.IngestReport{StartedAt: start}, 0, slog.New(slog.DiscardHandler))
	tracks := p.tracks[len(p.tracks)-1]
	ids := make([]trackID, len(tracks))
	for i, track := range tracks {
		ids[i] = trackID{kind: track.Kind}
		if err := l.configure(ids[i], track); err != nil {
			t.Fatal(err)
		}
	}
	wall := start
	for _, f := range p.frames {
		if at := start.Add(f.DTS - p.frames[0].DTS); at.After(wall) {
			wall = at
		}
		f.Wall = wall
		if err := l.write(ids[f.Track], &f); err != nil {
			t.Fatal(err)
		}
	}
	return l.quality.raised
}

// TestGoodPublishersAreNotWarned lets real encoders send as they should.
func TestGoodPublishersAreNotWarned(t *testing.T) {
	for name, serve := range map[string]func(testing.TB, Config, *recorder) *testServer{"rtmp": MustServe, "srt": MustServeSRT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, slow, newRecorder())
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
			published := s.rec.publication(t, 0)
			if warned := onTime(t, published); len(warned) > 0 {
				t.Errorf("warned of %v though all came in time", warned)
			}
			const steady = 800 * time.Millisecond
			stalled := stall(published.frames)
			busy := stalled > steady
			if busy {
				t.Logf("the machine held the encoder up by %v: how its frames came is not judged", stalled)
			} else if strings.Contains(s.log.String(), "ingest warning") || strings.Contains(left, "warnings=") {
				t.Errorf("warned: %s", s.log)
			}
			if len(last.Tracks) != 2 || last.Tracks[0].KeyFrames == nil {
				t.Fatalf("%+v", last)
			}
			video, audio := last.Tracks[0], last.Tracks[1]
			if video.FPS < 24.5 || video.FPS > 25.5 || audio.FPS < 46 || audio.FPS > 48 ||
				video.KeyFrames.IntervalSec < 0.99 || video.KeyFrames.IntervalSec > 1.01 || video.KeyFrames.IntervalFrames != 25 ||
				audio.Bitrate10sBPS < 20_000 || audio.Bitrate10sBPS > 150_000 || video.Bitrate10sBPS < 100_000 ||
				!busy && (last.Pace < 0.95 || last.Pace > 1.05) || last.Transport.ReceivedBytes < last.Bytes || last.UpdatedAt.IsZero() ||
				last.SilentMS > (5*time.Second).Milliseconds() {
				t.Errorf("%+v\n%+v\n%+v", last, video, video.KeyFrames)
			}
			if srt := last.Transport.SRT; (srt != nil) != (name == "srt") || srt != nil && (srt.RTTMS <= 0 || srt.LatencyMS != 500 ||
				srt.Received == 0 || srt.Missing != 0 && !busy) {
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
