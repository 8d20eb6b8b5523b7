package hls

import (
	"fmt"
	"sort"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// minWindow is the least number of segments that a sliding playlist lists, once there are so many (SEQ-8).
const minWindow = 6

// Check says what of the snapshot breaks the form that rendering relies on: MSNs without a gap, from the same
// one on in all renditions, segments and open segments of takes that the snapshot names, a timescale for each. Its
// error is an ErrCorrupt.
func (s *Snapshot) Check() error {
	if s.Constants.TargetDuration < time.Second {
		return fmt.Errorf("%w: target duration %s", media.ErrCorrupt, s.Constants.TargetDuration)
	}
	for i := range s.Renditions {
		r := &s.Renditions[i]
		if len(r.Parts) > len(r.Segments) {
			return fmt.Errorf("%w: %s: parts of %d segments of %d", media.ErrCorrupt, r.Name, len(r.Parts), len(r.Segments))
		}
		if first := r.First(); first < 1 || len(r.Segments) > 0 && first != s.Renditions[0].First() {
			return fmt.Errorf("%w: %s: the first msn is %d", media.ErrCorrupt, r.Name, first)
		}
		take := 0
		for j := range r.Segments {
			seg := &r.Segments[j]
			if seg.MSN != r.First()+media.MSN(j) {
				return fmt.Errorf("%w: %s: segment %d has msn %d", media.ErrCorrupt, r.Name, j+1, seg.MSN)
			}
			if seg.Take == take {
				continue
			}
			if seg.Take < take || s.timescale(seg.Take, r.Name) == 0 {
				return fmt.Errorf("%w: %s: segment %d is of take %d, which is unknown", media.ErrCorrupt, r.Name, seg.MSN, seg.Take)
			}
			take = seg.Take
		}
		if r.Open != nil && (r.Open.MSN != r.Last()+1 || s.timescale(r.Open.Take, r.Name) == 0) {
			return fmt.Errorf("%w: %s: open segment %d of take %d", media.ErrCorrupt, r.Name, r.Open.MSN, r.Open.Take)
		}
	}
	return nil
}

// First is the MSN of the first segment: 1, but in a recording that is a clip of another.
func (r *Rendition) First() media.MSN {
	if len(r.Segments) == 0 {
		return 1
	}
	return r.Segments[0].MSN
}

// Last is the MSN of the last finished segment, zero if there is none.
func (r *Rendition) Last() media.MSN { return r.First() - 1 + media.MSN(len(r.Segments)) }

// index gives the place of a segment by its MSN, which need not be there.
func (r *Rendition) index(msn media.MSN) int { return int(msn - r.First()) }

// Segment gives the finished segment of that number.
func (r *Rendition) Segment(msn media.MSN) (*media.Segment, bool) {
	i := r.index(msn)
	if i < 0 || i >= len(r.Segments) {
		return nil, false
	}
	return &r.Segments[i], true
}

// SegmentParts gives the known parts of a finished segment; none if it is listed whole or has left the live edge.
func (r *Rendition) SegmentParts(msn media.MSN) []media.Part {
	i := r.index(msn) - (len(r.Segments) - len(r.Parts))
	if i < 0 || i >= len(r.Parts) {
		return nil
	}
	return r.Parts[i]
}

// openParts gives the open segment's parts that are listed.
func (s *Snapshot) openParts(r *Rendition) []media.Part {
	if r.Open == nil || r.Open.Whole || s.Constants.PartTarget == 0 {
		return nil
	}
	return r.Open.Parts
}

// Hint says which part the playlists of rendition r hint at (HNT-1). A request for it waits; one for any other that is
// not listed does not (HNT-7).
func (s *Snapshot) Hint(r int) (msn media.MSN, part int, ok bool) {
	open := s.Renditions[r].Open
	if !s.State.Growing() || s.Constants.PartTarget == 0 || open == nil || open.Whole {
		return 0, 0, false
	}
	if open.Full {
		return open.MSN + 1, 0, true
	}
	return open.MSN, len(open.Parts), true
}

// timescale gives that of a take's track, zero if the snapshot does not name it.
func (s *Snapshot) timescale(take int, track string) int64 {
	for i := len(s.Takes) - 1; i >= 0; i-- {
		if s.Takes[i].Number == take {
			tr, _ := s.Takes[i].Track(track)
			return max(tr.Timescale, 0)
		}
	}
	return 0
}

// first gives the index of the first entry that a playlist lists.
//
// A sliding one keeps Window, three target durations (SEQ-5) and six entries (SEQ-8), and begins with one that is no
// gap (GAP-1): the last one before the window would begin. Each step never goes back as entries are appended, so
// MEDIA-SEQUENCE does not either (SEQ-1). A clip begins with the segment that is asked for, or for the same reason with
// the last one before it that is no gap.
func (s *Snapshot) first(p Playlist, v *view) int {
	n := len(v.marks)
	if p.Kind == Whole {
		start := 0
		if at := s.Renditions[p.Rendition].index(p.From); at > 0 {
			start = v.find(at)
		}
		for i := start; i >= 0 && i < n; i-- {
			if !v.marks[i].gap {
				return i
			}
		}
		return start
	}
	if n <= minWindow && s.First <= 1 {
		return 0
	}
	least := v.end() - max(s.Window, 3*s.Constants.TargetDuration)
	// The first segment that ends after the window begins holds the window's begin.
	start := sort.Search(n, func(i int) bool { return v.marks[i].end > least })
	start = min(start, n-minWindow)
	if s.First > 1 {
		start = min(max(start, v.find(int(s.First)-1)), n-1) // the window became longer since
	}
	for i := start; i >= 0; i-- {
		if !v.marks[i].gap {
			return i
		}
	}
	for i := start; i < n; i++ {
		if !v.marks[i].gap {
			return i
		}
	}
	return 0
}

// skippable counts the entries of a playlist beginning with first that a delta update leaves out: those that end
// before the skip boundary, counted from the end of the last finished segment (DLT-3).
func (s *Snapshot) skippable(first int, v *view) int {
	until := s.canSkipUntil()
	if !s.State.Growing() || until == 0 {
		return 0
	}
	boundary := v.end() - until
	return sort.Search(len(v.marks)-first, func(i int) bool { return v.marks[first+i].end > boundary })
}

// withParts gives the index of the first segment whose parts are listed: every one that reaches into the last three
// target durations, which no part is more than four from (PRT-7).
func (s *Snapshot) withParts(r *Rendition, v *view, first int) int {
	n := len(v.marks)
	if s.Constants.PartTarget == 0 {
		return n
	}
	edge := v.end()
	if open := s.openParts(r); len(open) > 0 {
		timescale := s.timescale(r.Open.Take, r.Name)
		for i := range open {
			edge += media.Duration(open[i].Duration, timescale)
		}
	}
	horizon := edge - 3*s.Constants.TargetDuration
	from := max(first, n-len(r.Parts))
	for n > from && v.marks[n-1].end > horizon {
		n--
	}
	return n
}

// canSkipUntil is the skip boundary, six target durations at least (SC-5); zero offers no delta updates.
func (s *Snapshot) canSkipUntil() time.Duration {
	if s.Constants.CanSkipUntil <= 0 {
		return 0
	}
	return max(s.Constants.CanSkipUntil, 6*s.Constants.TargetDuration)
}
