package bitstream

// avcParameterSetID reads the id of an SPS or PPS (H.264, 7.3.2.1.1 and 7.3.2.2).
func avcParameterSetID(unit []byte) (id uint32, ok bool) {
	if len(unit) < 2 {
		return 0, false
	}
	skip, limit := 1, uint32(255)
	if unit[0]&0x1f == avcSPS {
		skip, limit = 4, 31 // profile_idc, constraint flags, level_idc
	}
	r := newBitReader(unit, skip)
	id, ok = r.exp()
	return id, ok && id <= limit
}

// avcHighProfile reads what the record of a High profile repeats from the SPS: chroma_format_idc and the bit depths
// less 8.
func avcHighProfile(sps []byte) (chroma, luma, chromaDepth byte, ok bool) {
	switch sps[1] {
	case 100, 110, 122, 144:
	default:
		return 0, 0, 0, false
	}
	r := newBitReader(sps, 4)
	var v [4]uint32
	if _, ok = r.exp(); !ok { // seq_parameter_set_id
		return 0, 0, 0, false
	}
	if v[0], ok = r.exp(); !ok || v[0] > 3 {
		return 0, 0, 0, false
	}
	if v[0] == 3 {
		r.at++ // separate_colour_plane_flag
	}
	for i := 1; i < 3; i++ {
		if v[i], ok = r.exp(); !ok || v[i] > 7 {
			return 0, 0, 0, false
		}
	}
	return byte(v[0]), byte(v[1]), byte(v[2]), true
}

// bitReader reads the first bits of a NAL unit, without its emulation prevention bytes.
type bitReader struct {
	data [32]byte
	size int
	at   int // bits
}

func newBitReader(unit []byte, skip int) bitReader {
	var r bitReader
	zeros := 0
	for i := 0; i < len(unit) && r.size < len(r.data); i++ {
		if zeros >= 2 && unit[i] == 3 {
			zeros = 0
			continue
		}
		if unit[i] == 0 {
			zeros++
		} else {
			zeros = 0
		}
		r.data[r.size] = unit[i]
		r.size++
	}
	r.at = skip * 8
	return r
}

// exp reads an unsigned Exp-Golomb number, ue(v), of less than 2^16.
func (r *bitReader) exp() (uint32, bool) {
	zeros := 0
	for ; ; zeros++ {
		if r.at >= r.size*8 || zeros > 16 {
			return 0, false
		}
		if r.bit() == 1 {
			break
		}
	}
	if r.at+zeros > r.size*8 {
		return 0, false
	}
	v := uint32(1)
	for range zeros {
		v = v<<1 | r.bit()
	}
	return v - 1, true
}

func (r *bitReader) bit() uint32 {
	b := uint32(r.data[r.at/8]) >> (7 - r.at%8) & 1
	r.at++
	return b
}
