package hls

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Stored makes the snapshot of a recording from what storage has of it: all segments whole. The renditions have Name
// and Segments set.
func Stored(
	state media.State, c media.Constants, window time.Duration, takes []media.Take, renditions []Rendition,
) *Snapshot {
	s := &Snapshot{
		State: state, Constants: c, Window: window, Takes: takes, Renditions: renditions, Independent: true,
	}
	for i := range renditions {
		for j := range renditions[i].Segments {
			seg := &renditions[i].Segments[j]
			s.Independent = s.Independent && (seg.Sync || seg.Gap)
		}
	}
	s.Measure()
	return s
}

// Measure sets the snapshot's bandwidths from its segments: the peak is the sum of the renditions' peaks, which no
// combination exceeds (MV-1, MV-6).
func (s *Snapshot) Measure() {
	s.Bandwidth, s.AverageBandwidth = 0, 0
	for i := range s.Renditions {
		r := &s.Renditions[i]
		rate, iframes := Rate{Target: s.Constants.TargetDuration}, Rate{Target: s.Constants.TargetDuration}
		for j := range r.Segments {
			seg := &r.Segments[j]
			if seg.Gap {
				rate.Gap()
				iframes.Gap()
				continue
			}
			timescale := max(s.timescale(seg.Take, r.Name), 1)
			rate.Add(seg.Size, media.Duration(seg.Duration, timescale))
			iframes.AddIFrames(seg, timescale)
		}
		r.Bandwidth, r.AverageBandwidth = rate.Peak(), rate.Average()
		r.IFrameBandwidth, r.IFrameAverageBandwidth = iframes.Peak(), iframes.Average()
		s.Bandwidth += r.Bandwidth
		s.AverageBandwidth += r.AverageBandwidth
	}
}
