package hls

import "hash/crc32"

// Polynomials over GF(2) as CRC-32 has them: the highest bit is the factor of x^0.
const (
	polyOne    = 1 << 31 // x^0
	polyByte   = 1 << 23 // x^8: one zero byte behind a text
	polyLowest = 1
)

// multiply gives a product of two polynomials, modulo that of CRC-32.
func multiply(a, b uint32) uint32 {
	var product uint32
	for bit := uint32(polyOne); a != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
			a &^= bit
		}
		if b&polyLowest != 0 {
			b = b>>1 ^ crc32.IEEE
		} else {
			b >>= 1
		}
	}
	return product
}

// shiftCRC is what the CRC-32 of a text adds to that of the text and size more bytes.
func shiftCRC(crc uint32, size int) uint32 {
	for square := uint32(polyByte); size > 0; size >>= 1 {
		if size&1 != 0 {
			crc = multiply(crc, square)
		}
		square = multiply(square, square)
	}
	return crc
}

// joinCRC gives the CRC-32 of a text that follows another, from those of both and the size of the second.
func joinCRC(first, second uint32, size int) uint32 {
	return shiftCRC(first, size) ^ second
}

// cutCRC gives the CRC-32 of the last size bytes of a text, from that of all and that of what is before them.
func cutCRC(all, before uint32, size int) uint32 {
	return shiftCRC(before, size) ^ all
}
