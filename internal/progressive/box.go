package progressive

import (
	"encoding/binary"
	"time"
)

func box(b []byte, kind string, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(u32(b, 0), kind...)
	b = body(b)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func fullBox(b []byte, kind string, version byte, flags uint32, body func([]byte) []byte) []byte {
	return box(b, kind, func(b []byte) []byte { return body(u32(b, uint32(version)<<24|flags)) })
}

func u16(b []byte, values ...uint16) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func u32(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// wide appends numbers of 32 bits, or of 64 in version 1.
func wide(b []byte, version byte, values ...int64) []byte {
	for _, v := range values {
		if version == 1 {
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		} else {
			b = u32(b, uint32(v))
		}
	}
	return b
}

// versionFor is 1 if a number needs 64 bits. Players that read durations as signed are spared the last bit.
func versionFor(values ...int64) byte {
	for _, v := range values {
		if v > 1<<31-1 || v < -1<<31 {
			return 1
		}
	}
	return 0
}

// macTime is seconds since 1904 (ISO/IEC 14496-12, 8.2.2.3).
func macTime(t time.Time) int64 { return max(t.Unix()+2082844800, 0) }
