package bitstream

import (
	"bytes"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// VP9 follows one VP9 stream. The zero value is ready.
type VP9 struct {
	raw    []byte     // the last record that came, to know it again
	record [8]byte    // what it said
	told   bool       // there was one
	given  [8]byte    // the configuration given last; of a stream that has none, zeros
	size   [2]int     // that went with it
	head   vp9KeyHead // the last key frame's
}

// SetConfig takes a VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding, 2.2), with or without the box's
// version and flags, or nothing at all. The configuration comes with the next key frame, which has the picture's size and
// whatever the record says but its level and colours.
func (s *VP9) SetConfig(record []byte) (config []byte, fault Fault) {
	const size, fullBox = 8, 4
	if s.raw != nil && bytes.Equal(record, s.raw) {
		return nil, RepeatedConfig
	}
	body := record
	if len(body) >= size+fullBox && body[0] == 1 && body[1] == 0 && body[2] == 0 && body[3] == 0 {
		body = body[fullBox:]
	}
	if len(body) > 0 && (len(body) < size || body[0] > 3) {
		return nil, BadConfig
	}
	s.raw = append([]byte{}, record[:min(len(record), 2*size)]...)
	s.told = len(body) > 0
	copy(s.record[:], body)
	return nil, ""
}

// Read reads one frame or superframe.
func (s *VP9) Read(payload []byte, limit int, repaired func(Fault)) (Unit, error) {
	if len(payload) > limit {
		return Unit{}, fmt.Errorf("%w: frame of %d bytes", media.ErrTooLarge, len(payload))
	}
	head, kind := parseVP9(payload)
	switch kind {
	case vp9Torn:
		repaired(TornUnit)
		return Unit{}, nil
	case vp9Empty:
		repaired(EmptyUnit)
		return Unit{}, nil
	case vp9Inter:
		return Unit{Payload: payload, Picture: true}, nil
	}
	u := Unit{Payload: payload, Picture: true, Sync: true}
	if config, size := s.config(head), [2]int{head.width, head.height}; config != s.given || size != s.size {
		if s.given != [8]byte{} {
			repaired(InBandConfig)
		}
		s.given, s.size = config, size
		u.Config, u.Width, u.Height = bytes.Clone(config[:]), head.width, head.height
	}
	return u, nil
}

// config makes the body of a record. Level and colours are the container's where it told them.
func (s *VP9) config(h vp9KeyHead) [8]byte {
	const unspecified = 2
	level, colours := h.level(), h.colours()
	if s.told && s.record[0] == h.profile {
		if s.record[1] != 0 {
			level = s.record[1]
		}
		if told := [3]byte(s.record[3:6]); told[0] != 0 && told != [3]byte{unspecified, unspecified, unspecified} {
			colours = told
		}
	}
	return [8]byte{
		h.profile, level, h.depth<<4 | h.subsampling<<1 | h.fullRange, colours[0], colours[1], colours[2],
	}
}

type vp9Kind int

const (
	vp9Inter vp9Kind = iota // refers to others, or is another shown again
	vp9Key
	vp9Empty
	vp9Torn
)

// vp9KeyHead is what the uncompressed header of a key frame says.
type vp9KeyHead struct {
	profile, depth     byte
	space, subsampling byte // color_space; chroma subsampling as a record has it
	fullRange          byte
	width, height      int
}

// parseVP9 reads the beginning of the uncompressed header (VP9, 6.2) of a frame, which is the first of a superframe.
func parseVP9(b []byte) (h vp9KeyHead, kind vp9Kind) {
	if len(b) == 0 {
		return h, vp9Empty
	}
	const marker, key, sync, sRGB = 2, 0, 0x498342, 7
	r := bits{data: b}
	if r.read(2) != marker {
		return h, vp9Torn
	}
	h.profile = byte(r.read(1) | r.read(1)<<1)
	if h.profile == 3 {
		r.skip(1)
	}
	if r.flag() { // show_existing_frame
		return h, vp9Inter
	}
	if r.read(1) != key {
		return h, vp9Inter
	}
	r.skip(2) // show_frame, error_resilient_mode
	if r.read(24) != sync {
		return h, vp9Torn
	}
	h.depth = 8
	if h.profile >= 2 {
		h.depth = 10 + 2*byte(r.read(1))
	}
	const chroma420, chroma422, chroma444 = 1, 2, 3 // 4:2:0 with chroma where luma is, as MPEG-2 and later have it
	h.space, h.subsampling, h.fullRange = byte(r.read(3)), chroma420, 1
	if h.space != sRGB {
		h.fullRange = byte(r.read(1))
	}
	if h.profile&1 == 1 {
		h.subsampling = chroma444
		if h.space != sRGB {
			if x, y := r.flag(), r.flag(); x && !y {
				h.subsampling = chroma422
			}
		}
		r.skip(1)
	}
	h.width, h.height = int(r.read(16))+1, int(r.read(16))+1
	if r.bad {
		return h, vp9Torn
	}
	return h, vp9Key
}

// colours gives primaries, transfer and matrix (ISO/IEC 23091-2) of color_space.
func (h vp9KeyHead) colours() [3]byte {
	return [...][3]byte{
		{2, 2, 2}, {6, 6, 6}, {1, 1, 1}, {6, 6, 6}, {7, 7, 7}, {9, 2, 9}, {2, 2, 2}, {1, 13, 0},
	}[h.space]
}

// level gives the lowest level (VP9 levels, "Levels and bitrates") that the picture fits in, at 60 frames a second: the
// frame rate is not told.
func (h vp9KeyHead) level() byte {
	const rate = 60
	size := h.width * h.height
	for _, l := range [...]struct {
		level          byte
		size, sizeRate int
	}{
		{10, 36864, 829440}, {11, 73728, 2764800}, {20, 122880, 4608000}, {21, 245760, 9216000},
		{30, 552960, 20736000}, {31, 983040, 36864000}, {40, 2228224, 83558400}, {41, 2228224, 160432128},
		{50, 8912896, 311951360}, {51, 8912896, 588251136}, {60, 35651584, 1176502272}, {61, 35651584, 2353004544},
	} {
		if size <= l.size && size*rate <= l.sizeRate {
			return l.level
		}
	}
	return 62
}
