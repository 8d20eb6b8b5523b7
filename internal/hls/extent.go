package hls

import (
	"fmt"
	"sort"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Extent is a clip as a recording has it.
type Extent struct {
	// From and To are a Playlist's: the first and last segment, zero where the clip is not bounded.
	From, To media.MSN
	// Clip is the clip by times of day: what URLs in a multivariant playlist say, so that all renditions, and all
	// reloads, mean the same segments. A bound before the edge is moved to its segment's, so that viewers who ask within
	// a segment's time share URLs.
	Clip Clip
	// Offset is where the start lies in its segment.
	Offset time.Duration
}

// Resolve finds the clip's segments. Segments are looked up by the dates of the first rendition, and hold for all:
// renditions have the same MSNs at the same time. A bound that a growing recording reaches within three target
// durations is waited for; one beyond that, and a clip without media, is an ErrInvalid that tells what there is.
//
// What it finds stays: a clip by times of day means the same segments in every later snapshot.
func (s *Snapshot) Resolve(c Clip) (Extent, Decision, error) {
	var e Extent
	if c == (Clip{}) {
		return e, Serve, nil
	}
	x, ok := s.axis()
	if !ok {
		if s.State.Growing() {
			return e, Wait, nil
		}
		return e, Serve, fmt.Errorf("%w: nothing was recorded", media.ErrInvalid)
	}
	start, end := c.Start.at(x.begin, x.edge), c.End.at(x.begin, x.edge)
	hasStart, hasEnd := c.Start.from != fromNothing, c.End.from != fromNothing
	if hasStart && hasEnd && !start.Before(end) {
		return e, Serve, fmt.Errorf("%w: end, %s, is not after start, %s", media.ErrInvalid, show(end), show(start))
	}
	var decision Decision
	var err error
	first, last := 0, len(x.segments)-1
	if hasStart {
		if first, decision, err = x.first(start); decision != Serve || err != nil {
			return e, decision, err
		}
	}
	if hasEnd {
		if last, decision, err = x.last(end); decision != Serve || err != nil {
			return e, decision, err
		}
	}
	if hasEnd || s.archived() { // the playlist is a finished one
		for first <= last && !x.lists(first) {
			first++
		}
		for first <= last && !x.lists(last) {
			last--
		}
		if last < first {
			return e, Serve, fmt.Errorf("%w: nothing was recorded there; the recording is from %s to %s",
				media.ErrInvalid, show(x.begin), show(x.edge))
		}
	}
	if hasStart {
		e.setStart(x.segments[first], start, c.Start.from == fromEdge)
	}
	if hasEnd {
		e.To = x.segments[last].MSN
		e.Clip.End = epoch(x.endOf(last))
	}
	return e, Serve, nil
}

// lists says that a finished playlist lists a segment, and may begin with it.
func (x *axis) lists(i int) bool { return !x.segments[i].Filler && !x.segments[i].Gap }

func (e *Extent) setStart(seg media.Segment, start time.Time, relative bool) {
	e.From = seg.MSN
	e.Clip.Start = epoch(seg.Date)
	if offset := start.Sub(seg.Date).Truncate(time.Millisecond); offset > 0 && !relative {
		e.Offset = offset
		e.Clip.Start = epoch(start)
	}
}

// appendStart writes EXT-X-START: that players begin where the clip does, and not at the live edge or at the begin of
// the segment. Playlists of media alone have it: those of I-frames may begin elsewhere, and libavformat 5.1 takes a
// multivariant playlist with it for a variant of itself.
func (p *Playlist) appendStart(dst []byte) []byte {
	if p.From == 0 || p.Form != Media {
		return dst
	}
	dst = append(dst, "#EXT-X-START:TIME-OFFSET="...)
	dst = appendDecimal(dst, p.Offset.Milliseconds(), 1e3)
	return append(dst, ",PRECISE=YES\n"...)
}

func show(t time.Time) string { return t.UTC().Format(dateFormat) }

// axis is a recording's time by its first rendition: the segments that every rendition has.
type axis struct {
	segments    []media.Segment
	timescale   func(i int) int64
	begin, edge time.Time
	growing     bool
	target      time.Duration
}

func (s *Snapshot) axis() (axis, bool) {
	if len(s.Renditions) == 0 {
		return axis{}, false
	}
	lead := &s.Renditions[0]
	n := len(lead.Segments)
	for i := range s.Renditions {
		n = min(n, len(s.Renditions[i].Segments))
	}
	if n == 0 {
		return axis{}, false
	}
	x := axis{segments: lead.Segments[:n], growing: s.State.Growing(), target: s.Constants.TargetDuration}
	x.timescale = func(i int) int64 { return s.timescale(x.segments[i].Take, lead.Name) }
	x.begin, x.edge = x.segments[0].Date, x.endOf(n-1)
	return x, true
}

// endOf gives a segment's end, never later than the next one's begin: dates are whole milliseconds, cut off.
func (x *axis) endOf(i int) time.Time {
	seg := &x.segments[i]
	return seg.Date.Add(media.Duration(seg.Duration, max(x.timescale(i), 1)).Truncate(time.Millisecond))
}

// first finds the segment that holds a clip's start, or the first one with media behind that (GAP-1).
func (x *axis) first(start time.Time) (int, Decision, error) {
	n := len(x.segments)
	i := max(sort.Search(n, func(i int) bool { return x.segments[i].Date.After(start) })-1, 0)
	if i == n-1 && !start.Before(x.edge) {
		i = n
	} else if i+1 < n && !start.Before(x.endOf(i)) {
		i++ // between two takes
	}
	for i < n && x.segments[i].Gap {
		i++
	}
	if i < n {
		return i, Serve, nil
	}
	return 0, x.reaches(start), x.ahead("start", start)
}

// last finds the segment that holds the moment before a clip's end, or the last one with media before that. The end of
// what has ended is its last segment.
func (x *axis) last(end time.Time) (int, Decision, error) {
	if x.growing && end.After(x.edge) {
		return 0, x.reaches(end), x.ahead("end", end)
	}
	n := len(x.segments)
	i := sort.Search(n, func(i int) bool { return !x.segments[i].Date.Before(end) }) - 1
	for i >= 0 && x.segments[i].Gap {
		i--
	}
	if i < 0 {
		return 0, Serve, fmt.Errorf("%w: nothing was recorded before end, %s; the recording begins at %s",
			media.ErrInvalid, show(end), show(x.begin))
	}
	return i, Serve, nil
}

// reaches says whether it is worth waiting for a moment ahead of the edge.
func (x *axis) reaches(t time.Time) Decision {
	if x.growing && t.Sub(x.edge) <= 3*x.target {
		return Wait
	}
	return Serve
}

// ahead is the error of a bound that is not worth waiting for; nil if it is.
func (x *axis) ahead(name string, t time.Time) error {
	switch {
	case x.reaches(t) == Wait:
		return nil
	case x.growing:
		return fmt.Errorf("%w: %s, %s, is ahead of the live edge, %s", media.ErrInvalid, name, show(t), show(x.edge))
	}
	return fmt.Errorf("%w: %s, %s, is behind the recording's last media; it ends at %s",
		media.ErrInvalid, name, show(t), show(x.edge))
}
