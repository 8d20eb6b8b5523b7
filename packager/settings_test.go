package packager

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// set changes settings of the test's stream, as the node that follows the catalog does.
func (s *stage) set(settings media.Settings, change func(*media.Settings)) media.Settings {
	s.t.Helper()
	change(&settings)
	s.Settings(testPath, settings)
	s.look()
	return settings
}

var sequenceTag = regexp.MustCompile(`#EXT-X-MEDIA-SEQUENCE:(\d+)`)

// sliding gives where the sliding playlists of each rendition begin.
func sliding(t *testing.T, snap *hls.Snapshot) (first []int) {
	t.Helper()
	for i := range snap.Renditions {
		for _, form := range []hls.Form{hls.Media, hls.IFrames} {
			if i > 0 && form == hls.IFrames {
				continue
			}
			text := hls.AppendMedia(nil, snap, hls.Playlist{Rendition: i, Kind: hls.Sliding, Form: form}, hls.SkipNone, nil)
			m := sequenceTag.FindSubmatch(text)
			if m == nil {
				t.Fatalf("no MEDIA-SEQUENCE:\n%s", text)
			}
			n, _ := strconv.Atoi(string(m[1]))
			first = append(first, n)
		}
	}
	return first
}

func TestReconnectWindowChangesWhileItRuns(t *testing.T) {
	for name, c := range map[string]struct {
		window time.Duration
		at     time.Duration // into the interruption
		ends   time.Duration
	}{
		"longer":               {5 * time.Minute, 30 * time.Second, 5 * time.Minute},
		"shorter":              {40 * time.Second, 30 * time.Second, 40 * time.Second},
		"shorter than it ran":  {10 * time.Second, 30 * time.Second, 30 * time.Second},
		"none any more":        {0, 30 * time.Second, 30 * time.Second},
		"the same, told again": {time.Minute, 30 * time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				p, src := s.open()
				s.play(p, src, 8*time.Second)
				s.close(p, false)
				left := time.Now()
				s.wait(c.at)
				s.set(media.DefaultSettings(), func(m *media.Settings) { m.ReconnectWindow = media.Span(c.window) })
				for {
					if _, ok := s.Current(testPath); !ok {
						break
					}
					if time.Since(left) > 10*time.Minute {
						t.Fatal("it never ends")
					}
					s.wait(time.Second)
				}
				if d := time.Since(left) - c.ends; d < 0 || d > 2*time.Second {
					t.Errorf("it ended %v after its publisher left, want %v", time.Since(left), c.ends)
				}
			})
		})
	}
}

func TestGoodbyeIsTakenAsTheSettingsOfNowSay(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 8*time.Second)
		s.set(media.DefaultSettings(), func(m *media.Settings) { m.EndOnUnpublish = false })
		s.close(p, true)
		if snap := s.newest(); snap.State != media.Interrupted {
			t.Errorf("after a goodbye that ends nothing it is %s", snap.State)
		}
		p = s.publish(2, func(m *media.Settings) { m.EndOnUnpublish = false })
		s.tracks(p, videoTrack(), audioTrack())
		s.play(p, &source{fps: 30, gop: 30}, 8*time.Second)
		s.set(media.DefaultSettings(), func(*media.Settings) {})
		s.close(p, true)
		if _, ok := s.Current(testPath); ok {
			t.Error("it is live after a goodbye that ends it")
		}
	})
}

func TestSlidingWindowGrowsAndShrinksUnderPlayers(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, func(m *media.Settings) { m.DVRWindow = media.Span(20 * time.Second) })
		s.tracks(p, videoTrack(), audioTrack())
		src := &source{fps: 30, gop: 60}
		var before []int
		play := func(d time.Duration) {
			t.Helper()
			for ; d > 0; d -= 500 * time.Millisecond {
				s.play(p, src, 500*time.Millisecond)
				if snap, _ := s.show().Snapshot(); snap != nil {
					now := sliding(t, snap)
					for i := range before {
						if now[i] < before[i] {
							t.Fatalf("playlist %d went back from segment %d to %d", i, before[i], now[i])
						}
					}
					before = now
				}
			}
		}
		s.play(p, src, 10*time.Second)
		play(30 * time.Second)
		begins := before[0]
		if begins < 8 {
			t.Fatalf("a window of 20 s begins with segment %d", begins)
		}
		settings := s.set(media.DefaultSettings(), func(m *media.Settings) { m.DVRWindow = media.Span(40 * time.Second) })
		play(18 * time.Second)
		if d := before[0] - begins; d > 1 {
			t.Errorf("the window slid on by %d segments while it grew", d)
		}
		play(20 * time.Second)
		if d := before[0] - begins; d < 5 {
			t.Errorf("the window has grown beyond its length: it slid on by %d segments", d)
		}
		long := len(s.newest().Renditions[0].Segments) - before[0]
		s.set(settings, func(m *media.Settings) { m.DVRWindow = media.Span(20 * time.Second) })
		play(time.Second)
		if short := len(s.newest().Renditions[0].Segments) - before[0]; short > long-8 {
			t.Errorf("after it shrank it lists %d segments, %d before", short, long)
		}
		rec := s.stored(s.show().id)
		if rec.Settings.DVRWindow != media.Span(20*time.Second) || rec.WindowFrom == 0 {
			t.Errorf("the manifest has a window of %v from %d", rec.Settings.DVRWindow.D(), rec.WindowFrom)
		}
	})
}

func TestSettingsThatPlayersRelyOnWaitForTheNextShow(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 8*time.Second)
		first := s.show()
		s.set(media.DefaultSettings(), func(m *media.Settings) {
			m.Latency, m.Interruption, m.Record = media.LatencyStandard, media.InterruptionHold, media.RecordOff
		})
		snap := s.newest()
		if snap.Constants.PartTarget == 0 {
			t.Error("the parts are gone in mid-show")
		}
		rec := s.stored(first.id)
		if m := rec.Settings; m.Record != media.RecordOff || m.Latency != media.LatencyLow || m.Interruption != media.InterruptionGap {
			t.Errorf("the manifest's settings are %+v", m)
		}
		// Without sound it is another show, of the same connection.
		s.tracks(p, videoTrack())
		src.audio = -1
		s.play(p, src, 8*time.Second)
		if second := s.show(); second == first || s.newest().Constants.PartTarget != 0 {
			t.Errorf("the next show has parts of %v", s.newest().Constants.PartTarget)
		}
	})
}

func TestSettingsOfWhatIsNotHere(t *testing.T) {
	onStage(t, func(s *stage) {
		s.Settings(testPath, media.DefaultSettings())
		if n := len(s.Streams()); n != 0 {
			t.Errorf("%d streams", n)
		}
		s.open()
		if n := len(s.Streams()); n != 1 {
			t.Errorf("%d streams", n)
		}
	})
}
