package upstream

import "time"

// Fault is what can be wrong with an upstream.
type Fault uint8

// The faults. The first three eject at once, the others when they are many.
const (
	// Unreachable: there is no connection, or it was closed before the answer.
	Unreachable Fault = iota
	// Late: no answer within the time that the request gave it.
	Late
	// Down: an answer that says that nothing can be had from there now.
	Down
	// Bad: an answer that is of no use.
	Bad
	// Broken: an answer that began well and whose body did not come to its end.
	Broken
	// Outrun: another upstream, asked later, answered first.
	Outrun
	faults
)

func (f Fault) String() string {
	return [...]string{"unreachable", "late", "down", "bad", "broken", "outrun"}[f]
}

// Loads says that an upstream may have worked for what failed, so that a retry doubles the work: it needs Pool.Retry.
func (f Fault) Loads() bool { return f != Unreachable }

type state uint8

const (
	well state = iota
	ejected
	onTrial
	recovering
)

// trialTime is after what time the one request that tries an upstream is taken for lost, and another may.
const trialTime = 2 * time.Second

// health is one upstream's, guarded by the pool's mu.
type health struct {
	state state
	since time.Time // of the state
	out   time.Time // when the last ejection began
	until time.Time // when it ends
	fault Fault     // that led to it
	turn  int       // ejections ever: what is timed for one is not for the next
	times int       // ejections in a row
	row   int       // failures in a row
	tally [2]tally  // the present half of RateTime, and the one before
	half  time.Time // when the present one began

	trial       time.Time // when the request that tries it was let through; zero without one
	credit      float64   // while recovering: of a request that comes first
	failedCheck bool      // since the ejection
}

type tally struct{ good, bad int }

// now brings the state up to the present.
func (h *health) now(c *Config, now time.Time) state {
	if h.state == ejected && !now.Before(h.until) {
		h.state, h.since, h.trial = onTrial, now, time.Time{}
	}
	if h.state == recovering && now.Sub(h.since) >= c.SlowStart {
		h.state, h.since = well, now
	}
	return h.state
}

// rank says where an upstream goes in a request's list: 0 for first, and higher numbers behind that. Picked says that
// it will be asked first if it gets a 0.
func (h *health) rank(c *Config, now time.Time, waits, picked bool) int {
	switch h.now(c, now) {
	case well:
		return 0
	case ejected:
		return 2
	case onTrial:
		if h.tried(now) {
			return 1
		}
		if picked {
			h.trial = now
		}
		return 0
	case recovering:
		if waits || !picked {
			return 0
		}
		const least = 0.1
		h.credit += max(least, float64(now.Sub(h.since))/float64(c.SlowStart))
		if h.credit < 1 {
			return 1
		}
		h.credit--
	}
	return 0
}

// tried says that a request which tries the upstream is under way.
func (h *health) tried(now time.Time) bool { return !h.trial.IsZero() && now.Sub(h.trial) < trialTime }

// count adds a request that ended.
func (h *health) count(c *Config, now time.Time, good bool) {
	if passed := now.Sub(h.half); passed >= c.RateTime/2 {
		h.tally[1] = h.tally[0]
		if passed >= c.RateTime {
			h.tally[1] = tally{}
		}
		h.tally[0], h.half = tally{}, now
	}
	if good {
		h.tally[0].good++
		h.row = 0
		return
	}
	h.tally[0].bad++
	h.row++
}

// ill says whether a fault, which was counted, is enough for an ejection.
func (h *health) ill(c *Config, f Fault) bool {
	if f <= Down || h.row >= c.Failures || h.state == onTrial {
		return true
	}
	good, bad := h.tally[0].good+h.tally[1].good, h.tally[0].bad+h.tally[1].bad
	return good+bad >= 2*c.Failures && float64(bad) >= c.FailureRate*float64(good+bad)
}

// eject begins an ejection and gives its length.
func (h *health) eject(c *Config, now time.Time, f Fault) time.Duration {
	if h.state == well && now.Sub(h.since) >= 2*c.MaxEjectTime {
		h.times = 0
	}
	d := c.EjectTime << min(h.times, 20)
	if d > c.MaxEjectTime || d <= 0 {
		d = c.MaxEjectTime
	}
	h.times++
	h.turn++
	h.state, h.since, h.out, h.until, h.fault = ejected, now, now, now.Add(d), f
	h.row, h.tally, h.failedCheck = 0, [2]tally{}, false
	return d
}

// comeBack begins the slow start. The first request comes first.
func (h *health) comeBack(now time.Time) {
	h.state, h.since, h.credit, h.trial = recovering, now, 1, time.Time{}
	h.row, h.tally = 0, [2]tally{}
}

// checked takes in an active check's outcome.
func (h *health) checked(c *Config, now time.Time, passed bool) {
	if !passed {
		h.failedCheck = true
		last := h.since.Add(c.MaxEjectTime)
		if until := now.Add(2 * c.CheckEvery); until.After(h.until) {
			h.until = until
		}
		if h.until.After(last) {
			h.until = last
		}
		return
	}
	if h.fault == Unreachable || h.failedCheck {
		h.until = now
	}
}
