package api

import (
	"sync"
	"time"
)

// limiter lets each of many keys do so much a second, with a burst of what they did not do in a while. It is a virtual
// schedule (GCRA, ITU-T I.371): of each key one time is kept, at which it will have used all that it was given.
type limiter struct {
	every time.Duration // between two, at the full rate
	burst int
	most  int // keys; beyond, those that were quiet are forgotten first
	now   func() time.Time

	mu   sync.Mutex
	used map[string]time.Time
}

const limiterKeys = 1 << 16

// newLimiter makes one for a rate of more than zero a second.
func newLimiter(rate float64, burst int) *limiter {
	return &limiter{
		every: time.Duration(float64(time.Second) / rate), burst: max(burst, 1), most: limiterKeys, now: time.Now,
		used: map[string]time.Time{},
	}
}

// allowance is what a key may do.
type allowance struct {
	ok    bool
	left  int
	reset time.Duration // until the burst is whole again
	retry time.Duration // until one more is allowed, if it is not
}

// take uses one of the key's, if it has one; look only says whether it has.
func (l *limiter) take(key string) allowance { return l.ask(key, true) }
func (l *limiter) look(key string) allowance { return l.ask(key, false) }

func (l *limiter) ask(key string, take bool) allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	used, old := l.used[key]
	whole := l.every * time.Duration(l.burst)
	if used.Before(now) {
		used = now
	}
	next := used.Add(l.every)
	if over := next.Sub(now) - whole; over > 0 {
		return allowance{reset: used.Sub(now), retry: over}
	}
	if take && !old {
		l.forget(now)
	}
	if take {
		l.used[key] = next
		used = next
	}
	return allowance{ok: true, left: int((whole - used.Sub(now)) / l.every), reset: used.Sub(now)}
}

// known says whether the key has used anything lately.
func (l *limiter) known(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.used[key]
	return ok
}

// drop has the key be unknown.
func (l *limiter) drop(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.used, key)
}

// forget makes room when there are too many keys: those go that have all they may have, and if there are none, any one.
func (l *limiter) forget(now time.Time) {
	if len(l.used) < l.most {
		return
	}
	for key, used := range l.used {
		if used.Before(now) {
			delete(l.used, key)
		}
	}
	for key := range l.used {
		if len(l.used) < l.most {
			return
		}
		delete(l.used, key)
	}
}
