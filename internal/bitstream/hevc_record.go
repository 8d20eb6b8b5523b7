package bitstream

import "encoding/binary"

const (
	hevcRecordHeader = 23 // bytes before the first array
	hevcMaxSPSHead   = 160
)

// parseHEVCRecord reads the parameter sets of a record, by type.
func parseHEVCRecord(record []byte) (sets [hevcPPS - hevcVPS + 1]paramSets, ok bool) {
	// Version 0 is what drafts of the standard said, and encoders of their time.
	if len(record) < hevcRecordHeader || record[0] > 1 {
		return sets, false
	}
	var s HEVC
	ok = eachHEVCUnit(record, func(unit []byte) {
		if hevcIsSet(hevcType(unit)) {
			s.put(unit)
		}
	})
	return s.sets, ok
}

// eachHEVCUnit gives the units of a record, each of two bytes at least. It is false if the record is torn.
func eachHEVCUnit(record []byte, give func(unit []byte)) bool {
	rest := record[hevcRecordHeader:]
	for range record[hevcRecordHeader-1] {
		if len(rest) < 3 {
			return false
		}
		kind, count := rest[0]&0x3f, int(binary.BigEndian.Uint16(rest[1:]))
		rest = rest[3:]
		for range count {
			if len(rest) < 2 {
				return false
			}
			size := int(binary.BigEndian.Uint16(rest))
			if rest = rest[2:]; size < 2 || len(rest) < size || hevcType(rest) != kind {
				return false
			}
			give(rest[:size])
			rest = rest[size:]
		}
	}
	return true
}

// record makes an HEVCDecoderConfigurationRecord of the parameter sets. What it says of the whole stream is what its
// first SPS says; what only an encoder could tell (frame rate, ways to decode in parallel) is "not known".
func (s *HEVC) record() []byte {
	sps, _ := parseHEVCSPS(s.sets[hevcSPS-hevcVPS][0].unit)
	record := append([]byte{1}, sps.profile[:]...)
	record = append(record, 0xf0, 0, 0xfc, 0xfc|sps.chroma, 0xf8|sps.depth, 0xf8|sps.depthChroma, 0, 0,
		sps.layers<<3|sps.nested<<2|3, byte(len(s.sets)))
	for i, sets := range s.sets {
		record = append(record, 0x80|byte(hevcVPS+i)) // array_completeness
		record = binary.BigEndian.AppendUint16(record, uint16(len(sets)))
		record = appendSets(record, sets)
	}
	return record
}

// hevcParameterSetID reads the id of a VPS, SPS or PPS (H.265, 7.3.2.1 to 7.3.2.3).
func hevcParameterSetID(unit []byte) (id uint32, ok bool) {
	if len(unit) < 3 {
		return 0, false
	}
	switch hevcType(unit) {
	case hevcVPS:
		return uint32(unit[2] >> 4), true
	case hevcSPS:
		sps, ok := parseHEVCSPS(unit)
		return sps.id, ok
	}
	var memory [16]byte
	r := bits{data: unescape(memory[:0], unit), at: 16}
	id = r.exp()
	return id, !r.bad && id <= 63
}

// hevcSPSHead is what a record repeats from an SPS.
type hevcSPSHead struct {
	id                         uint32
	layers, nested             byte     // temporal
	profile                    [12]byte // general_profile_space to general_level_idc
	chroma, depth, depthChroma byte     // depths less 8
}

// parseHEVCSPS reads the beginning of an SPS (7.3.2.2.1).
func parseHEVCSPS(unit []byte) (sps hevcSPSHead, ok bool) {
	var memory [hevcMaxSPSHead]byte
	r := bits{data: unescape(memory[:0], unit), at: 16}
	r.skip(4) // sps_video_parameter_set_id
	sublayers := int(r.read(3))
	sps.layers, sps.nested = byte(sublayers)+1, byte(r.read(1))
	for i := range sps.profile {
		sps.profile[i] = byte(r.read(8))
	}
	// profile_tier_level (7.3.3) of the sublayers.
	if sublayers > 0 {
		size := 0
		for range sublayers {
			size += int(r.read(1))*88 + int(r.read(1))*8
		}
		r.skip((8-sublayers)*2 + size)
	}
	sps.id = r.exp()
	chroma := r.exp()
	if chroma == 3 {
		r.skip(1) // separate_colour_plane_flag
	}
	r.exp() // pic_width_in_luma_samples
	r.exp() // pic_height_in_luma_samples
	if r.flag() {
		for range 4 {
			r.exp() // conformance window
		}
	}
	depth, depthChroma := r.exp(), r.exp()
	sps.chroma, sps.depth, sps.depthChroma = byte(chroma), byte(depth), byte(depthChroma)
	return sps, !r.bad && sublayers < 7 && sps.id <= 15 && chroma <= 3 && depth <= 7 && depthChroma <= 7
}
