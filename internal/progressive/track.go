package progressive

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// track is one track of the file.
type track struct {
	index     int // in the takes
	id        uint32
	info      media.Track // the first take's
	timescale int64
	clocks    []clock // by take
	init      initSection
	entries   [][]byte // sample entries, each once
	entryOf   []uint32 // by take: the number of its entry, from 1; zero is not known yet
	chunks    []int32  // of the file's
	counts
	edits     []edit
	length    int64 // of the edits, in ticks of the movie
	enabled   bool
	alternate uint16
}

// counts is what one walk over a track's samples finds. Times are ticks of the track; first is on the recording's
// timeline, all others from it.
type counts struct {
	samples, sttsRuns, cttsRuns, syncs, stscRuns uint32
	first, firstCTO, duration, begin, end        int64
	leastCTO, mostCTO                            int64
}

// edit is an entry of the edit list: in ticks of the movie, and of the track; -1 is an empty edit.
type edit struct{ duration, mediaTime int64 }

// offsets says that decoding and showing differ.
func (c *counts) offsets() bool { return c.leastCTO != 0 || c.mostCTO != 0 }

// useEntry gives the number of a take's sample entry.
func (t *track) useEntry(rec *Recording, take int) (uint32, error) {
	if t.entryOf[take] != 0 {
		return t.entryOf[take], nil
	}
	if take >= len(rec.Inits) || t.index >= len(rec.Inits[take]) {
		return 0, fmt.Errorf("%w: no init section of take %d", media.ErrCorrupt, rec.Takes[take].Number)
	}
	s, err := readInit(rec.Inits[take][t.index])
	if err != nil {
		return 0, fmt.Errorf("take %d, %s: %w", rec.Takes[take].Number, t.info.Name, err)
	}
	if len(t.entries) == 0 {
		t.init, t.info = s, rec.Takes[take].Tracks[t.index]
	}
	for i, known := range t.entries {
		if bytes.Equal(known, s.entry) {
			t.entryOf[take] = uint32(i) + 1
			return t.entryOf[take], nil
		}
	}
	t.entries = append(t.entries, s.entry)
	t.entryOf[take] = uint32(len(t.entries))
	return t.entryOf[take], nil
}

// timed is a sample in the file: times are ticks of the track, dts from the track's first sample.
type timed struct {
	dts, duration, cto int64
	size               uint32
	sync               bool
}

// walk calls fn for each sample of a track, in order, until it says false. Decode times ascend, whatever the takes say.
func (f *File) walk(t *track, fn func(c *chunk, s *timed) bool) {
	last, first, going := int64(math.MinInt64), t.first, true
	var out timed // one for all: it escapes
	for _, at := range t.chunks {
		c := &f.chunks[at]
		clock := t.clocks[c.take]
		f.tables[c.take][t.index].each(int(c.at), func(i int, s *sample) {
			if !going || uint32(i) < c.lo || uint32(i) >= c.hi {
				return
			}
			at := clock.ticks(s.dts)
			out = timed{dts: at - c.cut - first, duration: clock.ticks(s.dts+int64(s.duration)) - at, size: s.size, sync: s.sync}
			if s.cto != 0 {
				out.cto = clock.ticks(s.dts+int64(s.cto)) - at
			}
			if out.dts <= last {
				out.dts = last + 1 // what overlaps the sample before moves, and comes back to its time with the next hole
			}
			last = out.dts
			going = fn(c, &out)
		}, nil)
		if !going {
			return
		}
	}
}

// count walks over the samples of all tracks, once.
func (f *File) count() {
	for _, t := range f.tracks {
		if len(t.chunks) > 0 {
			f.countTrack(t)
		}
	}
}

func (f *File) countTrack(t *track) {
	n := &t.counts
	var previous timed
	delta, cto := int64(-1), int64(math.MinInt64)
	n.first = 0
	step := func(d int64) {
		if d != delta {
			delta = d
			n.sttsRuns++
		}
	}
	f.walk(t, func(c *chunk, s *timed) bool {
		if n.samples == 0 {
			n.first, n.firstCTO = s.dts, s.cto
			n.leastCTO, n.mostCTO = s.cto, s.cto
			n.begin, n.end = s.cto, s.cto
		} else {
			step(s.dts - previous.dts)
		}
		if s.cto != cto {
			cto = s.cto
			n.cttsRuns++
		}
		if s.sync {
			n.syncs++
		}
		shown := s.dts - n.first + s.cto
		n.leastCTO, n.mostCTO = min(n.leastCTO, s.cto), max(n.mostCTO, s.cto)
		n.begin, n.end = min(n.begin, shown), max(n.end, shown+s.duration)
		c.size += int64(s.size)
		n.samples++
		previous = *s
		return true
	})
	step(previous.duration)
	n.duration = previous.dts - n.first + previous.duration
	var per, entry uint32
	for _, at := range t.chunks {
		if c := &f.chunks[at]; c.hi-c.lo != per || c.entry != entry {
			per, entry = c.hi-c.lo, c.entry
			n.stscRuns++
		}
	}
}

// edit sets the tracks' edit lists: time zero is the cut's start, or the first that any track shows.
func (p *plan) edit() {
	zero, first := p.cut.Start-p.startCut, true
	for _, t := range p.file.tracks {
		if len(t.chunks) == 0 || p.cut.HasStart {
			continue
		}
		if at := media.Duration(t.first+t.firstCTO, t.timescale); first || at < zero {
			zero, first = at, false
		}
	}
	if p.cut.HasStart {
		zero = p.firstShown(zero)
	}
	for _, t := range p.file.tracks {
		if len(t.chunks) > 0 {
			p.editTrack(t, zero)
			p.file.length = max(p.file.length, t.length)
		}
	}
}

// firstShown gives when the first picture at a moment or after it is shown: where an edit begins in the middle of a
// picture's time, players differ in what they do with the rest of it, and sound would not be in step. Without a picture
// within a second it is the moment.
func (p *plan) firstShown(at time.Duration) time.Duration {
	for _, t := range p.file.tracks {
		if len(t.chunks) == 0 || t.info.Kind != media.Video {
			continue
		}
		from := media.Ticks(at, t.timescale) - t.first
		shown := int64(math.MaxInt64)
		p.file.walk(t, func(_ *chunk, s *timed) bool {
			if pts := s.dts + s.cto; pts >= from {
				shown = min(shown, pts)
			}
			return s.dts < from+t.timescale
		})
		if p.cut.HasEnd && shown >= media.Ticks(p.cut.End-p.endCut, t.timescale)-t.first || shown > from+t.timescale {
			return at
		}
		return media.Duration(shown+t.first, t.timescale)
	}
	return at
}

func (p *plan) editTrack(t *track, zero time.Duration) {
	origin := media.Ticks(zero, t.timescale) - t.first // in the track's time
	mediaTime := max(t.firstCTO, origin, 0)
	empty := max(t.firstCTO-origin, 0)
	end := t.end
	if p.cut.HasEnd {
		end = min(end, media.Ticks(p.cut.End-p.endCut, t.timescale)-t.first)
	}
	scale := func(n int64) int64 { return clock{to: movieTimescale, from: t.timescale}.ticks(n) }
	length := scale(max(end-mediaTime, 0))
	t.length = scale(empty) + length
	switch {
	case length == 0: // all that it has is from before the start
		t.length = 1
		t.edits = []edit{{duration: 1, mediaTime: -1}}
	case empty > 0 && scale(empty) > 0:
		t.edits = []edit{{scale(empty), -1}, {length, mediaTime}}
	case mediaTime > 0 || p.cut.HasEnd:
		t.edits = []edit{{length, mediaTime}}
	}
}
