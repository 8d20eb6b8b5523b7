package hls

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestJoinCRCIsTheCRCOfBothTexts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 70_000)
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	for _, size := range []int{0, 1, 2, 3, 31, 32, 33, 255, 4096, 65_535, 65_536, 70_000} {
		for _, cut := range []int{0, 1, size / 3, size - 1, size} {
			if cut < 0 || cut > size {
				continue
			}
			all := crc32.ChecksumIEEE(text[:size])
			first, second := crc32.ChecksumIEEE(text[:cut]), crc32.ChecksumIEEE(text[cut:size])
			if got := joinCRC(first, second, size-cut); got != all {
				t.Errorf("%d of %d: joined %08x, want %08x", cut, size, got, all)
			}
			if got := cutCRC(all, first, size-cut); got != second {
				t.Errorf("%d of %d: cut %08x, want %08x", cut, size, got, second)
			}
		}
	}
}

func BenchmarkJoinCRC(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		joinCRC(0x12345678, 0x9abcdef0, 4_800_000)
	}
}
