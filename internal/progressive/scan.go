package progressive

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// scanWindow is about how many bytes of a track's file one reading covers.
const scanWindow = 64 << 20

// Files is where track files are read: what reclog.Files has of it.
type Files interface {
	OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error)
}

// Scan makes the table of a track file's segments by the moofs. Media is skipped where the storage can (reclog's
// directory), and read where it can't. Segments that have no media, or are of another take, are left out.
func Scan(ctx context.Context, files Files, name string, take int, segments []media.Segment) (*Table, error) {
	var b builder
	if err := b.scanAll(ctx, files, name, take, segments); err != nil {
		return nil, err
	}
	t := &b.table
	t.blob, t.segments = slices.Clone(t.blob), slices.Clone(t.segments) // as large as they are, and no larger
	return t, nil
}

// WriteSamples writes what Scan's Object would be, in the memory of one segment: a day's table has many MiB.
func WriteSamples(
	ctx context.Context, w io.Writer, files Files, name string, take int, segments []media.Segment,
) (err error) {
	var count uint64
	for i := range segments {
		if hasMedia(&segments[i], take) {
			count++
		}
	}
	buffer, sum := bufio.NewWriterSize(w, 64<<10), crc32.New(crc32.MakeTable(crc32.Castagnoli))
	b := builder{out: io.MultiWriter(buffer, sum)}
	if _, err := b.out.Write(binary.AppendUvarint([]byte(magic), count)); err != nil {
		return fmt.Errorf("write samples: %w", err)
	}
	if err := b.scanAll(ctx, files, name, take, segments); err != nil {
		return err
	}
	if _, err := buffer.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write samples: %w", err)
	}
	if err := buffer.Flush(); err != nil {
		return fmt.Errorf("write samples: %w", err)
	}
	return nil
}

func (b *builder) scanAll(
	ctx context.Context, files Files, name string, take int, segments []media.Segment,
) error {
	for len(segments) > 0 {
		n, err := b.window(ctx, files, name, take, segments)
		if err != nil {
			return fmt.Errorf("samples of %s: %w", name, err)
		}
		segments = segments[n:]
	}
	return nil
}

// window scans the segments that one reading covers and gives their number.
func (b *builder) window(
	ctx context.Context, files Files, name string, take int, segments []media.Segment,
) (n int, err error) {
	for n < len(segments) && !hasMedia(&segments[n], take) {
		n++
	}
	if n == len(segments) {
		return n, nil
	}
	first, last := n, n
	for n < len(segments) && (n == first || segments[n].Offset-segments[first].Offset < scanWindow) {
		if hasMedia(&segments[n], take) {
			last = n
		}
		n++
	}
	begin := segments[first].Offset
	in, err := files.OpenRange(ctx, name, begin, segments[last].Offset+segments[last].Size-begin)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	pos := begin
	for i := first; i <= last; i++ {
		seg := &segments[i]
		if !hasMedia(seg, take) {
			continue
		}
		if seg.Offset < pos {
			return 0, fmt.Errorf("segment %d: %w: it overlaps the one before", seg.MSN, media.ErrCorrupt)
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		src, err := segmentReader(in, seg.Offset-begin, seg.Offset-pos, seg.Size)
		if err != nil {
			return 0, err
		}
		if err := b.scan(src, seg); err != nil {
			return 0, err
		}
		pos = seg.Offset + seg.Size
	}
	return n, nil
}

// segmentReader gives the bytes of a segment out of a reading: from its place, or behind what is skipped.
func segmentReader(in io.ReadCloser, at, skip, size int64) (io.Reader, error) {
	if r, ok := in.(io.ReaderAt); ok {
		return io.NewSectionReader(r, at, size), nil
	}
	if _, err := io.CopyN(io.Discard, in, skip); err != nil {
		return nil, err
	}
	return &limited{r: in, n: size}, nil
}

// limited reads n bytes; unlike io.LimitReader's, its early end is an error.
type limited struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.n)])
	l.n -= int64(n)
	if errors.Is(err, io.EOF) && l.n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func hasMedia(seg *media.Segment, take int) bool {
	return seg.Take == take && !seg.Gap && seg.Size > 0 && seg.Offset >= 0
}

// scan adds one segment.
func (b *builder) scan(src io.Reader, seg *media.Segment) error {
	var r run
	end, count := int64(0), 0
	err := reclog.ScanFragments(src, seg, func(f reclog.Fragment) error {
		data, err := r.read(f.Moof)
		if err == nil && (data < int64(len(f.Moof))+8 || f.At+data < end || f.At+data+r.bytes() > f.End) {
			err = errors.New("samples lie outside of their mdat")
		}
		if count += len(r.samples); err == nil && count > maxSamples {
			err = fmt.Errorf("%d samples", count)
		}
		if err != nil {
			return fmt.Errorf("part %d.%d: %w: %w", seg.MSN, f.Index, media.ErrCorrupt, err)
		}
		r.skip = f.At + data - end
		end = f.At + data + r.bytes()
		b.part(&r)
		return nil
	})
	if err != nil {
		return err
	}
	return b.segment(seg.MSN)
}

func (r *run) bytes() (n int64) {
	for i := range r.samples {
		n += int64(r.samples[i].size)
	}
	return n
}

// Bits of tfhd, trun and sample flags (ISO/IEC 14496-12, 8.8).
const (
	tfhdBase, tfhdEntry, tfhdDuration, tfhdSize, tfhdFlags          = 0x01, 0x02, 0x08, 0x10, 0x20
	trunData, trunFirst, trunDuration, trunSize, trunFlags, trunCTO = 0x01, 0x04, 0x100, 0x200, 0x400, 0x800
	nonSync                                                         = 0x10000
)

// fields reads big-endian numbers; past the end it is bad.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) u32() uint32 {
	if len(f.b) < 4 {
		f.bad, f.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

// read takes a moof's samples and gives where their bytes begin, from the moof's first byte. Parts have one trun.
func (r *run) read(moof []byte) (data int64, err error) {
	r.samples = r.samples[:0]
	traf, ok := child(moof[8:], "traf")
	tfhd, ok1 := child(traf, "tfhd")
	tfdt, ok2 := child(traf, "tfdt")
	trun, ok3 := child(traf, "trun")
	if !ok || !ok1 || !ok2 || !ok3 {
		return 0, errors.New("moof without traf, tfhd, tfdt or trun")
	}
	h := fields{b: tfhd}
	flags := h.u32()
	h.u32() // track
	if flags&tfhdBase != 0 {
		return 0, errors.New("base data offset")
	}
	if flags&tfhdEntry != 0 {
		h.u32()
	}
	var def struct{ duration, size, flags uint32 }
	for _, f := range []struct {
		bit uint32
		dst *uint32
	}{{tfhdDuration, &def.duration}, {tfhdSize, &def.size}, {tfhdFlags, &def.flags}} {
		if flags&f.bit != 0 {
			*f.dst = h.u32()
		}
	}
	d := fields{b: tfdt}
	wide := d.u32()>>24 == 1
	dts := uint64(d.u32())
	if wide {
		dts = dts<<32 | uint64(d.u32())
	}
	if h.bad || d.bad || dts > maxTicks {
		return 0, errors.New("tfhd or tfdt")
	}
	return r.readTrun(trun, int64(dts), def.duration, def.size, def.flags)
}

func (r *run) readTrun(trun []byte, dts int64, duration, size, defaults uint32) (int64, error) {
	f := fields{b: trun}
	flags := f.u32()
	count := f.u32()
	if flags&trunData == 0 {
		return 0, errors.New("trun without data offset")
	}
	data := int64(int32(f.u32()))
	first := defaults
	if flags&trunFirst != 0 {
		first = f.u32()
	}
	if f.bad || data < 0 || count == 0 || count > maxSamples {
		return 0, errors.New("trun")
	}
	for i := range count {
		s := sample{dts: dts, duration: duration, size: size}
		bits := defaults
		if i == 0 {
			bits = first
		}
		if flags&trunDuration != 0 {
			s.duration = f.u32()
		}
		if flags&trunSize != 0 {
			s.size = f.u32()
		}
		if flags&trunFlags != 0 {
			bits = f.u32()
		}
		if flags&trunCTO != 0 {
			s.cto = int32(f.u32()) // of version 0 unsigned, which no real offset tells apart
		}
		if s.sync = bits&nonSync == 0; f.bad || s.size > reclog.MaxPartSize {
			return 0, errors.New("trun ends early")
		}
		dts += int64(s.duration)
		r.samples = append(r.samples, s)
	}
	return data, nil
}

// child finds the first box of a kind in a payload.
func child(b []byte, kind string) ([]byte, bool) {
	for len(b) >= 8 {
		size := binary.BigEndian.Uint32(b)
		if size < 8 || uint64(size) > uint64(len(b)) {
			return nil, false
		}
		if string(b[4:8]) == kind {
			return b[8:size], true
		}
		b = b[size:]
	}
	return nil, false
}
