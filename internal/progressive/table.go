package progressive

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// maxSamples is the most samples of a segment.
	maxSamples = 1 << 20
	// maxTicks bounds decode times and durations, as reclog does.
	maxTicks = 1 << 53
)

// The flags of a part's samples.
const (
	sameDuration = 1 << iota // one duration for all
	noOffsets                // no composition offsets
	allSync                  // each is a random access point
	allFlags     = sameDuration | noOffsets | allSync
)

// sample is one access unit. Times are ticks of the take's track.
type sample struct {
	dts      int64
	duration uint32
	cto      int32
	size     uint32
	sync     bool
}

// run is the samples of a part, which lie in its mdat one behind the other.
type run struct {
	// skip is the bytes from the end of the part's before, or from the segment's first byte, to the first sample.
	skip    int64
	samples []sample
}

// Table is the samples of a track's file, all segments or some, in the form of its object: about three bytes for a
// sample. It is never modified once made.
type Table struct {
	blob     []byte
	segments []entry
	samples  int64
}

// entry is one segment of a table: where its block is in the blob.
type entry struct {
	msn     media.MSN
	at, end uint32
	samples uint32
}

// Weight is about the bytes that the table takes.
func (t *Table) Weight() int64 { return int64(cap(t.blob)) + 24*int64(cap(t.segments)) + 64 }

// Samples is the number of samples.
func (t *Table) Samples() int64 { return t.samples }

// find gives a segment's entry.
func (t *Table) find(msn media.MSN) (int, bool) {
	i := sort.Search(len(t.segments), func(i int) bool { return t.segments[i].msn >= msn })
	return i, i < len(t.segments) && t.segments[i].msn == msn
}

// appendRun writes a part's samples.
func appendRun(b []byte, r *run, base int64) []byte {
	flags := uint64(allFlags)
	for i := range r.samples {
		s := &r.samples[i]
		if s.duration != r.samples[0].duration {
			flags &^= sameDuration
		}
		if s.cto != 0 {
			flags &^= noOffsets
		}
		if !s.sync {
			flags &^= allSync
		}
	}
	b = binary.AppendUvarint(b, uint64(r.skip))
	b = binary.AppendVarint(b, r.samples[0].dts-base)
	b = binary.AppendUvarint(b, uint64(len(r.samples)))
	b = binary.AppendUvarint(b, flags)
	if flags&sameDuration != 0 {
		b = binary.AppendUvarint(b, uint64(r.samples[0].duration))
	}
	var duration, cto int64
	for i := range r.samples {
		s := &r.samples[i]
		size := uint64(s.size)
		if flags&allSync == 0 {
			size <<= 1
			if s.sync {
				size |= 1
			}
		}
		b = binary.AppendUvarint(b, size)
		if flags&sameDuration == 0 {
			b = binary.AppendVarint(b, int64(s.duration)-duration)
			duration = int64(s.duration)
		}
		if flags&noOffsets == 0 {
			b = binary.AppendVarint(b, int64(s.cto)-cto)
			cto = int64(s.cto)
		}
	}
	return b
}

// decoder reads a segment's block. What breaks a bound makes it bad, and then all that it gives is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint(limit uint64) uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 && uint64(d.b[0]) <= limit { // the usual case, inlined
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint(least, most int64) int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v < least || v > most {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// part is a decoded part's place: its samples are those of the segment from first on.
type part struct {
	skip  int64
	first int
	count int
	bytes int64
}

// decode calls each for the samples of a block, if it is not nil, and done behind each part. It says whether the block
// is as appendRun writes them.
func decode(block []byte, each func(i int, s *sample), done func(p *part)) (samples int, ok bool) {
	d := decoder{b: block}
	var s sample
	var next int64
	parts := int(d.uvarint(reclog.MaxParts))
	for i := 0; i < parts && !d.bad; i++ {
		p := part{skip: int64(d.uvarint(math.MaxInt32)), first: samples}
		s = sample{dts: next + d.varint(-2*maxTicks, 2*maxTicks)}
		p.count = int(d.uvarint(maxSamples))
		flags := d.uvarint(allFlags)
		if flags&sameDuration != 0 {
			s.duration = uint32(d.uvarint(math.MaxUint32))
		}
		if p.count == 0 || p.count > len(d.b) || samples+p.count > maxSamples || s.dts < -maxTicks || s.dts > maxTicks {
			return 0, false
		}
		for range p.count {
			if flags&allSync != 0 {
				s.size, s.sync = uint32(d.uvarint(reclog.MaxPartSize)), true
			} else {
				v := d.uvarint(reclog.MaxPartSize<<1 | 1)
				s.size, s.sync = uint32(v>>1), v&1 != 0
			}
			if flags&sameDuration == 0 {
				s.duration = uint32(int64(s.duration) + d.varint(-int64(s.duration), math.MaxUint32-int64(s.duration)))
			}
			if flags&noOffsets == 0 {
				s.cto = int32(int64(s.cto) + d.varint(math.MinInt32-int64(s.cto), math.MaxInt32-int64(s.cto)))
			}
			if each != nil {
				each(samples, &s)
			}
			samples++
			p.bytes += int64(s.size)
			s.dts += int64(s.duration)
		}
		if p.bytes > reclog.MaxPartSize {
			return 0, false
		}
		next = s.dts
		if done != nil {
			done(&p)
		}
	}
	return samples, parts > 0 && !d.bad && len(d.b) == 0
}

// each calls fn for the samples of a segment, and done behind each part.
func (t *Table) each(i int, fn func(i int, s *sample), done func(p *part)) {
	e := t.segments[i]
	if _, ok := decode(t.blob[e.at:e.end], fn, done); !ok {
		panic("BUG: a sample table that was checked does not read")
	}
}

// builder collects the segments of a table.
type builder struct {
	table  Table
	last   media.MSN
	next   int64 // where the samples of the part before ended
	parts  int
	block  []byte
	length int // samples of the block
	// out, if set, gets the blob segment by segment, and the table stays empty; written is how much it got.
	out     io.Writer
	written int64
}

// part adds a part to the open segment.
func (b *builder) part(r *run) {
	b.block = appendRun(b.block, r, b.next)
	end := &r.samples[len(r.samples)-1]
	b.next = end.dts + int64(end.duration)
	b.parts++
	b.length += len(r.samples)
}

// segment ends the open segment.
func (b *builder) segment(msn media.MSN) error {
	defer func() { b.block, b.parts, b.length, b.next = b.block[:0], 0, 0, 0 }()
	if b.parts == 0 {
		return fmt.Errorf("segment %d: %w: no part", msn, media.ErrCorrupt)
	}
	t := &b.table
	if b.written+int64(len(t.blob)+len(b.block)) > reclog.MaxIndex-64 {
		return fmt.Errorf("sample table: %w", media.ErrTooLarge)
	}
	t.blob = binary.AppendUvarint(t.blob, uint64(msn-b.last))
	size := len(b.block) + 1 + boolInt(b.parts > 127)
	t.blob = binary.AppendUvarint(t.blob, uint64(size))
	at := len(t.blob)
	t.blob = binary.AppendUvarint(t.blob, uint64(b.parts))
	t.blob = append(t.blob, b.block...)
	b.last = msn
	if b.out != nil {
		n, err := b.out.Write(t.blob)
		b.written, t.blob = b.written+int64(n), t.blob[:0]
		return err
	}
	t.segments = append(t.segments, entry{msn: msn, at: uint32(at), end: uint32(len(t.blob)), samples: uint32(b.length)})
	t.samples += int64(b.length)
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Fits says that the table has the samples of each segment of a take that has media, within the segment's bytes.
func (t *Table) Fits(take int, segments []media.Segment) bool {
	for i := range segments {
		seg := &segments[i]
		if !hasMedia(seg, take) {
			continue
		}
		at, ok := t.find(seg.MSN)
		if !ok {
			return false
		}
		end := int64(0)
		t.each(at, nil, func(p *part) { end += p.skip + p.bytes })
		if end > seg.Size {
			return false
		}
	}
	return true
}

// Of gives the table of some of a take's segments, all of which the table has (Fits). It is the same as one that is
// made of their media.
func (t *Table) Of(take int, segments []media.Segment) *Table {
	of := &Table{}
	var last media.MSN
	for i := range segments {
		seg := &segments[i]
		if !hasMedia(seg, take) {
			continue
		}
		at, _ := t.find(seg.MSN)
		e := t.segments[at]
		of.blob = binary.AppendUvarint(of.blob, uint64(seg.MSN-last))
		of.blob = binary.AppendUvarint(of.blob, uint64(e.end-e.at))
		begin := uint32(len(of.blob))
		of.blob = append(of.blob, t.blob[e.at:e.end]...)
		of.segments = append(of.segments, entry{msn: seg.MSN, at: begin, end: uint32(len(of.blob)), samples: e.samples})
		of.samples += int64(e.samples)
		last = seg.MSN
	}
	return of
}
