package hlscheck

import (
	"encoding/binary"
	"fmt"
)

// box is one ISO BMFF box.
type box struct {
	kind string
	body []byte
	size int // with its header
}

// parseBoxes splits bytes into boxes; what does not fill whole boxes is a fault.
func parseBoxes(data []byte) (list []box, fault string) {
	for len(data) > 0 {
		if len(data) < 8 {
			return list, fmt.Sprintf("%d bytes behind the last box", len(data))
		}
		size, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		if size == 1 {
			if len(data) < 16 {
				return list, "a torn box header"
			}
			size, head = binary.BigEndian.Uint64(data[8:]), 16
		}
		if size < head || size > uint64(len(data)) {
			return list, fmt.Sprintf("box %q of %d bytes, %d are there", data[4:8], size, len(data))
		}
		list = append(list, box{string(data[4:8]), data[head:size], int(size)})
		data = data[size:]
	}
	return list, ""
}

// child finds the first box at the end of a path; nil if there is none.
func child(data []byte, path ...string) []byte {
	found := children(data, path...)
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

func children(data []byte, path ...string) (found [][]byte) {
	list, _ := parseBoxes(data)
	for _, b := range list {
		if b.kind != path[0] {
			continue
		}
		if len(path) == 1 {
			found = append(found, b.body)
		} else {
			found = append(found, children(b.body, path[1:]...)...)
		}
	}
	return found
}

// at reads bytes without leaving the box: zeros stand for what is not there.
func at(b []byte, from, n int) []byte {
	out := make([]byte, n)
	if from >= 0 && from < len(b) {
		copy(out, b[from:])
	}
	return out
}

func u16(b []byte, from int) int    { return int(binary.BigEndian.Uint16(at(b, from, 2))) }
func u32(b []byte, from int) uint32 { return binary.BigEndian.Uint32(at(b, from, 4)) }
func u64(b []byte, from int) uint64 { return binary.BigEndian.Uint64(at(b, from, 8)) }
