package progressive

import (
	"encoding/binary"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// initSection is what a progressive file takes of a take's init section. Its slices are the section's.
type initSection struct {
	entry    []byte // the sample entry, whole
	display  []byte // matrix, width and height of the tkhd: 44 bytes
	language uint16
}

// readInit reads ftyp and moov of a track's file.
func readInit(data []byte) (initSection, error) {
	var s initSection
	b := data
	for _, kind := range []string{"moov", "trak"} {
		var ok bool
		if b, ok = child(b, kind); !ok {
			return s, fmt.Errorf("%w: init section without %s", media.ErrCorrupt, kind)
		}
	}
	trak := b
	tkhd, ok := child(trak, "tkhd")
	head := 4 + 20 // times, id, reserved, duration
	if ok && len(tkhd) > 0 && tkhd[0] == 1 {
		head = 4 + 32
	}
	if !ok || len(tkhd) != head+16+44 {
		return s, fmt.Errorf("%w: init section's tkhd", media.ErrCorrupt)
	}
	s.display = tkhd[head+16:]
	mdia, _ := child(trak, "mdia")
	mdhd, ok := child(mdia, "mdhd")
	if !ok || len(mdhd) < 4 {
		return s, fmt.Errorf("%w: init section's mdhd", media.ErrCorrupt)
	}
	s.language = binary.BigEndian.Uint16(mdhd[len(mdhd)-4:])
	b = mdia
	for _, kind := range []string{"minf", "stbl", "stsd"} {
		if b, ok = child(b, kind); !ok {
			return s, fmt.Errorf("%w: init section without %s", media.ErrCorrupt, kind)
		}
	}
	if len(b) < 16 || binary.BigEndian.Uint32(b[4:]) != 1 || uint64(binary.BigEndian.Uint32(b[8:])) != uint64(len(b)-8) {
		return s, fmt.Errorf("%w: init section's stsd", media.ErrCorrupt)
	}
	s.entry = b[8:]
	return s, nil
}
