package bitstream

import (
	"encoding/binary"

	"github.com/oxbow-video/oxbow/internal/media"
)

// display follows what a stream says of showing its pictures: messages that may come with any picture, and hold until
// others come. That a new coded video sequence ends them (H.264, D.2.27) is not held against encoders that say them
// once.
type display struct {
	now     media.Display
	changed bool
}

func (d *display) set(to media.Display) {
	if to != d.now {
		d.now, d.changed = to, true
	}
}

// take gives what changed since it was last asked for, or nil.
func (d *display) take() *media.Display {
	if !d.changed {
		return nil
	}
	d.changed = false
	now := d.now
	return &now
}

// Payload types of SEI (H.264 and H.265, annex D).
const (
	seiOrientation    = 47
	seiMastering      = 137
	seiLight          = 144
	sizeMasteringData = 24
)

// read reads an SEI message, if it is one of these.
func (d *display) read(kind int, b []byte) {
	to := d.now
	switch kind {
	case seiOrientation:
		to.Rotation = orientation(b, to.Rotation)
	case seiMastering:
		if m, ok := ReadMastering(b); ok {
			to.Mastering = m
		}
	case seiLight:
		if l, ok := ReadLight(b); ok {
			to.Light = l
		}
	}
	d.set(to)
}

// orientation reads the display orientation (H.264, D.1.27; H.265, D.2.17): flips, and a turn against the clock in
// 65536ths. A mirrored picture, or one that is askew, can't be asked of players: it leaves what there was.
func orientation(b []byte, old int) int {
	const quarter, tolerance = 1 << 14, 1 << 14 / 90 // a degree
	r := bits{data: b}
	if r.flag() { // display_orientation_cancel_flag
		return 0
	}
	across, down := r.flag(), r.flag()
	turn := int(r.read(16))
	if r.bad || across != down {
		return old
	}
	if across {
		turn += 2 * quarter
	}
	quarters := (turn + quarter/2) / quarter
	if off := turn - quarters*quarter; off > tolerance || off < -tolerance {
		return old
	}
	return (4 - quarters%4) % 4 * 90
}

// ReadMastering reads a mastering display colour volume as SEI and the mdcv box have it. It is false for one that says
// nothing.
func ReadMastering(b []byte) (m media.Mastering, ok bool) {
	if len(b) < sizeMasteringData {
		return m, false
	}
	for i := range m.Primaries {
		m.Primaries[i] = [2]uint16{binary.BigEndian.Uint16(b[4*i:]), binary.BigEndian.Uint16(b[4*i+2:])}
	}
	m.White = [2]uint16{binary.BigEndian.Uint16(b[12:]), binary.BigEndian.Uint16(b[14:])}
	m.Max, m.Min = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	return m, m.Max > 0
}

// ReadLight reads a content light level as SEI, the clli box and AV1's metadata have it. It is false for one that says
// nothing.
func ReadLight(b []byte) (l media.ContentLight, ok bool) {
	if len(b) < 4 {
		return l, false
	}
	l = media.ContentLight{Max: binary.BigEndian.Uint16(b), Average: binary.BigEndian.Uint16(b[2:])}
	return l, l != media.ContentLight{}
}

// readOBU reads a metadata OBU of AV1 (5.8, 6.7), whose units are others.
func (d *display) readOBU(b []byte) {
	const light, mastering = 1, 2 // metadata_type, of one byte
	if len(b) == 0 {
		return
	}
	to := d.now
	switch kind, b := b[0], b[1:]; {
	case kind == light:
		if l, ok := ReadLight(b); ok {
			to.Light = l
		}
	case kind == mastering && len(b) >= sizeMasteringData:
		point := func(at int) (p [2]uint16) { // 0.16 bits
			for i := range p {
				p[i] = uint16((uint64(binary.BigEndian.Uint16(b[at+2*i:]))*50000 + 1<<15) >> 16)
			}
			return p
		}
		// Red, green, blue there.
		m := media.Mastering{Primaries: [3][2]uint16{point(4), point(8), point(0)}, White: point(12)}
		// 24.8 and 18.14 bits.
		m.Max = uint32(min((uint64(binary.BigEndian.Uint32(b[16:]))*10000+1<<7)>>8, 1<<32-1))
		m.Min = uint32((uint64(binary.BigEndian.Uint32(b[20:]))*10000 + 1<<13) >> 14)
		if m.Max > 0 {
			to.Mastering = m
		}
	}
	d.set(to)
}
