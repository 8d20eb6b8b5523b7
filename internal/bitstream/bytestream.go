package bitstream

import (
	"bytes"
	"encoding/binary"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ByteStream appends the NAL units of a byte stream (annex B of H.264 and H.265), each behind a 4-byte length instead of
// its start code. It is false if they are longer than the limit.
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

// IsDelimiter says whether a byte stream begins with an access unit delimiter of the codec.
func IsDelimiter(stream []byte, codec media.Codec) bool {
	head := stream[:min(len(stream), 8)]
	unit := bytes.TrimLeft(head, "\x00")
	if len(unit) < 2 || len(head)-len(unit) < 2 || unit[0] != 1 {
		return false
	}
	const hevcDelimiter = 35
	if codec == media.HEVC {
		return unit[1]>>1&0x3f == hevcDelimiter
	}
	return unit[1]&0x1f == avcDelimiter
}
