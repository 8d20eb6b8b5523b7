package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// rateStep is what bit rates are rounded up to, so that BANDWIDTH does not change with every segment.
const rateStep = 10_000

// rateMeter measures a show's bit rate, all tracks together (MV-1, MV-6).
type rateMeter struct {
	target time.Duration
	msn    media.MSN // how many segments are counted
	bits   int64
	time   time.Duration
	// run is the latest stretch of at least half a target duration.
	runBits int64
	runTime time.Duration
	most    int64 // bits per second of the densest stretch so far
}

func (m *rateMeter) add(bytes int64, d time.Duration) {
	if d <= 0 {
		return
	}
	m.bits += bytes * 8
	m.time += d
	m.runBits += bytes * 8
	m.runTime += d
	if m.runTime < m.target/2 {
		return
	}
	m.most = max(m.most, perSecond(m.runBits, m.runTime))
	m.runBits, m.runTime = 0, 0
}

// peak never falls: a BANDWIDTH that changes makes players reconsider.
func (m *rateMeter) peak() int64 { return roundUp(max(m.most, perSecond(m.bits, m.time))) }

func (m *rateMeter) average() int64 { return roundUp(perSecond(m.bits, m.time)) }

func perSecond(bits int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(bits) / d.Seconds())
}

func roundUp(rate int64) int64 { return (rate + rateStep - 1) / rateStep * rateStep }
