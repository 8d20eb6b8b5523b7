package ingest

import "encoding/binary"

// Chunk streams of our answers.
const (
	chunkStreamControl = 2 // protocol control, as RTMP 1.0 section 5.4 demands
	chunkStreamCommand = 3
	chunkStreamStatus  = 5
)

// appendMessage encodes a message as one type 0 chunk and type 3 chunks after it. Chunk stream ids of 2 to 65599 and
// timestamps of all 32 bits are possible.
func appendMessage(dst []byte, chunkStream uint32, m message, chunkSize int) []byte {
	field, extended := m.timestamp, m.timestamp >= extendedMark
	if extended {
		field = extendedMark
	}
	dst = appendBasicHeader(dst, 0, chunkStream)
	dst = append(dst, byte(field>>16), byte(field>>8), byte(field))
	dst = append(dst, byte(len(m.payload)>>16), byte(len(m.payload)>>8), byte(len(m.payload)), m.kind)
	dst = binary.LittleEndian.AppendUint32(dst, m.stream)
	for rest := m.payload; ; {
		if extended {
			dst = binary.BigEndian.AppendUint32(dst, m.timestamp)
		}
		n := min(len(rest), chunkSize)
		dst = append(dst, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			return dst
		}
		dst = appendBasicHeader(dst, 3, chunkStream)
	}
}

func appendBasicHeader(dst []byte, format byte, chunkStream uint32) []byte {
	switch {
	case chunkStream < 64:
		return append(dst, format<<6|byte(chunkStream))
	case chunkStream < 64+256:
		return append(dst, format<<6, byte(chunkStream-64))
	default:
		return append(dst, format<<6|1, byte(chunkStream-64), byte((chunkStream-64)>>8))
	}
}
