package ingest

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// tsData puts pieces of timed metadata together that more than one PES packet holds.
type tsData struct {
	buf  []byte // the piece so far; of SCTE-35 the last section
	pts  int64  // its time in 90 kHz, unwrapped
	cell byte   // the number that its next cell must have
}

// cut forgets a piece whose end was lost.
func (t *tsData) cut() { t.buf = t.buf[:0] }

// tell hands over a piece of metadata.
func (d *tsDemuxer) tell(kind media.MetadataKind, pts int64, payload []byte, wall time.Time) error {
	d.datum = media.TimedMetadata{Kind: kind, PTS: media.Duration(pts, 90000), Payload: payload, Wall: wall}
	return d.sink.metadata(&d.datum)
}

// now is the time of what has none of its own: that of the last picture, else of the last frame.
func (d *tsDemuxer) now() int64 {
	if d.shown {
		return d.picture
	}
	return d.clock.last
}

// dataPacket takes a PES packet of metadata.
func (d *tsDemuxer) dataPacket(s *tsStream) error {
	pts := d.now()
	switch {
	case s.head.timed:
		pts = s.head.pts
	case !d.clock.started:
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	switch {
	case s.form.carries == carriesID3:
		return d.tags(s, pts)
	case isKLV(s.buf): // without cells too, where there should be some
		return d.tell(media.KLV, pts, s.buf, s.wall)
	case s.form.carries == carriesKLVCells:
		return d.cells(s, pts)
	}
	d.sink.repaired(repairBadMetadata)
	return nil
}

// isKLV says whether a piece begins with a universal label of SMPTE 336M.
func isKLV(b []byte) bool { return bytes.HasPrefix(b, []byte{0x06, 0x0e, 0x2b, 0x34}) }

// tags takes ID3 tags, each of which may go on in packets that have no time.
func (d *tsDemuxer) tags(s *tsStream, pts int64) error {
	t := s.data
	if s.head.timed {
		if len(t.buf) > 0 {
			d.sink.repaired(repairBadMetadata)
		}
		t.buf, t.pts = t.buf[:0], pts
	} else if len(t.buf) == 0 {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	t.buf = append(t.buf, s.buf...)
	rest := t.buf
	const header = 10
	for len(rest) >= header {
		size := header + (int(rest[6]&0x7f)<<21 | int(rest[7]&0x7f)<<14 | int(rest[8]&0x7f)<<7 | int(rest[9]&0x7f))
		if rest[5]&0x10 != 0 {
			size += header // a footer
		}
		if string(rest[:3]) != "ID3" || size > media.MaxMetadata {
			d.sink.repaired(repairBadMetadata)
			rest = nil
		}
		if len(rest) < size {
			break
		}
		if err := d.tell(media.ID3, t.pts, rest[:size], s.wall); err != nil {
			return err
		}
		rest = rest[size:]
	}
	t.buf = append(t.buf[:0], rest...)
	return nil
}

// cells takes metadata access unit cells (2.12.4.2), which may be fragments.
func (d *tsDemuxer) cells(s *tsStream, pts int64) error {
	t := s.data
	const header, middle, last, first = 5, 0, 1, 2
	for rest := s.buf; len(rest) > 0; {
		if len(rest) < header || len(rest) < header+int(binary.BigEndian.Uint16(rest[3:])) {
			t.cut()
			d.sink.repaired(repairBadMetadata)
			return nil
		}
		number, fragment := rest[1], rest[2]>>6
		piece := rest[header : header+int(binary.BigEndian.Uint16(rest[3:]))]
		rest = rest[header+len(piece):]
		if fragment == middle || fragment == last {
			if len(t.buf) == 0 || number != t.cell || len(t.buf)+len(piece) > media.MaxMetadata {
				t.cut()
				d.sink.repaired(repairBadMetadata)
				continue
			}
		} else {
			t.buf, t.pts = t.buf[:0], pts
		}
		t.buf, t.cell = append(t.buf, piece...), number+1
		if fragment == first || fragment == middle {
			continue
		}
		if !isKLV(t.buf) {
			d.sink.repaired(repairBadMetadata)
		} else if err := d.tell(media.KLV, t.pts, t.buf, s.wall); err != nil {
			return err
		}
		t.cut()
	}
	return nil
}

// cue takes a splice_info_section (SCTE 35, 9.6). Its time is that of its event, else of the last picture.
func (d *tsDemuxer) cue(t *tsData, section []byte, wall time.Time) error {
	const tableID = 0xfc
	if section[0] != tableID {
		return nil
	}
	if !d.clock.started {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	pts := d.now()
	if splice, ok := spliceTime(section); ok {
		if bytes.Equal(t.buf, section) {
			return nil // cues are repeated in case that one is lost
		}
		pts = d.clock.near(splice)
	}
	t.buf = append(t.buf[:0], section...)
	return d.tell(media.SCTE35, pts, section, wall)
}

// spliceTime reads the time of a section's event, 33 bits of 90 kHz; it is false if that is at once or not told.
func spliceTime(section []byte) (pts int64, ok bool) {
	const insert, signal, encrypted = 0x05, 0x06, 0x80
	if len(section) < 14+4 || section[4]&encrypted != 0 {
		return 0, false
	}
	command := section[14 : len(section)-4]
	switch section[13] {
	case signal:
	case insert:
		const cancel, program, immediate = 0x80, 0x40, 0x10
		if len(command) < 6 || command[4]&cancel != 0 || command[5]&immediate != 0 {
			return 0, false
		}
		if command[5]&program != 0 {
			command = command[6:]
		} else if len(command) >= 8 && command[6] > 0 { // of several components the first
			command = command[8:]
		} else {
			return 0, false
		}
	default:
		return 0, false
	}
	const specified = 0x80
	if len(command) < 5 || command[0]&specified == 0 {
		return 0, false
	}
	adjustment := int64(section[4]&1)<<32 | int64(binary.BigEndian.Uint32(section[5:]))
	pts = int64(command[0]&1)<<32 | int64(binary.BigEndian.Uint32(command[1:]))
	return (pts + adjustment) & (1<<33 - 1), true
}
