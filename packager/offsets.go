package packager

import (
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// offsetsTime is how long offsets are remembered.
	offsetsTime = time.Second
	maxOffsets  = 48
	// leastOffsets is how many tell anything.
	leastOffsets = 8
)

// offsets are how far the stamps of the last second are from the grid, in ticks. They tell what stays from what passes:
// a clock that drifts from stamps that are rounded, jitter or come in bundles.
type offsets struct {
	ring   [maxOffsets]int64
	count  int // at most size
	next   int
	size   int
	stride int // one entry is the mean of so many
	sum    int64
	summed int
}

func newOffsets(unit, rate int64) offsets {
	units := max(1, media.Ticks(offsetsTime, rate)/unit)
	stride := (units + maxOffsets - 1) / maxOffsets
	return offsets{size: int(max(leastOffsets, units/stride)), stride: int(stride)}
}

func (o *offsets) add(off int64) {
	o.sum += off
	if o.summed++; o.summed < o.stride {
		return
	}
	o.ring[o.next] = o.sum / int64(o.stride)
	o.sum, o.summed = 0, 0
	o.next = (o.next + 1) % o.size
	o.count = min(o.count+1, o.size)
}

// move follows a move of the grid.
func (o *offsets) move(ticks int64) {
	for i := range o.ring {
		o.ring[i] += ticks
	}
	o.sum += ticks * int64(o.summed)
}

// list gives the offsets, oldest first, in an array of the caller's.
func (o *offsets) list(buf *[maxOffsets]int64) []int64 {
	begin := (o.next - o.count + o.size) % o.size
	for i := range o.count {
		buf[i] = o.ring[(begin+i)%o.size]
	}
	return buf[:o.count]
}

// trend says where the offset is now by the medians of the older and the newer half, so that a steady drift is no
// further ahead than it is said to be. recent is the newer half's, noise how far a step strays from the usual one on
// average. It is not ok while there are too few.
func (o *offsets) trend() (now, recent, noise int64, ok bool) {
	if o.count < leastOffsets {
		return 0, 0, 0, false
	}
	var buf, steps [maxOffsets]int64
	all := o.list(&buf)
	changes := differences(all, &steps)
	usual := median(changes)
	for _, change := range changes {
		noise += abs(change - usual)
	}
	noise /= int64(len(changes))
	half := len(all) / 2
	older := median(all[:half])
	recent = median(all[len(all)-half:])
	return recent + (recent-older)/2, recent, noise, true
}

func differences(all []int64, buf *[maxOffsets]int64) []int64 {
	for i := 1; i < len(all); i++ {
		buf[i-1] = all[i] - all[i-1]
	}
	return buf[:len(all)-1]
}

// median sorts the values.
func median(values []int64) int64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func abs(v int64) int64 { return max(v, -v) }
