package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// audioTolerance is how far two stamps in a row may stray from the grid before they are believed, however they
	// jitter otherwise.
	audioTolerance = 100 * time.Millisecond
	// audioDrift is the least lasting distance of stamps and grid that is repaired, and driftSlack what it is past half
	// a unit, so that a repair is never the reason for the next.
	audioDrift = 12 * time.Millisecond
	driftSlack = 5 * time.Millisecond
	// swayScale is over how many units sway is smoothed, and what it is multiplied by.
	swayScale = 32
)

// audioClock puts access units on the exact grid of their length, and keeps the grid where the stamps are: within half
// a unit and 5 ms, or 12 ms. Units that are missing are filled at once: a unit whose stamp is a step away from those
// before is held until the next says the same. What stays otherwise, an encoder's drift, costs a unit of silence or a
// unit dropped.
type audioClock struct {
	rate   int64
	unit   int64
	base   int64 // ticks at the take's begin
	origin time.Duration
	next   int64 // the grid's next free place
	begun  bool
	// alone says that no video tells when the publisher's clock jumps.
	alone bool
	// shift is added to stamps that were found to be off by themselves.
	shift  time.Duration
	strays int64 // ticks of units dropped in a row because of stamps that are far off

	past   offsets
	last   int64 // the last unit's offset
	sway   int64 // how far it usually is from the one's before, smoothed
	excess int   // units to drop, which are more than there is time for
	// doubted: a unit is held whose offset is doubt.
	doubted bool
	doubt   int64
	// stoodIn: silence took the place of units that did not come. Those that come late are dropped.
	stoodIn bool
}

// landing is what to do with an audio unit. fill comes first, then the unit held, then this one.
type landing struct {
	off     int64 // how far its stamp is from the grid's next place
	fill    int   // units of silence to add
	release bool  // add the unit that was held
	reject  bool  // drop the unit that was held
	hold    bool  // hold this one
	drop    bool  // it overlaps what is there, or lies before the take's begin
	late    bool  // dropped because silence stood in for it
	stray   bool  // dropped for a stamp that is far off
	shift   bool  // its stamps were re-anchored
	jump    bool  // the clock jumped: a new take
	before  bool  // dropped because it lies before the take's begin
}

func newAudioClock(f *format, base int64, origin time.Duration, alone bool) audioClock {
	return audioClock{
		rate: f.track.Timescale, unit: f.unit, base: base, origin: origin, next: base, alone: alone,
		past: newOffsets(f.unit, f.track.Timescale), sway: swayScale * f.unit / 4,
	}
}

// place decides on a unit. The caller does what the landing says and tells advance of each unit that it adds.
func (c *audioClock) place(pts time.Duration) landing {
	want := c.base + media.Ticks(pts+c.shift-c.origin, c.rate)
	if !c.begun {
		return c.first(want)
	}
	off := want - c.next
	if c.doubted {
		off -= c.unit
	}
	ahead, back := media.Ticks(aheadLimit, c.rate), media.Ticks(aheadLimit, c.rate)
	switch {
	case c.alone:
		back = media.Ticks(backLimit, c.rate)
	case c.stoodIn:
		back = media.Ticks(lateAudio, c.rate)
	}
	switch far := off > ahead || off < -back; {
	case far && c.alone:
		return landing{jump: true}
	case far:
		return c.stray(off)
	}
	c.strays = 0
	if c.stoodIn {
		return c.afterSilence(off)
	}
	if c.doubted {
		return c.resolve(off)
	}
	if c.excess > 0 {
		c.excess--
		return c.dropped(off)
	}
	if c.doubtful(off) {
		c.hold(off)
		return landing{off: off, hold: true}
	}
	return c.keep(off)
}

// first starts the grid on the first unit that lies in the take; what came before it is silence, so that the track
// begins within a unit of the others (CMF-11).
func (c *audioClock) first(want int64) landing {
	off := want - c.base
	if off < 0 {
		return landing{drop: true, before: true}
	}
	if off > media.Ticks(aheadLimit, c.rate) && !c.alone {
		return c.stray(off)
	}
	c.begun = true
	c.strays = 0
	c.next = c.base + off%c.unit
	c.past.add(0)
	return landing{fill: int(off / c.unit)}
}

// stray drops a unit whose stamp is far off. One bad stamp, or stragglers of a clock that jumped, cost no
// discontinuity; if it goes on while video sees no jump, the audio clock alone moved, and its offset is taken out.
func (c *audioClock) stray(off int64) landing {
	c.strays += c.unit
	if c.strays < media.Ticks(strayLimit, c.rate) {
		return landing{drop: true, stray: true}
	}
	c.strays = 0
	c.shift -= media.Duration(off, c.rate)
	c.begun, c.stoodIn, c.excess, c.last = true, false, 0, 0
	return landing{shift: true, release: c.settle()}
}

// afterSilence takes units up again that silence stood in for: with the one that is nearest to the silence's end.
func (c *audioClock) afterSilence(off int64) landing {
	if off < -c.unit/2 {
		return landing{off: off, drop: true, late: true}
	}
	c.stoodIn, c.excess = false, 0
	fill := (off + c.unit/2) / c.unit
	c.note(off - fill*c.unit)
	return landing{off: off, fill: int(fill)}
}

func (c *audioClock) note(off int64) {
	c.past.add(off)
	c.sway += min(abs(off-c.last), c.unit/2) - c.sway/swayScale
	c.last = off
}

// dropped is a unit too many: the next one has its place.
func (c *audioClock) dropped(off int64) landing {
	c.last = off + c.unit
	return landing{off: off, drop: true}
}

// doubtful says that a unit's stamp is a step away from those before it, where they are steady, or far from the grid.
func (c *audioClock) doubtful(off int64) bool {
	step := abs(off - c.last)
	return abs(off) > media.Ticks(audioTolerance, c.rate) ||
		step >= max(c.unit*3/4, media.Ticks(driftSlack, c.rate)) && c.sway < swayScale*c.unit/8
}

func (c *audioClock) hold(off int64) { c.doubted, c.doubt = true, off }

// resolve decides on the unit held by the stamp of the one behind it, whose offset is as if the first was added: only
// what both say is believed.
func (c *audioClock) resolve(off int64) landing {
	c.doubted = false
	at := landing{off: off, release: true}
	n := rounded(common(c.doubt, off), c.unit)
	// The offsets follow where the grid is moved by other than what was lost.
	step := rounded(common(c.doubt-c.last, off-c.last), c.unit)
	c.past.move((step - n) * c.unit)
	c.last += (step - n) * c.unit
	switch {
	case n < 0:
		at.release, at.reject = false, true
		c.dropped(c.doubt)
		off += c.unit
		c.excess = int(-n) - 1
	case n > 0:
		at.fill = int(n)
		off -= n * c.unit
		c.note(c.doubt - n*c.unit)
	default:
		c.note(c.doubt)
	}
	switch {
	case c.excess > 0:
		c.excess--
		c.dropped(off)
		at.drop = true
	case c.doubtful(off):
		c.hold(off)
		at.hold = true
	default:
		c.note(off)
	}
	return at
}

// keep takes a unit, and brings the grid back to stamps that stay away from it.
func (c *audioClock) keep(off int64) landing {
	c.note(off)
	limit := max(media.Ticks(audioDrift, c.rate), min(c.unit*3/4, c.unit/2+media.Ticks(driftSlack, c.rate)))
	if abs(off) < limit/2 {
		return landing{off: off}
	}
	now, recent, noise, ok := c.past.trend()
	limit += 2 * noise
	if !ok || c.past.count < c.past.size/2 || abs(now) <= limit || abs(recent) <= limit/4 || (now < 0) != (recent < 0) {
		return landing{off: off}
	}
	n := max(1, rounded(abs(recent), c.unit))
	if now > 0 {
		c.past.move(-n * c.unit)
		c.last -= n * c.unit
		return landing{off: off, fill: int(n)}
	}
	c.past.move(n * c.unit)
	c.excess = int(n) - 1
	return c.dropped(off)
}

// common is what two offsets have in common: the lesser, if they are on the same side.
func common(a, b int64) int64 {
	if a < 0 && b < 0 {
		return max(a, b)
	}
	return max(0, min(a, b))
}

// rounded gives the whole units in some ticks.
func rounded(ticks, unit int64) int64 {
	if ticks < 0 {
		return -rounded(-ticks, unit)
	}
	return (ticks + unit/2) / unit
}

// settle ends the doubt for want of another stamp. It says whether a unit is held, which is to be added.
func (c *audioClock) settle() bool {
	held := c.doubted
	c.doubted = false
	return held
}

// advance takes n units' places.
func (c *audioClock) advance(n int) {
	c.next += int64(n) * c.unit
	c.begun = c.begun || n > 0
}
