package packager

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// world is a random publisher.
type world struct {
	fps                     float64
	gop                     int // frames
	jitter                  time.Duration
	irregular, drops, audio bool
	lag                     time.Duration // of audio behind video in the interleaving; negative is ahead
	settings                media.Settings
	rng                     *rand.Rand
}

func drawWorld(t *rapid.T) world {
	w := world{
		fps:       rapid.SampledFrom([]float64{5, 6, 7, 10, 12, 15, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 120}).Draw(t, "fps"),
		jitter:    time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 4, 12}).Draw(t, "jitter")) * time.Millisecond,
		irregular: rapid.Bool().Draw(t, "irregular"),
		drops:     rapid.Bool().Draw(t, "drops"),
		audio:     rapid.Bool().Draw(t, "audio"),
		lag:       time.Duration(rapid.IntRange(-600, 600).Draw(t, "lag")) * time.Millisecond,
		rng:       rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)),
		settings:  media.DefaultSettings(),
	}
	w.gop = max(1, int(w.fps*rapid.SampledFrom([]float64{0.1, 0.3, 0.5, 1, 1, 1, 1.7, 2, 2, 3.3, 5, 11}).Draw(t, "gop")))
	w.settings.PartDuration = media.Span(time.Duration(rapid.SampledFrom([]int{200, 333, 500, 500, 1000}).Draw(t, "part")) * time.Millisecond)
	w.settings.SegmentDuration = media.Span(time.Duration(rapid.SampledFrom([]int{1, 2, 2, 6}).Draw(t, "segment")) * time.Second)
	if rapid.IntRange(0, 9).Draw(t, "latency") == 0 {
		w.settings.Latency = media.LatencyStandard
	}
	return w
}

// frames makes d of the publisher's frames in the order of arrival.
func (w *world) frames(d time.Duration) []*media.Frame {
	type arrival struct {
		at time.Duration
		f  *media.Frame
	}
	var all []arrival
	next, i := 0, 0
	for at := time.Duration(0); at < d; i++ {
		at = time.Duration(float64(i) / w.fps * float64(time.Second))
		idr := i == next
		if idr {
			next = i + w.gop
			if w.irregular && w.rng.IntN(3) == 0 {
				next = i + 1 + w.rng.IntN(2*w.gop)
			}
		} else if w.drops && w.rng.IntN(40) == 0 {
			continue
		}
		if w.jitter > 0 {
			at += time.Duration(w.rng.Int64N(int64(w.jitter)))
		}
		all = append(all, arrival{at, videoFrame(ms(at), idr)})
	}
	for i := 0; w.audio; i++ {
		at := time.Duration(i) * 1024 * time.Second / 48000
		if at >= d {
			break
		}
		all = append(all, arrival{at + w.lag, audioFrame(1, ms(at))})
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	frames := make([]*media.Frame, len(all))
	for i := range all {
		frames[i] = all[i].f
	}
	return frames
}

// Whole takes with random publishers: every rule that the segmenter and the muxer obey holds, on every version and on
// the recorded bytes: PRT-2, -3, -5, -9, -11, -14, TD-2, TD-3, CMF-5, -6, -18, -23, SEQ-1, -2, -4, IFR-1.
func TestCMF5_CMF6_CMF18_CMF23_SEQ1_SEQ2_SEQ4_PRT2_PRT3_TD2_HoldForAnyPublisher(t *testing.T) {
	st := mustStudio(t, t.TempDir())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		n++
		path := media.StreamPath{Publisher: "acme", Stream: fmt.Sprintf("s%d", n)}
		p, err := st.Publish(t.Context(), media.Stream{Path: path, Settings: w.settings}, 1)
		if err != nil {
			rt.Fatal(err)
		}
		tracks := []media.Track{videoTrack()}
		if w.audio {
			tracks = append(tracks, audioTrack())
		}
		if err := p.SetTracks(tracks); err != nil {
			rt.Fatal(err)
		}
		var before *hls.Snapshot
		var show *Show
		look := func() {
			if show == nil {
				id, ok := st.Current(path)
				if !ok {
					return
				}
				show, _ = st.Show(path, id)
			}
			snap, _ := show.Snapshot()
			if snap == before {
				return
			}
			checkSnapshot(rt, snap)
			checkGrowth(rt, before, snap)
			before = snap
		}
		for _, f := range w.frames(25 * time.Second) {
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
		if len(before.Takes) > 1 {
			rt.Fatalf("%d takes", len(before.Takes))
		}
		checkAlignment(rt, before)
		for i := range before.Renditions {
			checkFile(rt, st.file(show, 1, before.Renditions[i].Name), before, i)
		}
	})
}

// checkGrowth says that the new version only appends (SEQ-1, SEQ-2, SEQ-4, TD-3).
func checkGrowth(tb rapid.TB, old, snap *hls.Snapshot) {
	if old == nil {
		return
	}
	if old.Constants != snap.Constants {
		tb.Fatalf("TD-3: constants were %+v, are %+v", old.Constants, snap.Constants)
	}
	for i := range old.Renditions {
		a, b := &old.Renditions[i], &snap.Renditions[i]
		if len(b.Segments) < len(a.Segments) || !slices.EqualFunc(a.Segments, b.Segments[:len(a.Segments)], unchanged) {
			tb.Fatalf("SEQ-2: %s: listed segments changed", a.Name)
		}
		if a.Open == nil || len(a.Open.Parts) == 0 {
			continue
		}
		parts := b.SegmentParts(a.Open.MSN)
		if b.Open != nil && b.Open.MSN == a.Open.MSN {
			parts = b.Open.Parts
		} else if len(parts) == 0 {
			continue // the segment is listed whole after all
		}
		if len(parts) < len(a.Open.Parts) || !slices.Equal(a.Open.Parts, parts[:len(a.Open.Parts)]) {
			tb.Fatalf("SEQ-4: %s: listed parts of %d changed", a.Name, a.Open.MSN)
		}
	}
}

// unchanged says that a listed segment stays what it is; where it is on storage may be known later.
func unchanged(a, b media.Segment) bool {
	if a.Offset < 0 {
		a.Offset = b.Offset
	}
	return reflect.DeepEqual(a, b)
}

// checkAlignment says that all tracks have the same MSNs, and audio begins within a unit behind video (CMF-23).
func checkAlignment(tb rapid.TB, snap *hls.Snapshot) {
	v := snap.Renditions[0].Segments
	for i := range snap.Renditions[1:] {
		a := snap.Renditions[1+i].Segments
		if len(a) != len(v) {
			tb.Fatalf("%d segments of video, %d of audio", len(v), len(a))
		}
		for j := range v {
			d := media.Duration(a[j].DTS, 48000) - media.Duration(v[j].DTS, 90000)
			if d < -time.Microsecond*20 || d > 1024*time.Second/48000 {
				tb.Fatalf("CMF-23: audio segment %d begins %v after video's", a[j].MSN, d)
			}
		}
	}
}

// checkFile reads a track file's fragments back and compares them with what was listed.
func checkFile(tb rapid.TB, file string, snap *hls.Snapshot, rendition int) {
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(b); err != nil {
		tb.Fatal(err)
	}
	r := &snap.Renditions[rendition]
	rule := newRules(snap.Constants, timescaleOf(snap, 1, r.Name), 0)
	var dts, into int64
	var segment media.MSN
	var sequence uint32
	for _, part := range parts {
		if part.SequenceNumber <= sequence {
			tb.Fatalf("CMF-6: sequence number %d after %d", part.SequenceNumber, sequence)
		}
		sequence = part.SequenceNumber
		msn, index := reclog.SplitSequenceNumber(sequence)
		seg, ok := r.Segment(msn)
		if !ok {
			tb.Fatalf("part of segment %d, which is not listed", msn)
		}
		track := part.Tracks[0]
		if msn != segment {
			if int64(track.BaseTime) != seg.DTS || index != 0 || seg.Sync == track.Samples[0].IsNonSyncSample {
				tb.Fatalf("segment %d: dts %d sync %v, first sample %d non-sync %v", msn, seg.DTS, seg.Sync, track.BaseTime,
					track.Samples[0].IsNonSyncSample)
			}
			for _, gap := range r.Segments[segment : msn-1] { // the file has nothing of gaps
				dts += gap.Duration
			}
			segment, into = msn, 0
		}
		if dts != 0 && int64(track.BaseTime) != dts {
			tb.Fatalf("CMF-5: part %d.%d begins at %d, the one before ends at %d", msn, index, track.BaseTime, dts)
		}
		dts = int64(track.BaseTime)
		idr := false
		for k, s := range track.Samples {
			if !s.IsNonSyncSample {
				// Inside a part an IDR is alone where a segment there would be too short, or after one at the part's begin.
				// Tracks that follow can't end a segment for it.
				if rendition == 0 && k > 0 && track.Samples[0].IsNonSyncSample && into >= rule.early {
					tb.Fatalf("PRT-14: IDR is sample %d of part %d.%d, %d ticks into the segment", k, msn, index, into)
				}
				idr = true
			}
			if s.Duration == 0 || len(s.Payload) == 0 {
				tb.Fatalf("CMF-18: part %d.%d has an empty sample", msn, index)
			}
			dts += int64(s.Duration)
			into += int64(s.Duration)
		}
		if listed := r.SegmentParts(msn); len(listed) > 0 && listed[index].Independent != idr {
			tb.Fatalf("PRT-9: part %d.%d is independent %v, has an IDR %v", msn, index, listed[index].Independent, idr)
		}
	}
	if tr, _ := snap.Takes[0].Track(r.Name); tr.Kind != media.Video {
		return
	}
	produced := readTrack(tb, file).parts
	for i := range r.Segments {
		// What the index says is what the file has, so that recovery comes to the same.
		if want := iframesOf(produced, r.Segments[i]); !slices.Equal(want, r.Segments[i].IFrames) {
			tb.Fatalf("IFR-1: segment %d: I-frames %+v, the file has %+v", i+1, r.Segments[i].IFrames, want)
		}
	}
}
