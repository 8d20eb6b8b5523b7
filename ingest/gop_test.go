package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// replayed gives what a gop hands over, in short.
func replayed(t *testing.T, g *gop) string {
	t.Helper()
	out := &gopReader{}
	if err := g.replay(out, 0, func(media.Kind, *media.Frame) {}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out.got, " ")
}

type gopReader struct {
	sinkhole
	got []string
}

func (r *gopReader) SetTracks(tracks []media.Track) error {
	for _, t := range tracks {
		r.got = append(r.got, t.Name+string(t.Config))
	}
	return nil
}

func (r *gopReader) WriteFrame(f *media.Frame) error {
	r.got = append(r.got, fmt.Sprintf("%d@%d:%s", f.Track, f.DTS.Milliseconds(), f.Payload))
	return nil
}

func (r *gopReader) WriteMetadata(m *media.TimedMetadata) error {
	r.got = append(r.got, fmt.Sprintf("m@%d:%s", m.PTS.Milliseconds(), m.Payload))
	return nil
}

// gopTester adds to a gop, at times in milliseconds; its frames' arrivals are their times.
type gopTester struct{ gop }

func (g *gopTester) tracks(names ...string) {
	var tracks []media.Track
	for _, name := range names {
		kind := media.Video
		if strings.HasPrefix(name, "audio") {
			kind = media.Audio
		}
		tracks = append(tracks, media.Track{Name: name, Kind: kind})
	}
	g.setTracks(tracks)
}

func (g *gopTester) frame(track, ms int, payload string, sync, recovery bool) {
	at := time.Duration(ms) * time.Millisecond
	g.add(&media.Frame{
		Track: track, DTS: at, PTS: at, Sync: sync, Recovery: recovery, Payload: []byte(payload), Wall: time.Unix(0, 0).Add(at),
	})
}

func (g *gopTester) meta(ms int, payload string) {
	g.addMetadata(&media.TimedMetadata{PTS: time.Duration(ms) * time.Millisecond, Payload: []byte(payload)})
}

func TestGOPKeepsWhatIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*gopTester)
		want string
	}{
		{"from the last random access point", func(g *gopTester) {
			g.tracks("video", "audio")
			g.frame(1, 0, "early", true, false)
			g.frame(0, 0, "I", true, false)
			g.frame(1, 10, "a", true, false)
			g.frame(0, 40, "P", false, false)
			g.frame(0, 80, "I2", true, false)
			g.frame(1, 90, "b", true, false)
			g.frame(0, 120, "P2", false, false)
		}, "video audio 0@80:I2 1@90:b 0@120:P2"},
		{"audio and events that came before their picture", func(g *gopTester) {
			g.tracks("video", "audio")
			g.frame(0, 0, "I", true, false)
			g.frame(1, 60, "a", true, false)
			g.frame(1, 80, "bb", true, false)
			g.meta(70, "x")
			g.meta(90, "yy")
			g.frame(1, 100, "c", true, false)
			g.frame(0, 80, "I2", true, false)
		}, "video audio 1@80:bb m@90:yy 1@100:c 0@80:I2"},
		{"tracks in force", func(g *gopTester) {
			g.tracks("video", "audio")
			g.frame(0, 0, "I", true, false)
			g.tracks("video", "audio", "audio2")
			g.frame(2, 10, "a", true, false)
		}, "video audio 0@0:I video audio audio2 2@10:a"},
		{"tracks in force at the point", func(g *gopTester) {
			g.tracks("video", "audio")
			g.frame(0, 0, "I", true, false)
			g.tracks("video", "audio", "audio2")
			g.frame(2, 50, "a", true, false)
			g.frame(0, 40, "I2", true, false)
		}, "video audio audio2 2@50:a 0@40:I2"},
		{"a recovery point for lack of a better one", func(g *gopTester) {
			g.tracks("video")
			g.frame(0, 0, "P", false, false)
			g.frame(0, 40, "R", false, true)
			g.frame(0, 80, "P", false, false)
			g.frame(0, 120, "R2", false, true)
		}, "video 0@120:R2"},
		{"no recovery point instead of a better one", func(g *gopTester) {
			g.tracks("video")
			g.frame(0, 0, "I", true, false)
			g.frame(0, 40, "R", false, true)
		}, "video 0@0:I 0@40:R"},
		{"nothing without a random access point", func(g *gopTester) {
			g.tracks("video", "audio")
			g.frame(0, 0, "P", false, false)
			g.frame(1, 0, "a", true, false)
			g.meta(0, "x")
		}, "video audio"},
		{"nothing when video goes", func(g *gopTester) {
			g.tracks("video", "audio")
			g.frame(0, 0, "I", true, false)
			g.tracks("audio")
		}, "audio"},
		{"two seconds of audio alone, and more until there are four", func(g *gopTester) {
			g.tracks("audio")
			for ms := 0; ms <= 9500; ms += 500 {
				g.frame(0, ms, "a", true, false)
			}
		}, "audio 0@6500:a 0@7000:a 0@7500:a 0@8000:a 0@8500:a 0@9000:a 0@9500:a"},
		{"nothing past its time, until the next point", func(g *gopTester) {
			g.tracks("video")
			g.frame(0, 0, "I", true, false)
			g.frame(0, 20_001, "P", false, false)
			g.frame(0, 20_040, "P", false, false)
		}, "video"},
		{"the next point after that", func(g *gopTester) {
			g.tracks("video")
			g.frame(0, 0, "I", true, false)
			g.frame(0, 20_001, "P", false, false)
			g.frame(0, 20_040, "I", true, false)
		}, "video 0@20040:I"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g gopTester
			tt.do(&g)
			begun := strings.Contains(tt.want, "@")
			if g.begun != begun {
				t.Errorf("begun is %v", g.begun)
			}
			if got := replayed(t, &g.gop); got != tt.want {
				t.Errorf("kept %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestGOPIsBounded(t *testing.T) {
	picture := strings.Repeat("x", 1<<20)
	var g gopTester
	g.tracks("video")
	g.frame(0, 0, picture, true, false)
	for i := 1; i < 16; i++ {
		g.frame(0, i, picture, false, false)
	}
	if len(g.data) != maxKeptBytes || !g.begun {
		t.Errorf("%d bytes, begun %v", len(g.data), g.begun)
	}
	g.frame(0, 16, "x", false, false)
	if len(g.data) != 0 || g.begun {
		t.Errorf("past the limit %d bytes are kept", len(g.data))
	}
	g.frame(0, 17, "x", false, false)
	g.frame(0, 18, "I", true, false)
	for i := range 2 * maxKeptEvents {
		g.meta(i, "")
		if len(g.events) > maxKeptEvents {
			t.Fatalf("%d events", len(g.events))
		}
	}
	if g.begun {
		t.Error("it went on without what it dropped")
	}
	g.frame(0, 19, "I", true, false)
	for i := range 4 * maxKeptEvents { // no frames, and no end of tracks
		g.tracks("video", fmt.Sprint("audio", i))
	}
	if len(g.events) > maxKeptEvents {
		t.Errorf("%d events", len(g.events))
	}
}

// What a standby keeps costs a copy of each frame.
func BenchmarkGOP(b *testing.B) {
	b.ReportAllocs()
	var g gop
	g.setTracks([]media.Track{{Name: "video", Kind: media.Video}})
	f := media.Frame{Payload: make([]byte, 10_000), Wall: time.Unix(0, 0)}
	n := 0
	for b.Loop() {
		f.Sync = n%50 == 0
		f.DTS = time.Duration(n) * frameTime
		f.Wall = f.Wall.Add(frameTime)
		g.add(&f)
		n++
	}
}
