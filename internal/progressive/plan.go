package progressive

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// chunk is a segment of a track in the file: samples lo to hi of it.
type chunk struct {
	track, take uint16
	at          int32 // in the table
	lo, hi      uint32
	entry       uint32 // sample_description_index
	base        int64  // of the segment in its track's file
	cut         int64  // how much earlier it is in the file's timeline, in ticks of the file's track
	size, out   int64  // bytes, and where they are behind the mdat's header
}

// plan walks a recording's segments.
type plan struct {
	rec   *Recording
	cut   Cut
	first media.MSN
	last  media.MSN
	file  *File
	from  []position // each track's first sample
	// removed is the time that was left out so far; at the cut's bounds it is kept.
	removed          time.Duration
	left             time.Duration // what of it was since the last media
	startCut, endCut time.Duration
	ends, mediaEnds  []time.Duration // where each track's last listed segment, and its last media, ended
	begun, away      bool
	current          int // take
}

// position is a sample of a track: in a segment.
type position struct {
	msn    media.MSN
	sample uint32
}

// Build plans the file of a recording, or of a cut of it. What has no media is ErrNotFound; tables that do not fit the
// segments are ErrCorrupt.
func Build(rec *Recording, c Cut) (*File, error) {
	f, err := build(rec, c)
	if err != nil {
		return nil, fmt.Errorf("file of %s/%s: %w", rec.Path, rec.ID, err)
	}
	return f, nil
}

func build(rec *Recording, c Cut) (*File, error) {
	f := &File{
		path: rec.Path, id: rec.ID, media: rec.media(), takes: rec.Takes, tables: rec.Tables, started: rec.StartedAt,
	}
	p := &plan{rec: rec, cut: c, file: f, current: -1}
	p.first, p.last = rec.Span(c)
	if err := p.tracks(); err != nil {
		return nil, err
	}
	if c.HasStart {
		p.seek()
	}
	for msn := p.first; msn <= p.last; msn++ {
		if err := p.segment(msn); err != nil {
			return nil, err
		}
	}
	if len(f.chunks) == 0 {
		return nil, fmt.Errorf("%w: no media", media.ErrNotFound)
	}
	f.count()
	p.edit()
	f.layout()
	f.sum()
	return f, nil
}

// tracks prepares the tracks of the file: each has the clock that all its takes' have a whole part of.
func (p *plan) tracks() error {
	if len(p.rec.Takes) == 0 {
		return fmt.Errorf("%w: no take", media.ErrNotFound)
	}
	lead := p.rec.Takes[0].Tracks
	p.from = make([]position, len(lead))
	p.ends, p.mediaEnds = make([]time.Duration, len(lead)), make([]time.Duration, len(lead))
	if len(p.rec.Segments) != len(lead) || len(lead) == 0 {
		return fmt.Errorf("%w: %d tracks, %d have segments", media.ErrCorrupt, len(lead), len(p.rec.Segments))
	}
	for i := range lead {
		t := &track{index: i, info: lead[i], timescale: lead[i].Timescale}
		t.clocks, t.entryOf = make([]clock, len(p.rec.Takes)), make([]uint32, len(p.rec.Takes))
		for j := range p.rec.Takes {
			take := &p.rec.Takes[j]
			if len(take.Tracks) != len(lead) || take.Tracks[i].Timescale <= 0 || t.timescale <= 0 {
				return fmt.Errorf("%w: tracks of take %d", media.ErrCorrupt, take.Number)
			}
			if common := lcm(t.timescale, take.Tracks[i].Timescale); common <= maxTimescale {
				t.timescale = common
			}
		}
		for j := range p.rec.Takes {
			t.clocks[j] = clock{to: t.timescale, from: p.rec.Takes[j].Tracks[i].Timescale}
		}
		p.file.tracks = append(p.file.tracks, t)
	}
	return nil
}

// maxTimescale is the fastest clock of a track: a day of it is far within 63 bits, an hour within 43.
const maxTimescale = 100_000_000

func lcm(a, b int64) int64 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// clock turns a take's ticks into the file's.
type clock struct{ to, from int64 }

func (c clock) ticks(n int64) int64 {
	if c.to%c.from == 0 {
		return n * (c.to / c.from)
	}
	whole, rest := n/c.from, n%c.from
	return whole*c.to + (rest*c.to+c.from/2)/c.from
}

// seek finds where each track begins: video at the last random access point that is shown at the start or before, sound
// as much before it as a decoder needs.
func (p *plan) seek() {
	for i := range p.from {
		p.from[i] = p.seekTrack(i)
	}
}

func (p *plan) seekTrack(i int) position {
	for msn := min(p.cut.From+1, p.last); msn >= p.first; msn-- {
		seg := p.rec.segment(i, msn)
		at, table, ok := p.find(i, seg)
		if !ok {
			continue
		}
		info := &p.rec.Takes[at].Tracks[i]
		want := media.Ticks(p.cut.Start, info.Timescale)
		if info.Kind == media.Audio {
			want -= media.Ticks(preroll, info.Timescale)
		}
		found := -1
		entry, _ := table.find(msn)
		table.each(entry, func(n int, s *sample) {
			if s.sync && s.dts+int64(s.cto) <= want {
				found = n
			}
		}, nil)
		if found >= 0 {
			return position{msn: msn, sample: uint32(found)}
		}
	}
	return position{msn: p.cut.From}
}

// find gives the table of a segment with media.
func (p *plan) find(i int, seg *media.Segment) (take int, table *Table, ok bool) {
	take, ok = p.rec.take(seg.Take)
	if !ok || !hasMedia(seg, seg.Take) || take >= len(p.rec.Tables) || p.rec.Tables[take] == nil {
		return take, nil, false
	}
	table = p.rec.Tables[take][i]
	if table == nil {
		return take, nil, false
	}
	_, ok = table.find(seg.MSN)
	return take, table, ok
}

// segment adds what all tracks have of an MSN.
func (p *plan) segment(msn media.MSN) error {
	lead := p.rec.segment(0, msn)
	if lead.Filler {
		p.away = true
		return nil
	}
	take, ok := p.rec.take(lead.Take)
	if !ok {
		return fmt.Errorf("segment %d: %w: no take %d", msn, media.ErrCorrupt, lead.Take)
	}
	p.join(msn, take)
	for i := range p.rec.Segments {
		seg := p.rec.segment(i, msn)
		if seg.Take != lead.Take {
			return fmt.Errorf("segment %d: %w: of takes %d and %d", msn, media.ErrCorrupt, lead.Take, seg.Take)
		}
		timescale := p.rec.Takes[take].Tracks[i].Timescale
		p.ends[i] = media.Duration(seg.DTS+seg.Duration, timescale)
		if seg.Gap || seg.Size <= 0 || seg.Offset < 0 {
			continue
		}
		p.mediaEnds[i], p.left = p.ends[i], 0
		if err := p.add(i, take, seg); err != nil {
			return err
		}
	}
	if p.cut.HasStart && msn <= p.cut.From {
		p.startCut = p.removed
	}
	if p.cut.To == 0 || msn <= p.cut.To {
		p.endCut = p.removed
	}
	return nil
}

// join leaves out the time without media between takes, as playlists do, and that of gaps that are too long: as much as
// all tracks lack, so that they stay together.
func (p *plan) join(msn media.MSN, take int) {
	absent := p.away || take != p.current
	gap := time.Duration(1<<63 - 1)
	hole := gap
	for i := range p.rec.Segments {
		begin := media.Duration(p.rec.segment(i, msn).DTS, p.rec.Takes[take].Tracks[i].Timescale)
		if !p.begun {
			p.ends[i], p.mediaEnds[i] = begin, begin
		}
		gap, hole = min(gap, begin-p.ends[i]), min(hole, begin-p.mediaEnds[i])
	}
	if absent && gap > 0 {
		p.removed += gap
		p.left += gap
	}
	if hole -= p.left; hole > maxHole && !p.rec.segment(0, msn).Gap {
		p.removed += hole
	}
	p.begun, p.away, p.current = true, false, take
}

// add puts a track's segment into the file.
func (p *plan) add(i, take int, seg *media.Segment) error {
	if p.cut.HasStart && seg.MSN < p.from[i].msn {
		return nil
	}
	_, table, ok := p.find(i, seg)
	if !ok {
		return fmt.Errorf("segment %d of %s: %w: its samples are unknown", seg.MSN, p.file.tracks[i].info.Name,
			media.ErrCorrupt)
	}
	at, _ := table.find(seg.MSN)
	c := chunk{track: uint16(i), take: uint16(take), at: int32(at), hi: table.segments[at].samples, base: seg.Offset}
	if p.cut.HasStart && seg.MSN == p.from[i].msn {
		c.lo = p.from[i].sample
	}
	if p.cut.To > 0 && seg.MSN >= p.cut.To {
		c.hi = p.limit(i, take, table, at, seg.MSN)
	}
	if c.lo >= c.hi {
		return nil
	}
	end := int64(0)
	table.each(at, nil, func(part *part) { end += part.skip + part.bytes })
	if end > seg.Size {
		return fmt.Errorf("segment %d of %s: %w: its samples reach to %d of %d bytes", seg.MSN,
			p.file.tracks[i].info.Name, media.ErrCorrupt, end, seg.Size)
	}
	t := p.file.tracks[i]
	entry, err := t.useEntry(p.rec, take)
	if err != nil {
		return err
	}
	c.entry, c.cut = entry, media.Ticks(p.removed, t.timescale)
	t.chunks = append(t.chunks, int32(len(p.file.chunks)))
	p.file.chunks = append(p.file.chunks, c)
	return nil
}

// limit gives how many samples of a segment lie before the cut's end, in the order of decoding.
func (p *plan) limit(i, take int, table *Table, at int, msn media.MSN) uint32 {
	if !p.cut.HasEnd {
		if msn > p.cut.To {
			return 0
		}
		return table.segments[at].samples
	}
	to, ok := p.rec.take(p.rec.segment(i, p.cut.To).Take)
	if !ok || to != take {
		return 0
	}
	end := media.Ticks(p.cut.End, p.rec.Takes[take].Tracks[i].Timescale)
	hi := uint32(0)
	table.each(at, func(n int, s *sample) {
		if s.dts+int64(s.cto) < end {
			hi = uint32(n) + 1
		}
	}, nil)
	return hi
}
