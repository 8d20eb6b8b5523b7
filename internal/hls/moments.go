package hls

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Moments gives the times of day that a clip's bounds are, zero for a bound that it has not, or while there is no
// segment to count from. Playlists are made of whole segments; who cuts within them needs the moments.
func (s *Snapshot) Moments(c Clip) (start, end time.Time) {
	x, ok := s.axis()
	if !ok {
		return start, end
	}
	if c.Start.from != fromNothing {
		start = c.Start.at(x.begin, x.edge)
	}
	if c.End.from != fromNothing {
		end = c.End.at(x.begin, x.edge)
	}
	return start, end
}

// MediaTime gives a moment as decode times count, within a segment of the first rendition: one before or behind the
// segment is its begin or end.
func (s *Snapshot) MediaTime(msn media.MSN, at time.Time) time.Duration {
	if len(s.Renditions) == 0 {
		return 0
	}
	seg, ok := s.Renditions[0].Segment(msn)
	if !ok {
		return 0
	}
	timescale := max(s.timescale(seg.Take, s.Renditions[0].Name), 1)
	begin, end := media.Duration(seg.DTS, timescale), media.Duration(seg.DTS+seg.Duration, timescale)
	// Dates are cut to the millisecond: what is nearer to the end than that is the end.
	offset := at.Sub(seg.Date)
	if begin+offset > end-time.Millisecond {
		return end
	}
	return begin + max(offset, 0)
}
