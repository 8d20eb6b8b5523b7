package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// rateMeter measures what playlists tell of bit rates (MV-1, MV-6). What it tells changes in steps of two to five
// percent, so that a multivariant playlist is not another one with each segment; the peak never falls.
type rateMeter struct {
	hls.Rate
	msn     media.MSN // how many segments are counted
	peak    int64     // told last
	average int64
}

func newRateMeter(target time.Duration) rateMeter { return rateMeter{Rate: hls.Rate{Target: target}} }

// tell gives the peak and the average. The average told is 100 to 115 % of the one measured: a step is left only when
// the average is above it, or well below (MV-14).
func (m *rateMeter) tell() (peak, average int64) {
	now := m.Average()
	if now > m.average || now < m.average*87/100 {
		m.average = roundUp(now)
	}
	m.peak = max(m.peak, roundUp(max(m.Peak(), now)), m.average)
	return m.peak, m.average
}

// roundUp gives the next step: 1, 2 or 5 by a power of ten, at least a fiftieth of the rate.
func roundUp(rate int64) int64 {
	const least = 1000
	for step := int64(least); ; step *= 10 {
		for _, n := range []int64{1, 2, 5} {
			if s := step * n; s >= rate/50 {
				return (rate + s - 1) / s * s
			}
		}
	}
}

// measure takes the MSNs that all renditions have finished into the bit rates (MV-1).
func (s *Show) measure() {
	done := s.renditions[0].last()
	for _, r := range s.renditions {
		done = min(done, r.last())
	}
	for ; s.rate.msn < done; s.rate.msn++ {
		var bytes int64
		first := s.measured(s.rate.msn)
		lead := &first.segments[s.rate.msn]
		length := media.Duration(lead.Duration, s.timescale(lead.Take, first.name))
		for _, r := range s.renditions {
			seg := &r.segments[s.rate.msn]
			bytes += seg.Size
			r.measure(seg, length, s.timescale(seg.Take, r.name))
		}
		if lead.Gap {
			s.rate.Gap()
		} else {
			s.rate.Add(bytes, length)
		}
	}
}

// measure takes one segment into the rendition's rates. Its length is the first rendition's.
func (r *rendition) measure(seg *media.Segment, length time.Duration, timescale int64) {
	if seg.Gap {
		r.rate.Gap()
		r.iframes.Gap()
		return
	}
	r.rate.Add(seg.Size, length)
	r.iframes.AddIFrames(seg, timescale)
}

// measured is the rendition whose segment, at an index, tells how long all of them are: the first that has media there.
func (s *Show) measured(at media.MSN) *rendition {
	for _, r := range s.renditions {
		if !r.segments[at].Gap {
			return r
		}
	}
	return s.renditions[0]
}
