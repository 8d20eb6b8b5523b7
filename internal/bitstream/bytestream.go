package bitstream

import (
	"bytes"
	"encoding/binary"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ByteStream appends the NAL units of a byte stream (annex B of H.264 and H.265), each behind a 4-byte length instead
// of its start code. It is false if they are longer than the limit.
func ByteStream(dst, stream []byte, limit int) ([]byte, bool) {
	code := [...]byte{0, 0, 1}
	at := bytes.Index(stream, code[:])
	if at < 0 {
		return dst, true
	}
	for stream = stream[at+len(code):]; ; {
		next := bytes.Index(stream, code[:])
		unit := stream
		if next >= 0 {
			unit = stream[:next]
		}
		unit = bytes.TrimRight(unit, "\x00") // trailing_zero_8bits and the fourth byte of the next start code
		if len(unit) > 0 {
			if len(dst)+4+len(unit) > limit {
				return dst, false
			}
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(unit)))
			dst = append(dst, unit...)
		}
		if next < 0 {
			return dst, true
		}
		stream = stream[next+len(code):]
	}
}

// FirstUnit gives the length of the first access unit of NAL units behind 4-byte lengths. The next one is a further
// picture with what may come before it (H.264, 7.4.1.2.3; H.265, 7.4.2.4.4). A picture is known by its first macroblock
// or coding tree, not by a delimiter, which need not be there. The two fields of a frame are two access units.
func FirstUnit(payload []byte, codec media.Codec) int {
	picture, ahead := false, -1 // where what comes before the next picture begins
	for at := 0; len(payload)-at >= 4; {
		size := int(binary.BigEndian.Uint32(payload[at:]))
		if size > len(payload)-at-4 {
			break
		}
		place := placeAVC
		if codec == media.HEVC {
			place = placeHEVC
		}
		switch place(payload[at+4 : at+4+size]) {
		case unitBegins:
			if picture && ahead >= 0 {
				return ahead
			} else if picture {
				return at
			}
			picture = true
		case unitGoesOn:
			picture, ahead = true, -1
		case unitAhead:
			if picture && ahead < 0 {
				ahead = at
			}
		}
		at += 4 + size
	}
	return len(payload)
}

// unitPlace is where in an access unit a NAL unit may be.
type unitPlace byte

const (
	unitAnywhere unitPlace = iota
	unitAhead              // only before the picture, or after it of the next access unit
	unitBegins             // the first slice of a picture
	unitGoesOn             // another slice of it
)

func placeAVC(unit []byte) unitPlace {
	if len(unit) < 2 {
		return unitAnywhere
	}
	const firstAhead, lastAhead, auxiliary, lastExtension = 14, 18, 19, 21
	switch kind := unit[0] & 0x1f; {
	case (kind == avcSlice || kind == avcPartitionA || kind == avcIDR) && unit[1]&0x80 != 0: // first_mb_in_slice is 0
		return unitBegins
	case kind >= avcSlice && kind <= avcIDR, kind >= auxiliary && kind <= lastExtension:
		return unitGoesOn
	case kind >= avcSEI && kind <= avcDelimiter, kind >= firstAhead && kind <= lastAhead:
		return unitAhead
	}
	return unitAnywhere
}

func placeHEVC(unit []byte) unitPlace {
	if len(unit) < 3 || unit[0]&1<<5|unit[1]>>3 > 0 { // another layer's
		return unitAnywhere
	}
	switch kind := hevcType(unit); {
	case kind <= hevcLastSlice && unit[2]&0x80 != 0: // first_slice_segment_in_pic_flag
		return unitBegins
	case kind <= hevcLastSlice:
		return unitGoesOn
	case kind >= hevcVPS && kind <= hevcDelimiter, kind == hevcPrefixSEI, kind >= 41 && kind <= 44, // reserved
		kind >= 48 && kind <= 55: // unspecified
		return unitAhead
	}
	return unitAnywhere
}
