package viewing

import (
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/media"
)

// channel is a recording that is watched, or what of a stream names none.
type channel struct {
	name string
	// parts are the figures of the minute: those of viewers in one shard, whose lock guards them. Nil is nothing yet.
	parts [shards]*figures
	// used is when it was looked up last, in nanoseconds of the book's clock. Who watches it looks it up no more.
	used atomic.Int64

	// What follows is the sweep's.
	viewers int64
	samples [media.ViewingSamples]int64
}

// part gives the figures of a shard, which is locked.
func (c *channel) part(shard uint8) *figures {
	f := c.parts[shard]
	if f == nil {
		f = new(figures)
		c.parts[shard] = f
	}
	return f
}

// figures are media.Viewing's, with their histograms in place.
type figures struct {
	media.Viewing
	startups   [media.HistogramSteps]uint32
	throughput [media.HistogramSteps]uint32
}

func (f *figures) add(o *figures) {
	f.Add(o.Viewing)
	for i := range f.startups {
		f.startups[i] += o.startups[i]
		f.throughput[i] += o.throughput[i]
	}
}

// take gives what there is of a channel, and begins anew if that is wanted.
func (b *Book) take(c *channel, anew bool) (v media.Viewing) {
	for i := range b.shards {
		s := &b.shards[i].mu
		s.Lock()
		if f := c.parts[i]; f != nil {
			part := f.Viewing
			part.StartupOf, part.ThroughputOf = histogram(&f.startups), histogram(&f.throughput)
			if anew {
				*f = figures{}
			}
			v.Add(part)
		}
		s.Unlock()
	}
	return v
}

func histogram(steps *[media.HistogramSteps]uint32) media.Histogram {
	n := len(steps)
	for n > 0 && steps[n-1] == 0 {
		n--
	}
	if n == 0 {
		return nil
	}
	h := make(media.Histogram, n)
	for i := range h {
		h[i] = int64(steps[i])
	}
	return h
}

// row is the channel's of a minute; false: nothing happened in it.
func (b *Book) row(c *channel, minute int64, anew bool) (media.ViewingRow, bool) {
	r := media.ViewingRow{Viewing: b.take(c, anew)}
	r.Minute = minute
	r.Stream, r.Recording = split(c.name)
	n := len(c.samples)
	for n > 0 && c.samples[n-1] == 0 {
		n--
	}
	if n > 0 {
		r.Samples = append([]int64(nil), c.samples[:n]...)
	}
	if anew {
		c.samples = [media.ViewingSamples]int64{}
	}
	return r, n > 0 || !r.Zero()
}
