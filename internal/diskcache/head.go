package diskcache

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

const (
	// PieceBytes is what one sum of a body covers.
	PieceBytes = 256 << 10
	// MaxKey bounds a key, in bytes.
	MaxKey = 4 << 10
	// MaxGroup bounds a group's name.
	MaxGroup = 4 << 10
	// MaxMeta bounds what is put with a body.
	MaxMeta = 32 << 10

	headMagic = 0x3145784f // "OxE1"
	headFixed = 32
	maxHead   = headFixed + MaxKey + MaxGroup + MaxMeta + 4*(maxSegment/PieceBytes)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is what stands before a body. Its slices may be shares of what it was parsed from.
type head struct {
	serial, epoch uint32
	key, group    string
	meta          []byte
	body          uint32
	sums          []byte // four bytes per piece
}

// pieces gives the number of sums of a body.
func pieces(body int64) int64 { return (body + PieceBytes - 1) / PieceBytes }

func (h *head) size() int64 {
	return headFixed + int64(len(h.key)+len(h.group)+len(h.meta)) + 4*pieces(int64(h.body))
}

// appendTo appends the head as it is on disk.
func (h *head) appendTo(b []byte) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, headMagic)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, h.serial)
	b = le.AppendUint32(b, h.epoch)
	b = le.AppendUint16(b, uint16(len(h.key)))
	b = le.AppendUint16(b, uint16(len(h.group)))
	b = le.AppendUint32(b, uint32(len(h.meta)))
	b = le.AppendUint32(b, h.body)
	b = le.AppendUint32(b, 0)
	b = append(b, h.key...)
	b = append(b, h.group...)
	b = append(b, h.meta...)
	b = append(b, h.sums...)
	le.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli))
	return b
}

// headSizes reads what is needed to read the rest: the head's size and the body's. It verifies nothing but bounds.
func headSizes(fixed []byte) (size, body int64, ok bool) {
	le := binary.LittleEndian
	if len(fixed) < headFixed || le.Uint32(fixed) != headMagic || le.Uint32(fixed[28:]) != 0 {
		return 0, 0, false
	}
	key, group, meta := int64(le.Uint16(fixed[16:])), int64(le.Uint16(fixed[18:])), int64(le.Uint32(fixed[20:]))
	body = int64(le.Uint32(fixed[24:]))
	if key > MaxKey || group > MaxGroup || meta > MaxMeta || body > maxSegment {
		return 0, 0, false
	}
	return headFixed + key + group + meta + 4*pieces(body), body, true
}

// parseHead reads a whole head and verifies its sum. The head's meta and sums are shares of b.
func parseHead(b []byte) (head, bool) {
	size, body, ok := headSizes(b)
	le := binary.LittleEndian
	if !ok || size != int64(len(b)) || crc32.Checksum(b[8:], castagnoli) != le.Uint32(b[4:]) {
		return head{}, false
	}
	key, group, meta := int(le.Uint16(b[16:])), int(le.Uint16(b[18:])), int(le.Uint32(b[20:]))
	at := headFixed
	h := head{serial: le.Uint32(b[8:]), epoch: le.Uint32(b[12:]), body: uint32(body)}
	h.key, at = string(b[at:at+key]), at+key
	h.group, at = string(b[at:at+group]), at+group
	h.meta, h.sums = b[at:at+meta], b[at+meta:]
	return h, true
}

// hashKey names a key in the index. It is the same after a restart, and nobody makes two keys that share it to any
// purpose: the one that is put later then hides the other.
func hashKey(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.LittleEndian.Uint64(sum[:])
}

// hashGroup names a group. Two that share it are dropped together.
func hashGroup(group string) uint32 {
	sum := sha256.Sum256([]byte(group))
	return binary.LittleEndian.Uint32(sum[:])
}
