package bitstream

import "encoding/binary"

// av1Head is what a record repeats from a sequence header.
type av1Head struct {
	profile, level, tier   byte
	depth                  byte // bits
	mono                   byte
	subX, subY, position   byte // chroma_sample_position
	still                  bool // reduced_still_picture_header
	orderHint, decoderRate bool
	delayBits              int
}

// record makes an AV1CodecConfigurationRecord with the sequence header in it.
func (h av1Head) record(sequence []byte) []byte {
	b := []byte{
		0x81, h.profile<<5 | h.level,
		h.tier<<7 | flagBit(h.depth > 8)<<6 | flagBit(h.depth == 12)<<5 | h.mono<<4 | h.subX<<3 | h.subY<<2 | h.position,
		0, // no initial_presentation_delay
		av1Sequence<<3 | 0x02,
	}
	b = binary.AppendUvarint(b, uint64(len(sequence)))
	return append(b, sequence...)
}

func flagBit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// parseAV1Sequence reads a sequence header as far as its colours (AV1, 5.5).
func parseAV1Sequence(body []byte) (h av1Head, ok bool) {
	r := bits{data: body}
	h.profile = byte(r.read(3))
	r.skip(1) // still_picture
	h.still = r.flag()
	if h.still {
		h.level = byte(r.read(5))
	} else {
		h.operatingPoints(&r)
	}
	width, height := int(r.read(4))+1, int(r.read(4))+1
	r.skip(width + height)
	if !h.still && r.flag() { // frame_id_numbers_present_flag
		r.skip(4 + 3)
	}
	r.skip(3) // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
	if !h.still {
		h.tools(&r)
	}
	r.skip(3) // enable_superres, enable_cdef, enable_restoration
	h.colours(&r)
	r.skip(1) // film_grain_params_present
	return h, !r.bad && h.profile <= 2
}

func (h *av1Head) operatingPoints(r *bits) {
	if r.flag() { // timing_info_present_flag
		r.skip(32 + 32)
		if r.flag() {
			r.exp() // num_ticks_per_picture_minus_1
		}
		if h.decoderRate = r.flag(); h.decoderRate {
			h.delayBits = int(r.read(5)) + 1
			r.skip(32 + 5 + 5)
		}
	}
	displayDelay := r.flag()
	for i := range int(r.read(5)) + 1 {
		r.skip(12) // operating_point_idc
		level, tier := byte(r.read(5)), byte(0)
		if level > 7 {
			tier = byte(r.read(1))
		}
		if i == 0 {
			h.level, h.tier = level, tier
		}
		if h.decoderRate && r.flag() {
			r.skip(2*h.delayBits + 1)
		}
		if displayDelay && r.flag() {
			r.skip(4)
		}
	}
}

// tools goes past what says which tools of coding are in use.
func (h *av1Head) tools(r *bits) {
	r.skip(4) // interintra, masked, warped, dual filter
	if h.orderHint = r.flag(); h.orderHint {
		r.skip(2) // enable_jnt_comp, enable_ref_frame_mvs
	}
	screenContent := r.flag() || r.flag() // chosen by each frame, or forced
	if screenContent && !r.flag() {       // seq_choose_integer_mv
		r.skip(1)
	}
	if h.orderHint {
		r.skip(3) // order_hint_bits_minus_1
	}
}

// colours reads color_config (5.5.2).
func (h *av1Head) colours(r *bits) {
	h.depth = 8
	if r.flag() {
		h.depth = 10
		if h.profile == 2 && r.flag() {
			h.depth = 12
		}
	}
	if h.profile != 1 {
		h.mono = byte(r.read(1))
	}
	var colour uint32
	if r.flag() {
		colour = r.read(24) // primaries, transfer, matrix
	}
	const sRGB = 1<<16 | 13<<8 | 0
	switch {
	case h.mono == 1:
		r.skip(1) // color_range
		h.subX, h.subY = 1, 1
		return
	case colour == sRGB:
	default:
		r.skip(1)
		switch {
		case h.profile == 0:
			h.subX, h.subY = 1, 1
		case h.profile == 2 && h.depth == 12:
			if h.subX = byte(r.read(1)); h.subX == 1 {
				h.subY = byte(r.read(1))
			}
		case h.profile == 2:
			h.subX = 1
		}
		if h.subX == 1 && h.subY == 1 {
			h.position = byte(r.read(2))
		}
	}
	r.skip(1) // separate_uv_delta_q
}
