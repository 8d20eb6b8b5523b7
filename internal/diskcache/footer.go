package diskcache

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	slotSize     = 32
	trailerSize  = 32
	trailerMagic = "OxFoot1\n"
)

// slot is an entry in the index, and in its segment's footer.
type slot struct {
	hash   uint64
	offset uint32
	size   uint32 // head and body
	head   uint32
	group  uint32
	epoch  uint32
	hits   uint32 // asked for since it was written
}

func (l slot) end() int64 { return int64(l.offset) + int64(l.size) }

// footerSize is the bytes of a footer of that many slots.
func footerSize(slots int) int64 { return int64(slots)*slotSize + trailerSize }

// appendFooter appends a footer whose slots begin at that offset of the file.
func appendFooter(b []byte, serial uint32, at int64, slots []slot) []byte {
	le := binary.LittleEndian
	start := len(b)
	for _, l := range slots {
		b = le.AppendUint64(b, l.hash)
		for _, v := range [...]uint32{l.offset, l.size, l.head, l.group, l.epoch, l.hits} {
			b = le.AppendUint32(b, v)
		}
	}
	sum := crc32.Checksum(b[start:], castagnoli)
	start = len(b)
	b = append(b, trailerMagic...)
	b = le.AppendUint32(b, serial)
	b = le.AppendUint32(b, uint32(len(slots)))
	b = le.AppendUint64(b, uint64(at))
	b = le.AppendUint32(b, sum)
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// trailer is a file's last bytes: where its slots are.
type trailer struct {
	count int
	at    int64
	sum   uint32
}

// parseTrailer reads the trailer of a segment of that size.
func parseTrailer(b []byte, serial uint32, size int64) (trailer, bool) {
	le := binary.LittleEndian
	if len(b) != trailerSize || string(b[:8]) != trailerMagic || le.Uint32(b[8:]) != serial ||
		crc32.Checksum(b[:28], castagnoli) != le.Uint32(b[28:]) {
		return trailer{}, false
	}
	t := trailer{count: int(le.Uint32(b[12:])), at: int64(le.Uint64(b[16:])), sum: le.Uint32(b[24:])}
	return t, size <= maxSegment && t.at >= 0 && t.at+footerSize(t.count) == size
}

// parseSlots reads what a trailer names. Slots are in the order of the file, do not overlap and lie before the footer.
func parseSlots(b []byte, t trailer) ([]slot, bool) {
	if len(b) != t.count*slotSize || crc32.Checksum(b, castagnoli) != t.sum {
		return nil, false
	}
	le := binary.LittleEndian
	slots := make([]slot, t.count)
	end := int64(0)
	for i := range slots {
		c := b[i*slotSize:]
		l := slot{
			hash: le.Uint64(c), offset: le.Uint32(c[8:]), size: le.Uint32(c[12:]), head: le.Uint32(c[16:]),
			group: le.Uint32(c[20:]), epoch: le.Uint32(c[24:]), hits: le.Uint32(c[28:]),
		}
		if int64(l.offset) < end || l.head < headFixed || l.head > l.size || l.head > maxHead || l.end() > t.at {
			return nil, false
		}
		end = l.end()
		slots[i] = l
	}
	return slots, true
}
