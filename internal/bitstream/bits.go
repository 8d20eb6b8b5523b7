package bitstream

// bits reads a byte slice from its first bit on, most significant bit first. Past the end every bit is zero and bad is
// set, so that a parser may look at it once, when it is done.
type bits struct {
	data []byte
	at   int // bits
	bad  bool
}

func (b *bits) left() int { return max(0, len(b.data)*8-b.at) }

// skip goes past n bits.
func (b *bits) skip(n int) {
	if n < 0 || n > b.left() {
		b.bad, b.at = true, len(b.data)*8
		return
	}
	b.at += n
}

// read reads up to 32 bits.
func (b *bits) read(n int) uint32 {
	if n > b.left() {
		b.bad, b.at = true, len(b.data)*8
		return 0
	}
	var v uint64
	for n > 0 {
		take := min(n, 8-b.at&7)
		part := b.data[b.at>>3] << (b.at & 7) >> (8 - take)
		v = v<<take | uint64(part)
		b.at += take
		n -= take
	}
	return uint32(v)
}

func (b *bits) flag() bool { return b.read(1) == 1 }

// exp reads an unsigned Exp-Golomb number, ue(v), of up to 32 bits.
func (b *bits) exp() uint32 {
	zeros := 0
	for !b.flag() {
		if zeros++; zeros > 31 || b.bad {
			b.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + b.read(zeros)
}

// appendTo appends the n bits from bit `from` on, moved to the beginning of a byte; the last byte is filled with zeros.
// They must be there.
func (b *bits) appendTo(dst []byte, from, n int) []byte {
	first, shift, size := from>>3, from&7, (n+7)>>3
	if shift == 0 {
		dst = append(dst, b.data[first:first+size]...)
	} else {
		for i := first; i < first+size; i++ {
			v := b.data[i] << shift
			if i+1 < len(b.data) {
				v |= b.data[i+1] >> (8 - shift)
			}
			dst = append(dst, v)
		}
	}
	if spare := size*8 - n; spare > 0 {
		dst[len(dst)-1] &= 0xff << spare
	}
	return dst
}
