package packager

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// opusTrack is stereo in packets of so many samples.
func opusTrack(name string, unit int64) media.Track {
	return media.Track{
		Name: name, Kind: media.Audio, Codec: media.Opus, Unit: unit,
		Config: []byte{0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0},
	}
}

// ensemble is a random publisher of several tracks.
type ensemble struct {
	videos []pictures
	units  []int64 // of audio; 1024 is AAC
	lag    time.Duration
	set    media.Settings
	rng    *rand.Rand
}

// pictures is one of its video tracks.
type pictures struct {
	fps    float64
	period time.Duration // of random access points
	late   time.Duration // when it begins
	holes  bool          // seconds are missing
}

func drawEnsemble(t *rapid.T) ensemble {
	e := ensemble{
		lag: time.Duration(rapid.IntRange(0, 400).Draw(t, "lag")) * time.Millisecond,
		set: media.DefaultSettings(), rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2)),
	}
	period := rapid.SampledFrom([]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3300 * time.Millisecond,
		9 * time.Second}).Draw(t, "period")
	for i := range rapid.IntRange(0, 3).Draw(t, "videos") {
		v := pictures{fps: rapid.SampledFrom([]float64{5, 12, 25, 29.97, 30, 50, 60}).Draw(t, "fps"), period: period}
		if i > 0 {
			if rapid.IntRange(0, 2).Draw(t, "own period") == 0 {
				v.period = time.Duration(rapid.IntRange(300, 8000).Draw(t, "period")) * time.Millisecond
			}
			v.late = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 30, 700, 5000}).Draw(t, "late")) * time.Millisecond
			v.holes = rapid.IntRange(0, 2).Draw(t, "holes") == 0
		}
		e.videos = append(e.videos, v)
	}
	least := 0
	if len(e.videos) == 0 {
		least = 1
	}
	for range rapid.IntRange(least, 3).Draw(t, "audios") {
		e.units = append(e.units, rapid.SampledFrom([]int64{1024, 120, 960, 2880, 5760}).Draw(t, "unit"))
	}
	e.set.SegmentDuration = media.Span(time.Duration(rapid.SampledFrom([]int{1, 2, 6}).Draw(t, "segment")) * time.Second)
	return e
}

func (e *ensemble) tracks() (tracks []media.Track) {
	for i := range e.videos {
		v := videoTrack()
		v.Name = trackName("video", i)
		tracks = append(tracks, v)
	}
	for i, unit := range e.units {
		a := opusTrack(trackName("audio", i), unit)
		if unit == 1024 {
			a = audioTrack()
			a.Name = trackName("audio", i)
		}
		tracks = append(tracks, a)
	}
	return tracks
}

func trackName(kind string, i int) string {
	if i == 0 {
		return kind
	}
	return fmt.Sprintf("%s%d", kind, i+1)
}

// frames makes d of the publisher's frames in the order of arrival.
func (e *ensemble) frames(d time.Duration) []*media.Frame {
	type arrival struct {
		at time.Duration
		f  *media.Frame
	}
	var all []arrival
	for track, v := range e.videos {
		next, hole := time.Duration(0), time.Duration(-1)
		for i := 0; ; i++ {
			at := time.Duration(float64(i) / v.fps * float64(time.Second))
			if at >= d {
				break
			}
			sync := at >= next
			if sync {
				next = (at/v.period + 1) * v.period
			}
			if v.holes && e.rng.IntN(200) == 0 {
				hole = at + time.Duration(e.rng.IntN(6000))*time.Millisecond
			}
			if at < v.late || at < hole {
				continue
			}
			f := videoFrame(ms(at), sync)
			f.Track = track
			all = append(all, arrival{at + time.Duration(track)*e.lag/4, f})
		}
	}
	for i, unit := range e.units {
		for n := int64(0); ; n++ {
			at := media.Duration(n*unit, 48000)
			if at >= d {
				break
			}
			all = append(all, arrival{at + e.lag, audioFrame(len(e.videos)+i, ms(at))})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	frames := make([]*media.Frame, len(all))
	for i := range all {
		frames[i] = all[i].f
	}
	return frames
}

// TestRulesHoldForAnyTracks holds the same rules as TestPRTAndTDRulesHoldForAnyPublisher over several tracks of each
// kind, which need not be aligned, and that all renditions have the same segments at the same times.
func TestRulesHoldForAnyTracks(t *testing.T) {
	st := mustStudio(t, t.TempDir())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		e := drawEnsemble(rt)
		n++
		path := media.StreamPath{Publisher: "acme", Stream: fmt.Sprintf("m%d", n)}
		p, err := st.Publish(t.Context(), media.Stream{Path: path, Settings: e.set}, 1)
		if err != nil {
			rt.Fatal(err)
		}
		if err := p.SetTracks(e.tracks()); err != nil {
			rt.Fatal(err)
		}
		shows := make(map[media.RecordingID]*hls.Snapshot)
		var show *Show
		look := func() {
			if id, ok := st.Current(path); ok {
				show, _ = st.Show(path, id)
			}
			if show == nil {
				return
			}
			if snap, _ := show.Snapshot(); snap != nil && snap != shows[show.id] {
				checkSnapshot(rt, snap)
				checkGrowth(rt, shows[show.id], snap)
				shows[show.id] = snap
			}
		}
		for _, f := range e.frames(25 * time.Second) {
			if err := p.WriteFrame(f); err != nil {
				rt.Fatal(err)
			}
			look()
		}
		if err := p.Close(true); err != nil {
			rt.Fatal(err)
		}
		look()
		if show == nil {
			rt.Fatal("25 s of media made no show")
		}
		snap := shows[show.id]
		if len(snap.Takes) > 1 {
			rt.Fatalf("%d takes", len(snap.Takes))
		}
		checkTogether(rt, snap)
		for i := range snap.Renditions {
			checkFile(rt, st.file(show, 1, snap.Renditions[i].Name), snap, i)
		}
	})
}

// checkTogether says that all renditions have the same MSNs, and begin each within a unit, or what followers of video
// may be off, of the first.
func checkTogether(tb rapid.TB, snap *hls.Snapshot) {
	tb.Helper()
	lead := &snap.Renditions[0]
	scale := timescaleOf(snap, 1, lead.Name)
	for i := range snap.Renditions[1:] {
		r := &snap.Renditions[1+i]
		if len(r.Segments) != len(lead.Segments) {
			tb.Fatalf("%d segments of %s, %d of %s", len(lead.Segments), lead.Name, len(r.Segments), r.Name)
		}
		track, _ := snap.Takes[0].Track(r.Name)
		early, late := 20*time.Microsecond, media.Duration(max(track.Unit, 1024), 48000)
		if track.Kind == media.Video {
			early, late = media.Duration(alignEarly, videoTimescale), media.Duration(alignSlack, videoTimescale)
		}
		for j := range r.Segments {
			d := media.Duration(r.Segments[j].DTS, track.Timescale) - media.Duration(lead.Segments[j].DTS, scale)
			if d < -early || d > late {
				tb.Fatalf("CMF-23: segment %d of %s begins %v behind %s's", j+1, r.Name, d, lead.Name)
			}
		}
	}
}
