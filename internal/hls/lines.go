package hls

import (
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Lines is the append-only cache of one rendition's finished segments as text, for one kind of playlist. Each segment
// is formatted once in the life of the cache; a render copies. It is safe for concurrent use, by versions of one
// recording.
type Lines struct {
	base  string
	track string

	mu    sync.Mutex
	text  []byte
	marks []mark
}

// mark says where a segment's lines are: its head (DISCONTINUITY, MAP, PROGRAM-DATE-TIME, GAP) from start, its tail
// (EXTINF, URI) from tail up to the next one's start. EXT-X-PARTs go between them.
type mark struct {
	start int
	tail  int
	// end is the time from the first segment's start to this one's end.
	end time.Duration
	// breaks counts the discontinuities up to this segment, its own included.
	breaks int
}

// NewLines makes an empty cache for the named track's playlist of that kind.
func NewLines(track string, kind Kind) *Lines {
	return &Lines{base: kind.base(), track: track}
}

// view is what one version sees of the cache: it stays as it is while the cache grows behind it.
type view struct {
	text  []byte
	marks []mark
}

// view formats the segments that are new and gives the text of those that the rendition has.
func (l *Lines) view(s *Snapshot, r *Rendition) view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := len(l.marks); have == 0 && len(r.Segments) > 0 {
		// About what a segment takes; one allocation serves a finished recording.
		l.text = make([]byte, 0, 112*len(r.Segments)+256)
		l.marks = make([]mark, 0, len(r.Segments)+8)
	}
	for i := len(l.marks); i < len(r.Segments); i++ {
		l.add(s, r, i)
	}
	n := len(r.Segments)
	v := view{text: l.text, marks: l.marks[:n:n]}
	if n < len(l.marks) {
		v.text = l.text[:l.marks[n].start]
	}
	return v
}

func (l *Lines) add(s *Snapshot, r *Rendition, i int) {
	seg := &r.Segments[i]
	m := mark{start: len(l.text)}
	if i > 0 {
		m.end, m.breaks = l.marks[i-1].end, l.marks[i-1].breaks
	}
	switch {
	case i == 0:
		l.text = appendMap(l.text, l.base, seg.Take, l.track)
	case seg.Take != r.Segments[i-1].Take:
		m.breaks++
		l.text = append(l.text, "#EXT-X-DISCONTINUITY\n"...)
		l.text = appendMap(l.text, l.base, seg.Take, l.track)
	}
	timescale := s.timescale(seg.Take, l.track)
	l.text = appendDate(l.text, seg.Date)
	if seg.Gap {
		l.text = append(l.text, "#EXT-X-GAP\n"...)
	}
	m.tail = len(l.text)
	l.text = appendInf(l.text, seg, timescale)
	l.text = appendSegmentURI(l.text, l.base, seg.Take, l.track, seg.MSN)
	l.text = append(l.text, '\n')
	m.end += media.Duration(seg.Duration, timescale)
	l.marks = append(l.marks, m)
}

// head gives the lines of segment i up to its parts, tail those behind them.
func (v *view) head(i int) []byte { return v.text[v.marks[i].start:v.marks[i].tail] }

func (v *view) tail(i int) []byte { return v.text[v.marks[i].tail:v.start(i+1)] }

// start gives the offset of segment i's lines; that behind the last is the end of the text.
func (v *view) start(i int) int {
	if i < len(v.marks) {
		return v.marks[i].start
	}
	return len(v.text)
}

// begin is the time at which segment i begins, end at which it ends, from the start of the first.
func (v *view) begin(i int) time.Duration {
	if i == 0 {
		return 0
	}
	return v.marks[i-1].end
}

func (v *view) end() time.Duration { return v.begin(len(v.marks)) }
