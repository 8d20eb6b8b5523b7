package ingest

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ffmpeg is a publisher at work.
type ffmpeg struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// MustFFmpeg starts ffmpeg; without it the test is skipped, or fails if OXBOW_TEST_REQUIRE is "all".
func MustFFmpeg(tb testing.TB, args ...string) *ffmpeg {
	tb.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	tb.Cleanup(cancel)
	f := &ffmpeg{cmd: exec.CommandContext(ctx, "ffmpeg", append([]string{"-nostdin", "-hide_banner"}, args...)...)}
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.out
	if err := f.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return f
}

// slow is for encoders that the machine may hold up for seconds between their tracks.
var slow = Config{TrackWait: 5 * time.Second}

// wait gives what ffmpeg said, and its error.
func (f *ffmpeg) wait() (string, error) {
	err := f.cmd.Wait()
	return f.out.String(), err
}

const (
	lavfiVideo = "testsrc2=size=320x180:rate=25"
	lavfiAudio = "sine=frequency=440:sample_rate=48000"
)

func encoderArgs(target string, more ...string) []string {
	args := []string{
		"-f", "lavfi", "-i", lavfiVideo, "-f", "lavfi", "-i", lavfiAudio,
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-b:a", "96k",
	}
	return append(append(args, more...), "-f", "flv", target)
}

func TestFFmpegPublishes(t *testing.T) {
	rec := newRecorder()
	s := MustServe(t, slow, rec)
	for i, target := range []string{
		"rtmp://" + s.addr + "/live/" + rec.key,
		"rtmp://" + s.addr + "/acme/show?key=" + rec.key,
	} {
		if out, err := MustFFmpeg(t, encoderArgs(target, "-t", "4")...).wait(); err != nil {
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
			if video > 0 && f.DTS <= last {
				t.Errorf("video DTS %v after %v", f.DTS, last)
			}
			video, last = video+1, f.DTS
			if f.Sync {
				sync++
			}
			if f.PTS != f.DTS {
				reordered++
			}
		}
		if video != 100 || sync != 4 || reordered == 0 || audio < 185 || audio > 190 {
			t.Errorf("%d video frames, %d of them sync, %d reordered, %d audio frames", video, sync, reordered, audio)
		}
	}
}

// ffmpeg's C1 has a digest, so its handshake is the complex one.
func TestFFmpegIsToldOfAWrongKey(t *testing.T) {
	s := MustServe(t, slow, newRecorder())
	out, err := MustFFmpeg(t, encoderArgs("rtmp://"+s.addr+"/live/ox_wrong", "-t", "4")...).wait()
	if err == nil || !strings.Contains(out, "wrong stream key") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFFmpegIsToldOfAnUnknownCodec(t *testing.T) {
	s := MustServe(t, slow, newRecorder())
	f := MustFFmpeg(t, "-re", "-f", "lavfi", "-i", lavfiVideo, "-c:v", "flv1", "-t", "20", "-f", "flv",
		"rtmp://"+s.addr+"/live/"+s.rec.key)
	out, err := f.wait()
	if err == nil || !strings.Contains(out, "Sorenson H.263 video is not supported") {
		t.Errorf("%v\n%s", err, out)
	}
	s.log.await(t, "publish refused", "Sorenson")
}

func TestFFmpegIsTakenOver(t *testing.T) {
	s := MustServe(t, slow, newRecorder())
	target := "rtmp://" + s.addr + "/live/" + s.rec.key
	first := MustFFmpeg(t, append([]string{"-re"}, encoderArgs(target, "-t", "50")...)...)
	s.rec.await(t, "the first publishes", func() bool { return len(s.rec.publs) == 1 && len(s.rec.publs[0].frames) > 10 })
	second := MustFFmpeg(t, encoderArgs(target, "-t", "2")...)
	if out, err := first.wait(); err == nil || !strings.Contains(out, "taken over") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := second.wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if p := s.rec.publication(t, 1); !p.clean {
		t.Error("the second was not closed clean")
	}
}

func TestFFmpegKilled(t *testing.T) {
	s := MustServe(t, slow, newRecorder())
	f := MustFFmpeg(t, append([]string{"-re"}, encoderArgs("rtmp://"+s.addr+"/live/"+s.rec.key, "-t", "50")...)...)
	s.rec.await(t, "it publishes", func() bool { return len(s.rec.publs) == 1 && len(s.rec.publs[0].frames) > 10 })
	if err := f.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if s.rec.publication(t, 0).clean {
		t.Error("closed clean")
	}
	_, _ = f.wait()
}

func TestGortmplibPublishes(t *testing.T) {
	s := MustServe(t, slow, newRecorder())
	c := &gortmplib.Client{
		URL: &url.URL{Scheme: "rtmp", Host: s.addr, Path: "/live", Fragment: s.rec.key}, Publish: true,
	}
	if err := c.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	track := &gortmplib.Track{Codec: &codecs.H264{SPS: testSPS, PPS: testPPS}}
	w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{track}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		dts := time.Duration(i) * 40 * time.Millisecond
		if err := w.WriteH264(track, dts-20*time.Millisecond, dts, [][]byte{idr(byte(i))}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	p := s.rec.publication(t, 0)
	if p.clean || len(p.frames) != 10 || len(p.tracks) != 1 {
		t.Fatalf("clean=%v, %d frames, %d tracks", p.clean, len(p.frames), len(p.tracks))
	}
	if got := p.frames[9].PTS; got != 340*time.Millisecond {
		t.Errorf("PTS %v", got)
	}
}

func TestGortmplibIsRefused(t *testing.T) {
	s := MustServe(t, slow, newRecorder())
	c := &gortmplib.Client{
		URL: &url.URL{Scheme: "rtmp", Host: s.addr, Path: "/live", Fragment: "ox_wrong"}, Publish: true,
	}
	if err := c.Initialize(t.Context()); err == nil || !strings.Contains(err.Error(), "wrong stream key") {
		t.Errorf("got %v", err)
	}
}
