package packager

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
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

// TestRulesHoldForAnyTracks holds the same rules as those of one publisher over several tracks of each
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

// playAll feeds two pictures of the same times and two of sound in real time; second says whether the second picture is
// sent.
func (s *stage) playAll(p *Publication, from, to time.Duration, second bool) {
	s.t.Helper()
	e := ensemble{videos: []pictures{{fps: 30, period: time.Second}, {fps: 30, period: time.Second}}, units: []int64{1024, 960}}
	at := from
	for _, f := range e.frames(to) {
		if f.DTS < from || (f.Track == 1 && !second) {
			continue
		}
		for ; at < f.DTS; at += 20 * time.Millisecond {
			s.wait(20 * time.Millisecond)
		}
		s.write(p)(f)
		s.look()
	}
}

func TestPicturesThatStopAreGapsBesideTheLeader(t *testing.T) {
	onStage(t, func(s *stage) {
		e := ensemble{videos: make([]pictures, 2), units: []int64{1024, 960}}
		p := s.publish(1, nil)
		s.tracks(p, e.tracks()...)
		s.playAll(p, 0, 6*time.Second, true)
		s.playAll(p, 6*time.Second, 13*time.Second, false)
		s.playAll(p, 13*time.Second, 20*time.Second, true)
		s.checkSEQ6()
		snap := s.newest()
		gaps := 0
		for _, seg := range snap.Renditions[1].Segments {
			if seg.Gap {
				gaps++
			}
		}
		last := snap.Renditions[1].Segments[len(snap.Renditions[1].Segments)-1]
		if len(snap.Takes) != 1 || gaps < 2 || gaps > 4 || last.Gap || !last.Sync {
			t.Errorf("%d takes, %d gaps, last %+v", len(snap.Takes), gaps, last)
		}
		if n := p.Repairs()["video2"]["gap"]; n != int64(gaps) {
			t.Errorf("%d gaps counted, %d listed", n, gaps)
		}
		// The publisher is lost, comes back, and all tracks go on together.
		s.close(p, false)
		s.wait(3 * time.Second)
		p = s.publish(2, nil)
		s.tracks(p, e.tracks()...)
		s.playAll(p, 30*time.Second, 36*time.Second, true)
		s.close(p, true)
		s.checkSEQ6()
		if snap := s.seen["01k00000000000000000000001"]; len(snap.Takes) != 2 || len(snap.Renditions) != 4 {
			t.Errorf("%d takes, %d renditions", len(snap.Takes), len(snap.Renditions))
		} else {
			checkSameEnds(t, snap)
		}
	})
}

// checkSameEnds says that the renditions of an ended show have the same segments.
func checkSameEnds(t *testing.T, snap *hls.Snapshot) {
	t.Helper()
	for _, r := range snap.Renditions {
		if r.Last() != snap.Renditions[0].Last() {
			t.Errorf("%s ends at %d, %s at %d", r.Name, r.Last(), snap.Renditions[0].Name, snap.Renditions[0].Last())
		}
	}
}

func TestChangedConfigurationOfOneOfSeveralTracks(t *testing.T) {
	onStage(t, func(s *stage) {
		e := ensemble{videos: make([]pictures, 2), units: []int64{1024, 960}}
		tracks := e.tracks()
		p := s.publish(1, nil)
		s.tracks(p, tracks...)
		s.playAll(p, 0, 5*time.Second, true)
		sps := slices.Clone(testSPS)
		sps[3] = 31
		tracks[1].Config = videoTrackOf(sps).Config
		s.tracks(p, tracks...)
		s.playAll(p, 5*time.Second, 10*time.Second, true)
		snap := s.newest()
		if len(snap.Takes) != 2 || snap.Takes[1].Tracks[1].CodecString != "avc1.64001f" || snap.Renditions[1].Segments[4].Gap {
			t.Errorf("%d takes, %+v", len(snap.Takes), snap.Takes[len(snap.Takes)-1].Tracks[1])
		}
		// A label alone is no reason for another take, a track less is one for another recording.
		tracks[2].Label = "Commentary"
		s.tracks(p, tracks...)
		s.playAll(p, 10*time.Second, 13*time.Second, true)
		if n := len(s.newest().Takes); n != 2 {
			t.Errorf("%d takes", n)
		}
		first := s.show().ID()
		s.tracks(p, tracks[:2]...)
		src := &source{fps: 30, gop: 30, audio: -1, start: 13 * time.Second}
		s.play(p, src, 5*time.Second)
		if s.show().ID() == first {
			t.Error("the same recording")
		}
		s.close(p, true)
	})
}

func TestSoundWithoutSilenceIsRepeated(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		ac3 := media.Track{Name: "audio", Kind: media.Audio, Codec: media.AC3, Config: []byte{0x10, 0x3d, 0xe0}}
		s.tracks(p, videoTrack(), ac3)
		src := &source{fps: 30, gop: 30, audio: -1}
		s.write(p)(audioFrame(1, 0))
		s.play(p, src, 6*time.Second)
		if p.Repairs()["audio"]["repeat"] == 0 {
			t.Errorf("%v", p.Repairs())
		}
		// Nothing can stand for sound of which nothing has come: it is waited for, and then it is another show.
		s.close(p, false)
		first := s.show().ID()
		p = s.publish(2, nil)
		s.tracks(p, videoTrack(), ac3)
		s.play(p, src, 6*time.Second)
		if snap := s.newest(); len(snap.Renditions) != 1 || s.show().ID() == first {
			t.Errorf("%d renditions in %s", len(snap.Renditions), s.show().ID())
		}
		s.close(p, true)
	})
}

func TestLeadingPicturesAreDroppedBehindATakesBeginOnly(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack())
		for i := range 150 {
			f := videoFrame(ms(time.Duration(i)*time.Second/30), i%30 == 0)
			f.Leading = i%30 == 1 || i%30 == 2
			s.write(p)(f)
			s.wait(33 * time.Millisecond)
		}
		if got := p.Repairs()["video"]["leading"]; got != 2 {
			t.Errorf("%d leading pictures were dropped", got)
		}
		show := s.show()
		s.close(p, true)
		file, err := os.ReadFile(s.file(show, 1, "video"))
		if err != nil {
			t.Fatal(err)
		}
		leading := bytes.Count(file, []byte{5, 1, 0, 0}) // sample flags
		if leading != 8 {
			t.Errorf("%d samples are marked", leading)
		}
	})
}
