package loadgen

import (
	"sync/atomic"
	"time"
)

// lags counts how late messages were, in classes of a millisecond.
type lags struct {
	classes [10_000]atomic.Int64 // the last one holds all above
	most    atomic.Int64         // ns
}

func (l *lags) add(d time.Duration) {
	d = max(d, 0)
	l.classes[min(int(d/time.Millisecond), len(l.classes)-1)].Add(1)
	for {
		most := l.most.Load()
		if int64(d) <= most || l.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// max gives the longest lag.
func (l *lags) max() time.Duration { return time.Duration(l.most.Load()) }

// ms gives a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantile gives a lag that a share of the messages does not exceed, rounded up to a millisecond.
func (l *lags) quantile(share float64) time.Duration {
	var total int64
	for i := range l.classes {
		total += l.classes[i].Load()
	}
	below := int64(0)
	for i := range l.classes {
		if below += l.classes[i].Load(); total > 0 && float64(below) >= share*float64(total) {
			return min(time.Duration(i+1)*time.Millisecond, l.max())
		}
	}
	return 0
}
