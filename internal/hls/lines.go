package hls

import (
	"sort"
	"sync"
	"time"
)

// lines is the append-only cache of a playlist's entries as text: each is formatted once in the life of a recording. It
// is safe for concurrent use, by versions of one recording.
type lines struct {
	writer

	mu       sync.Mutex
	segments int // that are formatted
	scratch  []item
	chunks
	marks []mark
}

// mark says where an entry's lines are: its head (DISCONTINUITY, MAP, PROGRAM-DATE-TIME, GAP) from start, its tail
// (EXTINF, BYTERANGE, URI) from tail up to the next one's start. EXT-X-PARTs go between them.
type mark struct {
	start int
	tail  int
	// end is the time from the first entry's start to this one's end.
	end time.Duration
	// segment is the index of the entry's.
	segment int32
	// breaks counts the discontinuities up to this entry, its own included.
	breaks int32
	gap    bool
}

// newLines makes an empty cache for the named track's playlists of that kind and form.
func newLines(track string, kind Kind, form Form) *lines {
	return &lines{writer: newWriter(track, kind, form)}
}

// view is what one version sees of the cache: it stays as it is while the cache grows behind it.
type view struct {
	text  []byte
	cut   int // what the cache has forgotten before text
	marks []mark
}

// view formats the segments that are new and gives the text of those that the rendition has.
func (l *lines) view(s *Snapshot, r *Rendition) view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.segments == 0 && len(r.Segments) > 0 {
		// About what a segment takes; one allocation serves a finished recording.
		l.text = make([]byte, 0, 112*len(r.Segments)+256)
		l.marks = make([]mark, 0, len(r.Segments)+8)
		l.mark()
	}
	for ; l.segments < len(r.Segments); l.segments++ {
		l.add(s, r, l.segments)
	}
	n := len(l.marks)
	if l.segments > len(r.Segments) {
		n = sort.Search(n, func(i int) bool { return int(l.marks[i].segment) >= len(r.Segments) })
	}
	v := view{text: l.text, cut: l.cut, marks: l.marks[:n:n]}
	if n < len(l.marks) {
		v.text = l.text[:max(l.marks[n].start-l.cut, 0)]
	}
	return v
}

func (l *lines) add(s *Snapshot, r *Rendition, i int) {
	seg := &r.Segments[i]
	timescale := s.timescale(seg.Take, r.Name)
	l.scratch = l.form.appendItems(l.scratch[:0], seg, timescale)
	begin, breaks := time.Duration(0), int32(0)
	if n := len(l.marks); n > 0 {
		begin, breaks = l.marks[n-1].end, l.marks[n-1].breaks
	}
	for j := range l.scratch {
		e := &l.scratch[j]
		m := mark{start: l.cut + len(l.text), end: begin + e.end, segment: int32(i), breaks: breaks, gap: e.gap}
		if first := i == 0; j == 0 && (first || seg.Take != r.Segments[i-1].Take) {
			l.text = l.appendTake(l.text, seg.Take, first)
			if !first {
				breaks++
				m.breaks = breaks
			}
		}
		l.text = l.appendHead(l.text, e)
		m.tail = l.cut + len(l.text)
		l.text = l.appendTail(l.text, e, seg)
		l.marks = append(l.marks, m)
		if len(l.marks)%chunkEntries == 0 {
			l.mark()
		}
	}
}

// run gives the chunks from a to b of a view.
func (l *lines) run(v *view, a, b int) piece {
	text := v.slice(a*chunkEntries, b*chunkEntries)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum(b)
	return piece{text: text, sum: l.bounds[b].sum, pack: func(c *Compressor) ([]byte, uint32) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.pack(c, a, b, text)
	}}
}

// forget drops what sliding playlists that begin with an entry no longer need. It leaves a few minutes to requests that
// still have an older version.
func (l *lines) forget(first int) {
	if k := first/chunkEntries - 3; k > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop(k)
	}
}

// slice gives the lines of the entries from i up to j, head those of entry i up to its parts, tail those behind them.
func (v *view) slice(i, j int) []byte { return v.text[v.start(i)-v.cut : v.start(j)-v.cut] }

func (v *view) head(i int) []byte { return v.text[v.marks[i].start-v.cut : v.marks[i].tail-v.cut] }

func (v *view) tail(i int) []byte { return v.text[v.marks[i].tail-v.cut : v.start(i+1)-v.cut] }

// start gives the offset of entry i's lines; that behind the last is the end of the text.
func (v *view) start(i int) int {
	if i < len(v.marks) {
		return v.marks[i].start
	}
	return v.cut + len(v.text)
}

// begin is the time at which entry i begins, from the start of the first; end is that at which the last ends.
func (v *view) begin(i int) time.Duration {
	if i == 0 {
		return 0
	}
	return v.marks[i-1].end
}

func (v *view) end() time.Duration { return v.begin(len(v.marks)) }

// breaksBefore counts the discontinuities that stand before entry i.
func (v *view) breaksBefore(i int) int {
	if i == 0 {
		return 0
	}
	return int(v.marks[i-1].breaks)
}

// find gives the first entry of the segment of that index, or of the next that has any.
func (v *view) find(segment int) int {
	return sort.Search(len(v.marks), func(i int) bool { return int(v.marks[i].segment) >= segment })
}
