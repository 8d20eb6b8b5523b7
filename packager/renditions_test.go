package packager

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// TestRR3_SEQ12_SEQ7_RenditionsAdvanceTogether looks at a show every 40 ms: sound and picture are never further apart
// than a part, their segments of one number begin within a unit of sound, and parts come in time.
func TestRR3_SEQ12_SEQ7_RenditionsAdvanceTogether(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		var edge time.Duration
		moved := time.Now()
		for range 250 {
			s.play(p, src, 40*time.Millisecond)
			snap := s.newest()
			video, audio := reached(snap, 0), reached(snap, 1)
			if apart := (video - audio).Abs(); apart > snap.Constants.PartTarget {
				t.Fatalf("RR-3: %v apart", apart)
			}
			if video > edge {
				edge, moved = video, time.Now()
			}
			// A part is known to be whole when the next one's first frame is there.
			if still := time.Since(moved); still > snap.Constants.PartTarget+100*time.Millisecond {
				t.Fatalf("SEQ-7: no part for %v", still)
			}
			last := min(snap.Renditions[0].Last(), snap.Renditions[1].Last())
			v, _ := snap.Renditions[0].Segment(last)
			a, _ := snap.Renditions[1].Segment(last)
			if off := media.Duration(v.DTS, videoTimescale) - media.Duration(a.DTS, 48000); off.Abs() > 22*time.Millisecond {
				t.Fatalf("SEQ-12: segments %d begin %v apart", last, off)
			}
		}
		s.close(p, true)
	})
}

// reached is the media time up to which a rendition is listed.
func reached(snap *hls.Snapshot, index int) time.Duration {
	r := &snap.Renditions[index]
	timescale := timescaleOf(snap, 1, r.Name)
	seg := &r.Segments[len(r.Segments)-1]
	end := seg.DTS + seg.Duration
	if r.Open != nil {
		for i := range r.Open.Parts {
			end += r.Open.Parts[i].Duration
		}
	}
	return media.Duration(end, timescale)
}

func TestGAP1_FillersHavePartsUnlessPlayersAreOld(t *testing.T) {
	for _, old := range []bool{false, true} {
		onStage(t, func(s *stage) {
			p := s.publish(1, func(settings *media.Settings) { settings.WholeAfterDiscontinuity = old })
			s.tracks(p, videoTrack(), audioTrack())
			s.play(p, &source{fps: 30, gop: 30}, 6*time.Second)
			s.close(p, false)
			s.wait(5 * time.Second)
			snap := s.newest()
			for i := range snap.Renditions {
				r := &snap.Renditions[i]
				seg, _ := r.Segment(r.Last())
				parts := r.SegmentParts(r.Last())
				if !seg.Filler || len(parts) > 0 == old {
					t.Errorf("%s: old players: %t, filler: %t, %d parts", r.Name, old, seg.Filler, len(parts))
				}
			}
		})
	}
}

// TestSEQ7_PartsEndWithTheirLastFrame: where frames come evenly, a part is listed with its last frame, and not with the
// one behind it. Stamps of whole milliseconds are even enough.
func TestSEQ7_PartsEndWithTheirLastFrame(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		ended := 0
		for written := src.video; ended < 20; written = src.video {
			s.play(p, src, 20*time.Millisecond)
			if src.video == written || src.video%15 > 0 {
				continue
			}
			ended++
			want := time.Duration(src.video) * time.Second / 30
			if off := reached(s.newest(), 0) - want; off.Abs() > 2*time.Millisecond {
				t.Fatalf("after %d frames the video is listed up to %v, want %v", src.video, want+off, want)
			}
		}
		s.close(p, true)
	})
}
