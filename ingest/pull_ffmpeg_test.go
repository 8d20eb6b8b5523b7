package ingest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/porttest"
)

// mustClip makes an HLS presentation that has ended, of 100 pictures, and serves it.
func mustClip(tb testing.TB, args ...string) (url string) {
	tb.Helper()
	dir := tb.TempDir()
	args = append(encoderArgs("", append([]string{"-t", "4"}, args...)...), "")
	args = append(args[:len(args)-4], "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod",
		filepath.Join(dir, "index.m3u8"))
	if out, err := MustFFmpeg(tb, args...).wait(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	tb.Cleanup(server.Close)
	return server.URL + "/index.m3u8"
}

// checkFrames holds a publication against mustClip's source.
func checkFrames(t *testing.T, p *recPublication) {
	t.Helper()
	var video, audio, sync int
	var lastDTS time.Duration
	var first, last time.Time
	for _, f := range p.frames {
		if f.Track == 1 {
			audio++
			continue
		}
		if video == 0 {
			first = f.Wall
		} else if f.DTS-lastDTS != 40*time.Millisecond {
			t.Errorf("video DTS %v after %v", f.DTS, lastDTS)
		}
		if err := checkUnits(f.Payload); err != nil {
			t.Error(err)
		}
		video, lastDTS, last = video+1, f.DTS, f.Wall
		if f.Sync {
			sync++
		}
	}
	if video != 100 || sync != 4 || audio < 187 || audio > 190 {
		t.Errorf("%d video frames, %d of them sync, %d audio frames", video, sync, audio)
	}
	if took := last.Sub(first); took < 3*time.Second {
		t.Errorf("4 s of media went by in %v", took)
	}
	if len(p.tracks) != 1 || len(p.tracks[0]) != 2 {
		t.Errorf("tracks set %d times: %v", len(p.tracks), p.tracks)
	}
}

func TestHLSSourceLosesNoFrame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
	}{
		{"MPEG-TS", []string{"-hls_segment_type", "mpegts"}},
		{"fragmented MP4", []string{"-hls_segment_type", "fmp4"}},
		{"fragmented MP4 in one file", []string{"-hls_segment_type", "fmp4", "-hls_flags", "single_file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, slow, newRecorder())
			MustPull(t, s, nil, sourceOf(s.rec, mustClip(t, c.args...), media.SourceAlways))
			p := s.rec.publication(t, 0)
			if !p.clean {
				t.Error("not closed clean")
			}
			checkFrames(t, p)
			s.log.await(t, "source lost", "the source ended the stream")
			s.log.await(t, "source lost", "no other has begun") // and is not played again
		})
	}
}

// mustAddr gives the address for a source to come.
func mustAddr(tb testing.TB) string {
	tb.Helper()
	addr, err := porttest.Loopback(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return addr
}

// The sources here are ffmpeg as a server, which dies and comes back.
func TestSourceDiesAndComesBack(t *testing.T) {
	t.Parallel()
	rtmp, srt := mustAddr(t), mustAddr(t)
	hls := t.TempDir()
	files := httptest.NewServer(http.FileServer(http.Dir(hls)))
	t.Cleanup(files.Close)
	for _, c := range []struct {
		name, url string
		output    []string
	}{
		{"RTMP", fmt.Sprintf("rtmp://%s/live/show", rtmp),
			[]string{"-listen", "1", "-f", "flv", fmt.Sprintf("rtmp://%s/live/show", rtmp)}},
		{"SRT", fmt.Sprintf("srt://%s?latency=120&passphrase=0123456789&streamid=some", srt),
			[]string{"-f", "mpegts", fmt.Sprintf("srt://%s?mode=listener&passphrase=0123456789", srt)}},
		{"HLS", files.URL + "/index.m3u8",
			[]string{"-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-hls_flags", "delete_segments", filepath.Join(hls, "index.m3u8")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, Config{IdleTimeout: 8 * time.Second}, newRecorder())
			start := func() *ffmpeg {
				args := encoderArgs("", "-t", "50")
				return MustFFmpeg(t, append(append([]string{"-y", "-re"}, args[:len(args)-3]...), c.output...)...)
			}
			p := MustPull(t, s, nil, sourceOf(s.rec, c.url, media.SourceAlways))
			for take := range 2 {
				f := start()
				s.rec.await(t, "frames of both tracks come", func() bool {
					kinds := map[int]int{}
					if len(s.rec.publs) > take {
						for _, frame := range s.rec.publs[take].frames {
							kinds[frame.Track]++
						}
					}
					return kinds[0] > 25 && kinds[1] > 25
				})
				if got := p.Status(s.rec.path); got.State != media.SourceLive || got.LastError != "" {
					t.Errorf("%+v", got)
				}
				_ = f.cmd.Process.Kill()
				_, _ = f.wait()
				if s.rec.publication(t, take).clean && c.name != "SRT" {
					t.Error("a source that died ended the show")
				}
			}
		})
	}
}

func TestSourceIsTakenOverByAPush(t *testing.T) {
	t.Parallel()
	s := MustServe(t, slow, newRecorder())
	p := MustPull(t, s, nil, sourceOf(s.rec, mustClip(t), media.SourceAlways))
	s.rec.await(t, "the source is live", func() bool { return len(s.rec.publs) == 1 && len(s.rec.publs[0].frames) > 10 })
	if out, err := MustFFmpeg(t, encoderArgs("rtmp://"+s.addr+"/live/"+s.rec.key, "-t", "3")...).wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if p := s.rec.publication(t, 1); !p.clean {
		t.Error("the push was not left in peace")
	}
	s.log.await(t, "publisher left", "taken over", "pull_http")
	p.stop()
}
