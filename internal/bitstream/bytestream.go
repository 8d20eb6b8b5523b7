package bitstream

import (
	"bytes"
	"encoding/binary"
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
