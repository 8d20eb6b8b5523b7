package cacheproxy

import (
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

const (
	// sweepTime is the least time between two looks for what is dead.
	sweepTime = time.Second
	// freedBytes is how much the cache lets go before the collector is told.
	freedBytes = 4 << 20
)

// sweepLaterLocked has what is dead dropped when its time comes, though no put may come any more: a show that ended
// would hold the memory of its last parts. Now goes on from the put's, and there is no timer while nothing can die.
func (s *shard) sweepLaterLocked(now time.Time) {
	tail := s.live.tail
	if s.sweeping || tail == nil {
		return
	}
	s.sweeping = true
	d := max(sweepTime, tail.object.deadAt(s.partTTL).Sub(now))
	time.AfterFunc(d, func() { s.sweep(now.Add(d)) })
}

func (s *shard) sweep(now time.Time) {
	s.mu.Lock()
	before := s.bytesLocked()
	s.dropDeadLocked(now)
	after := s.bytesLocked()
	s.sweeping = false
	s.sweepLaterLocked(now)
	s.mu.Unlock()
	s.freed(before - after)
}

// freed gives what to do when the cache let bytes go in whose place nothing comes at once: a program at rest has no
// collections, and would keep them for minutes.
func freed(arena *slab.Arena) func(bytes int64) {
	var sum atomic.Int64
	return func(bytes int64) {
		if sum.Add(bytes) >= freedBytes {
			sum.Store(0)
			arena.Collect()
		}
	}
}
