package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	maxMoof = 1 << 20
	nonSync = 0x10000 // sample_is_non_sync_sample, ISO/IEC 14496-12 8.8.3.1
)

var (
	errBox  = errors.New("no part")
	errTorn = errors.New("part cut short")
)

// part is what the boxes of one part say.
type part struct {
	msn      media.MSN
	index    int
	dts      int64
	duration int64
	size     int64
	sync     bool    // it begins with a random access point
	keys     []int64 // decode times of its random access points
}

// next reads a part's headers and passes over its media. p.keys is used again.
func (s *stream) next(p *part) error {
	*p = part{keys: p.keys[:0]}
	begin := s.at()
	kind, size, err := s.header()
	for ; err == nil && kind == "emsg"; kind, size, err = s.header() {
		if size > reclog.MaxEvents || s.at()+size-begin > reclog.MaxEvents {
			return fmt.Errorf("%w: emsg of %d bytes", errBox, size)
		}
		if size > s.left() {
			return errTorn
		}
		if err := s.skip(size); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if kind != "moof" || size > maxMoof {
		return fmt.Errorf("%w: box %q of %d bytes", errBox, kind, size)
	}
	if size > s.left() {
		return errTorn
	}
	s.moof = slices.Grow(s.moof[:0], int(size))[:size]
	if _, err := io.ReadFull(s.buf, s.moof); err != nil {
		return err
	}
	if err := p.parse(s.moof[8:]); err != nil {
		return err
	}
	kind, size, err = s.header()
	switch {
	case err != nil:
		return err
	case kind != "mdat" || size > reclog.MaxPartSize:
		return fmt.Errorf("%w: box %q of %d bytes behind a moof", errBox, kind, size)
	case size > s.left():
		return errTorn
	}
	p.size = s.at() + size - begin
	return s.skip(size)
}

// header looks at the box that comes next.
func (s *stream) header() (kind string, size int64, err error) {
	if s.left() < 8 {
		return "", 0, errTorn
	}
	head, err := s.buf.Peek(8)
	if err != nil {
		return "", 0, err
	}
	kind, size = string(head[4:8]), int64(binary.BigEndian.Uint32(head))
	least := int64(8)
	if size == 1 {
		if s.left() < 16 {
			return "", 0, errTorn
		}
		if head, err = s.buf.Peek(16); err != nil {
			return "", 0, err
		}
		size, least = int64(binary.BigEndian.Uint64(head[8:])&(1<<62-1)), 16
	}
	if size < least {
		return "", 0, fmt.Errorf("%w: box %q of %d bytes", errBox, kind, size)
	}
	return kind, size, nil
}

// boxes calls fn for each box of a payload.
func boxes(data []byte, fn func(kind string, payload []byte) error) error {
	for len(data) > 0 {
		if len(data) < 8 {
			return fmt.Errorf("%w: %d bytes of a box", errBox, len(data))
		}
		size := binary.BigEndian.Uint32(data)
		if size < 8 || uint64(size) > uint64(len(data)) {
			return fmt.Errorf("%w: box %q of %d bytes in %d", errBox, data[4:8], size, len(data))
		}
		if err := fn(string(data[4:8]), data[8:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// fields reads numbers of a box's payload one behind the other.
type fields struct {
	data  []byte
	short bool
}

func (f *fields) u32() uint32 {
	if len(f.data) < 4 {
		f.short, f.data = true, nil
		return 0
	}
	v := binary.BigEndian.Uint32(f.data)
	f.data = f.data[4:]
	return v
}

func (f *fields) u32If(set bool, otherwise uint32) uint32 {
	if set {
		return f.u32()
	}
	return otherwise
}

// parse reads a moof's payload.
func (p *part) parse(moof []byte) error {
	var seen struct{ mfhd, traf bool }
	err := boxes(moof, func(kind string, data []byte) error {
		switch kind {
		case "mfhd":
			f := fields{data: data}
			f.u32()
			p.msn, p.index = reclog.SplitSequenceNumber(f.u32())
			seen.mfhd = !f.short
		case "traf":
			if seen.traf {
				return fmt.Errorf("%w: two traf", errBox)
			}
			seen.traf = true
			return p.parseTraf(data)
		}
		return nil
	})
	if err == nil && (!seen.mfhd || !seen.traf) {
		err = fmt.Errorf("%w: moof without mfhd or traf", errBox)
	}
	return err
}

func (p *part) parseTraf(traf []byte) error {
	var each, flags uint32
	var tfdt, trun bool
	err := boxes(traf, func(kind string, data []byte) error {
		f := fields{data: data}
		switch kind {
		case "tfhd":
			has := f.u32()
			f.u32() // track_ID
			if has&0x1 != 0 {
				f.u32()
				f.u32()
			}
			f.u32If(has&0x2 != 0, 0)
			each = f.u32If(has&0x8 != 0, 0)
			f.u32If(has&0x10 != 0, 0)
			flags = f.u32If(has&0x20 != 0, 0)
		case "tfdt":
			tfdt = true
			version := f.u32() >> 24
			p.dts = int64(f.u32())
			if version == 1 {
				p.dts = p.dts<<32 | int64(f.u32())
			}
		case "trun":
			trun = true
			p.parseTrun(&f, each, flags)
		}
		if f.short {
			return fmt.Errorf("%w: %s of %d bytes", errBox, kind, len(data))
		}
		return nil
	})
	if err == nil && (!tfdt || !trun) {
		err = fmt.Errorf("%w: traf without tfdt or trun", errBox)
	}
	return err
}

func (p *part) parseTrun(f *fields, each, flags uint32) {
	has, count := f.u32(), f.u32()
	f.u32If(has&0x1 != 0, 0)
	first := f.u32If(has&0x4 != 0, flags)
	const most = 1 << 16                // twenty minutes of AAC
	if has&0xf00 == 0 && count > most { // nothing in the box stands for its samples
		f.short = true
		return
	}
	begins := p.duration == 0 && len(p.keys) == 0
	for i := range count {
		duration := f.u32If(has&0x100 != 0, each)
		f.u32If(has&0x200 != 0, 0)
		flag := flags
		if i == 0 {
			flag = first
		}
		flag = f.u32If(has&0x400 != 0, flag)
		f.u32If(has&0x800 != 0, 0)
		if f.short {
			return
		}
		if flag&nonSync == 0 {
			p.keys = append(p.keys, p.dts+p.duration)
			p.sync = p.sync || begins && i == 0
		}
		p.duration += int64(duration)
	}
}

// initSection is what an init section says.
type initSection struct {
	ftyp, moov bool
	timescale  uint32
	entry      string // the sample entry's name
}

func (s *initSection) box(kind string, payload []byte) error {
	f := fields{data: payload}
	switch kind {
	case "ftyp":
		s.ftyp = !s.moov
	case "moov", "trak", "mdia", "minf", "stbl":
		s.moov = s.moov || kind == "moov"
		return boxes(payload, s.box)
	case "mdhd":
		version := f.u32() >> 24
		for range 2 + 2*(version&1) {
			f.u32()
		}
		s.timescale = f.u32()
	case "stsd":
		if len(payload) >= 16 {
			s.entry = string(payload[12:16])
		}
	}
	if f.short {
		return fmt.Errorf("%w: %s of %d bytes", errBox, kind, len(payload))
	}
	return nil
}

// timescaleOf gives the timescale of an init section, or zero.
func timescaleOf(data []byte) int64 {
	var s initSection
	if boxes(data, s.box) != nil {
		return 0
	}
	return int64(s.timescale)
}

// checkInit says what is wrong with an init section of a track.
func checkInit(data []byte, tr media.Track) error {
	var s initSection
	if err := boxes(data, s.box); err != nil {
		return err
	}
	switch {
	case !s.ftyp || !s.moov:
		return errors.New("it is not a ftyp and a moov")
	case tr.Timescale != 0 && int64(s.timescale) != tr.Timescale:
		return fmt.Errorf("its timescale is %d, the manifest says %d", s.timescale, tr.Timescale)
	case s.timescale == 0:
		return errors.New("it has no timescale")
	case s.entry == "":
		return errors.New("it has no sample entry")
	case len(tr.CodecString) >= 4 && tr.CodecString[:4] != s.entry && !sameCodec(tr.Codec, s.entry):
		return fmt.Errorf("its sample entry is %q, the manifest says %s", s.entry, tr.CodecString)
	}
	return nil
}

// sameCodec knows the sample entries whose name is not the begin of the codec's string.
func sameCodec(codec media.Codec, entry string) bool {
	switch entry {
	case "Opus":
		return codec == media.Opus
	case "fLaC":
		return codec == media.FLAC
	case "mp4a":
		return codec == media.AAC || codec == media.MP3 || codec == media.MP2
	}
	return false
}
