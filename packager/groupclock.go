package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// sameClock is how far apart the zeros of two members' clocks may be, by their arrivals, that are one encoder's.
	sameClock = 250 * time.Millisecond
	// measureFor is how long a member's frames are looked at before its clock is believed to be known.
	measureFor = 500 * time.Millisecond
	// driftWindow is how often clocks are compared while they run. A member whose clock is its own is moved when it is
	// driftLimit off the leading one's; one that shares it when it is lateLimit off, for that is no way's delay.
	driftWindow = 10 * time.Second
	driftLimit  = 100 * time.Millisecond
)

// memberClock maps a connection's clock, whose zero is its own, to the group's.
//
// Members of one encoder have one clock, to the tick, and their key frames the same stamps. Whether they do is told by
// arrivals: wall clock less DTS, at its least, is when the clock was zero, plus what the way takes. Where the zeros of
// two members are less than sameClock apart they are the same, and nothing is shifted. Else the member's pictures are
// placed where they arrive, as well as that can be known.
type memberClock struct {
	began  time.Time // first frame's arrival
	zero   time.Time
	last   time.Duration
	offset time.Duration // added to stamps

	window        time.Time // begin of the running one
	least, recent time.Time // zero in the running window so far, and in the last; zero if there is none
}

// see takes a frame's arrival. It says that the clock is another from here on.
func (c *memberClock) see(f *media.Frame) (jumped bool) {
	zero := f.Wall.Add(-f.DTS)
	step := f.DTS - c.last
	c.last = f.DTS
	switch {
	case c.began.IsZero():
		c.began, c.zero = f.Wall, zero
	case step < -backLimit || step > aheadLimit:
		*c = memberClock{began: f.Wall, zero: zero, last: f.DTS}
		return true
	case zero.Before(c.zero) && f.Wall.Sub(c.began) < measureFor:
		c.zero = zero
	}
	if c.least.IsZero() {
		c.window, c.least = f.Wall, zero
	} else if zero.Before(c.least) {
		c.least = zero
	}
	if f.Wall.Sub(c.window) >= driftWindow {
		c.recent, c.least = c.least, time.Time{}
	}
	return false
}

// drift is how far the clock has moved since its zero was measured; false if that is not known.
func (c *memberClock) drift() (time.Duration, bool) { return c.recent.Sub(c.zero), !c.recent.IsZero() }

// followDriftLocked corrects a member's place at its key frame, since clocks of different machines drift apart by
// seconds a day.
func (g *group) followDriftLocked(m *Member) {
	lead := g.tracks[g.leading].from
	if lead == nil || lead == m {
		return
	}
	own, known := m.clock.drift()
	leads, leadKnown := lead.clock.drift()
	limit := driftLimit
	if m.clock.offset == lead.clock.offset {
		limit = lateLimit
	}
	off := own - leads
	if !known || !leadKnown || (off <= limit && off >= -limit) {
		return
	}
	m.clock.offset += off
	m.clock.zero = m.clock.zero.Add(off)
	g.packager.metrics.groupChanges.WithLabelValues("clock").Inc()
	g.logger.Info("member's clock drifted: its pictures are placed anew", "member", m.name,
		"offset", off.Round(time.Millisecond))
}

// known says that enough was seen.
func (c *memberClock) known(now time.Time) bool {
	return !c.began.IsZero() && now.Sub(c.began) >= measureFor
}

func (c *memberClock) near(zero time.Time) bool {
	d := c.zero.Sub(zero)
	return d <= sameClock && d >= -sameClock
}

// placeLocked finds where a member's clock is on the group's. Of others that share its clock it takes the offset, so
// that they stay aligned when all their clocks jump.
func (g *group) placeLocked(m *Member) {
	m.placed = true
	if m.clock.near(g.zero) {
		m.clock.offset = 0
		return
	}
	for _, other := range g.inOrderLocked() {
		if other != m && other.placed && m.clock.near(other.clock.zero) {
			m.clock.offset = other.clock.offset
			return
		}
	}
	m.clock.offset = m.clock.zero.Sub(g.zero)
	g.logger.Info("member has a clock of its own: its pictures are placed where they arrive", "member", m.name,
		"offset", m.clock.offset.Round(time.Millisecond))
}
