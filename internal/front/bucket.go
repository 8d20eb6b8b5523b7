package front

import "sync/atomic"

// bucket is a token bucket in one number, by the generic cell rate algorithm: the time, in nanoseconds of the book's
// clock, at which all that was taken is earned.
type bucket struct{ due atomic.Int64 }

// take takes what costs so many nanoseconds of the rate. Burst is what may be owed without a wait. Hold is how long to
// wait before it is used. What would have to wait longer than most is not taken.
func (b *bucket) take(now, cost, burst, most int64) (hold int64, ok bool) {
	for {
		due := b.due.Load()
		next := max(due, now) + cost
		if hold = next - now - burst; hold > most {
			return hold, false
		}
		if b.due.CompareAndSwap(due, next) {
			return max(0, hold), true
		}
	}
}

// full says that nothing is owed.
func (b *bucket) full(now int64) bool { return b.due.Load() <= now }
