package bitstream

// avcParameterSetID reads the id of an SPS or PPS (H.264, 7.3.2.1.1 and 7.3.2.2).
func avcParameterSetID(unit []byte) (id uint32, ok bool) {
	if len(unit) < 2 {
		return 0, false
	}
	var memory [32]byte
	r, limit := bits{data: unescape(memory[:0], unit), at: 8}, uint32(255)
	if unit[0]&0x1f == avcSPS {
		r.skip(24) // profile_idc, constraint flags, level_idc
		limit = 31
	}
	id = r.exp()
	return id, !r.bad && id <= limit
}

// avcHighProfile reads what the record of a High profile repeats from the SPS: chroma_format_idc and the bit depths less
// 8.
func avcHighProfile(sps []byte) (chroma, luma, chromaDepth byte, ok bool) {
	switch sps[1] {
	case 100, 110, 122, 144:
	default:
		return 0, 0, 0, false
	}
	var memory [32]byte
	r := bits{data: unescape(memory[:0], sps), at: 32}
	r.exp() // seq_parameter_set_id
	format := r.exp()
	if format == 3 {
		r.skip(1) // separate_colour_plane_flag
	}
	depth, depthChroma := r.exp(), r.exp()
	return byte(format), byte(depth), byte(depthChroma), !r.bad && format <= 3 && depth <= 7 && depthChroma <= 7
}

// unescape appends a NAL unit without its emulation prevention bytes (H.264, 7.3.1; H.265, 7.3.1.1), up to the capacity
// of dst.
func unescape(dst, unit []byte) []byte {
	zeros := 0
	for _, b := range unit {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if len(dst) == cap(dst) {
			break
		}
		if dst = append(dst, b); b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return dst
}
