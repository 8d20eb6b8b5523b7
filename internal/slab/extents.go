package slab

import "math/bits"

const (
	pageBytes = 4096
	// wayBits is how many bins, or classes, a doubling has, as a power of two.
	wayBits = 3
	binWays = 1 << wayBits
	maxBins = 40 * binWays
	// tries bounds the look into a bin whose extents may be too small.
	tries = 8
)

// classOf rounds a number of pages up to one of eight per doubling, so that freed runs fit others. It wastes an eighth
// at the most.
func classOf(pages int) int {
	if pages <= 2*binWays {
		return pages
	}
	step := 1 << (bits.Len(uint(pages-1)) - 1 - wayBits)
	return (pages + step - 1) &^ (step - 1)
}

// binOf gives the bin of extents of so many pages: eight per doubling.
func binOf(pages int) int {
	if pages < binWays {
		return pages
	}
	log := bits.Len(uint(pages)) - 1
	return (log-wayBits+1)*binWays + pages>>(log-wayBits)&(binWays-1)
}

// extents are the free places of a file, in pages: neighbours are always one extent, and one that fits is found at
// once, by two levels of size (Masmano et al., "TLSF", ECRTS 2004).
type extents struct {
	bins     [maxBins]*extent
	full     [(maxBins + 63) / 64]uint64 // a bit per bin that has any
	byFirst  map[int]*extent
	byBehind map[int]*extent
	free     int
}

type extent struct {
	at, n      int
	prev, next *extent
}

func newExtents(pages int) *extents {
	e := &extents{byFirst: make(map[int]*extent), byBehind: make(map[int]*extent)}
	e.give(0, pages)
	return e
}

// take gives the first of n pages, or not ok: there is no such room.
func (e *extents) take(n int) (at int, ok bool) {
	bin := binOf(n)
	x := e.bins[bin]
	for i := 0; x != nil && x.n < n; i++ {
		if x = x.next; i == tries {
			x = nil
		}
	}
	if x == nil {
		if x = e.above(bin); x == nil {
			return 0, false
		}
	}
	e.unlink(x)
	e.free -= x.n
	if x.n > n {
		e.give(x.at+n, x.n-n)
	}
	return x.at, true
}

// above gives an extent of the first bin behind that one.
func (e *extents) above(bin int) *extent {
	bin++
	word := bin / 64
	if word >= len(e.full) {
		return nil
	}
	for set := e.full[word] >> (bin % 64) << (bin % 64); ; set = e.full[word] {
		if set != 0 {
			return e.bins[word*64+bits.TrailingZeros64(set)]
		}
		if word++; word == len(e.full) {
			return nil
		}
	}
}

// give frees n pages.
func (e *extents) give(at, n int) {
	e.free += n
	if x := e.byBehind[at]; x != nil {
		e.unlink(x)
		at, n = x.at, n+x.n
	}
	if x := e.byFirst[at+n]; x != nil {
		e.unlink(x)
		n += x.n
	}
	bin := binOf(n)
	x := &extent{at: at, n: n, next: e.bins[bin]}
	if x.next != nil {
		x.next.prev = x
	}
	e.bins[bin] = x
	e.full[bin/64] |= 1 << (bin % 64)
	e.byFirst[at], e.byBehind[at+n] = x, x
}

func (e *extents) unlink(x *extent) {
	bin := binOf(x.n)
	if x.prev != nil {
		x.prev.next = x.next
	} else if e.bins[bin] = x.next; x.next == nil {
		e.full[bin/64] &^= 1 << (bin % 64)
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	delete(e.byFirst, x.at)
	delete(e.byBehind, x.at+x.n)
}
