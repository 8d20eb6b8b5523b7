package bitstream

import "slices"

// Parity says which lines of a frame a field has.
type Parity byte

// The parities. Whole is that of a frame, or of both fields in one access unit.
const (
	Whole Parity = iota
	Top
	Bottom
)

// Field says which field of H.264 an access unit holds alone. Its zero value is that of a whole frame.
type Field struct {
	Parity    Parity
	FrameNum  uint32
	IDR       bool
	Reference bool // nal_ref_idc is not 0
}

// Completes says whether the field is the second of a frame whose first field came right before it (H.264, 3.30 and
// 3.31, the complementary pairs): the other parity, the same frame_num, both or none used for reference, and no IDR
// picture, which always begins. The first must not be a second itself.
func (f Field) Completes(first Field) bool {
	return f.Parity != Whole && first.Parity != Whole && f.Parity != first.Parity && !f.IDR &&
		f.FrameNum == first.FrameNum && f.Reference == first.Reference
}

// avcFields is what a slice header must be read with, as far as the field flags (H.264, 7.3.3).
type avcFields struct {
	interlaced   bool // frame_mbs_only_flag is 0
	planes       bool // separate_colour_plane_flag
	frameNumBits uint8
}

// field reads which field a slice is of. It is that of a whole frame where the stream has none.
func (s *AVC) field(slice []byte) Field {
	var memory [24]byte // four numbers of at most 63 bits, and more than is ever used
	r := bits{data: unescape(memory[:0], slice), at: 8}
	r.exp() // first_mb_in_slice
	r.exp() // slice_type
	pps, ok := searchSet(s.pps, r.exp())
	if !ok {
		return Field{}
	}
	sps, ok := searchSet(s.sps, s.pps[pps].refers)
	if !ok || !s.sps[sps].interlaced() {
		return Field{}
	}
	form := s.sps[sps].fields
	if form.planes {
		r.skip(2) // colour_plane_id
	}
	f := Field{FrameNum: r.read(int(form.frameNumBits)), IDR: slice[0]&0x1f == avcIDR, Reference: slice[0]&0x60 != 0}
	if !r.flag() || r.bad {
		return Field{}
	}
	f.Parity = Top
	if r.flag() {
		f.Parity = Bottom
	}
	if r.bad {
		return Field{}
	}
	return f
}

// addField notes the field of a slice in an access unit. One with both fields is a whole frame.
func (s *AVC) addField(u *Unit, slice []byte) {
	begins := len(slice) > 1 && slice[1]&0x80 != 0 // first_mb_in_slice is 0
	if !begins || u.Picture && u.Field.Parity == Whole || !slices.ContainsFunc(s.sps, parameterSet.interlaced) {
		return
	}
	if kind := slice[0] & 0x1f; kind != avcIDR && kind > avcPartitionA {
		return
	}
	f := s.field(slice)
	if u.Picture && f.Parity != u.Field.Parity {
		f = Field{}
	}
	u.Field = f
}

func (p parameterSet) interlaced() bool { return p.fields.interlaced }

// describe reads what slice headers depend on.
func (p *parameterSet) describe() {
	var memory [maxParameterSet]byte
	r := bits{data: unescape(memory[:0], p.unit), at: 8}
	if p.unit[0]&0x1f == avcPPS {
		r.exp() // pic_parameter_set_id
		p.refers = r.exp()
		return
	}
	p.fields = readAVCFields(&r)
}

// readAVCFields reads an SPS (7.3.2.1.1) as far as frame_mbs_only_flag. What does not parse is taken as progressive.
func readAVCFields(r *bits) (f avcFields) {
	profile := r.read(8)
	r.skip(16) // constraint flags, level_idc
	r.exp()    // seq_parameter_set_id
	if avcHasChroma(profile) {
		chroma := r.exp()
		if chroma == 3 {
			f.planes = r.flag()
		}
		r.exp()   // bit_depth_luma_minus8
		r.exp()   // bit_depth_chroma_minus8
		r.skip(1) // qpprime_y_zero_transform_bypass_flag
		if r.flag() {
			skipScalingLists(r, chroma)
		}
	}
	frameNum := r.exp() + 4 // log2_max_frame_num
	switch r.exp() {        // pic_order_cnt_type
	case 0:
		r.exp() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.skip(1) // delta_pic_order_always_zero_flag
		r.exp()   // offset_for_non_ref_pic
		r.exp()   // offset_for_top_to_bottom_field
		count := r.exp()
		if count > 255 {
			return avcFields{}
		}
		for range count {
			r.exp() // offset_for_ref_frame
		}
	}
	r.exp()   // max_num_ref_frames
	r.skip(1) // gaps_in_frame_num_value_allowed_flag
	r.exp()   // pic_width_in_mbs_minus1
	r.exp()   // pic_height_in_map_units_minus1
	f.interlaced, f.frameNumBits = !r.flag(), uint8(frameNum)
	if r.bad || frameNum > 16 {
		return avcFields{}
	}
	return f
}

// avcHasChroma says whether an SPS of the profile tells the chroma format.
func avcHasChroma(profile uint32) bool {
	switch profile {
	case 44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244:
		return true
	}
	return false
}

// skipScalingLists goes past scaling lists (7.3.2.1.1.1).
func skipScalingLists(r *bits, chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := 8, 8
		for range size {
			if next != 0 {
				code := int(r.exp())
				delta := (code + 1) / 2
				if code&1 == 0 {
					delta = -delta
				}
				next = (last + delta) & 0xff
			}
			if next != 0 {
				last = next
			}
		}
	}
}
