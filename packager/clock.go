package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of timeline repair.
const (
	// audioTolerance is how far stamps may stray from the grid before audio is filled or dropped.
	audioTolerance = 100 * time.Millisecond
	// backLimit and aheadLimit are the jumps past which a new take begins.
	backLimit  = time.Second
	aheadLimit = 3 * time.Second
	// strayLimit is how long audio stamps may be off by more than a jump, alone, before their offset is believed.
	strayLimit = time.Second
)

// videoClock turns a publisher's video stamps into ticks. Each tick follows from its own stamp, so rounding never
// adds up.
type videoClock struct {
	base     int64         // ticks at the take's begin
	firstDTS time.Duration // the publisher's clock there
	origin   time.Duration
	wire     time.Duration // the last frame's stamp
	last     int64         // the last frame's ticks
	ahead    time.Duration // the longest step that is no jump
}

// stamp is a video frame's place in the take.
type stamp struct {
	dts     int64
	cto     int32
	clamped bool
}

// start anchors the clock: the first frame has PTS = DTS = base (CMF-19), whatever delay the publisher's stamps had
// between the two. The shift of DTS is constant, so distances stay as they were sent.
func (c *videoClock) start(base int64, dts, pts, ahead time.Duration) stamp {
	*c = videoClock{base: base, firstDTS: dts, origin: pts, wire: dts, last: base, ahead: ahead}
	return stamp{dts: base}
}

// jumps says that the stamp can't continue the take.
func (c *videoClock) jumps(dts time.Duration) bool {
	step := dts - c.wire
	return step < -backLimit || step > c.ahead
}

// place gives the frame's ticks. Equal or falling stamps are put one tick behind the one before.
func (c *videoClock) place(dts, pts time.Duration) stamp {
	s := stamp{dts: c.base + media.Ticks(dts-c.firstDTS, videoTimescale)}
	if s.dts <= c.last {
		s.dts = c.last + 1
		s.clamped = true
	}
	// PTS is not repaired: a clamped DTS moves decoding, not presentation.
	cto := c.base + media.Ticks(pts-c.origin, videoTimescale) - s.dts
	s.cto = int32(min(max(cto, -1<<30), 1<<30))
	c.wire = dts
	c.last = s.dts
	return s
}

// audioClock puts access units on the exact grid of their length.
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
}

// landing is what to do with an audio unit.
type landing struct {
	off    int64 // how far its stamp is from the grid's next place
	fill   int   // units of silence to put before it
	drop   bool  // it overlaps what is there, or lies before the take's begin
	stray  bool  // dropped for a stamp that is far off
	shift  bool  // its stamps were re-anchored
	jump   bool  // the clock jumped: a new take
	before bool  // dropped because it lies before the take's begin
}

func newAudioClock(f *format, base int64, origin time.Duration, alone bool) audioClock {
	return audioClock{rate: f.track.Timescale, unit: f.unit, base: base, origin: origin, next: base, alone: alone}
}

// place decides on a unit. The caller adds fill units of silence, then the unit unless it is dropped, and tells
// advance.
func (c *audioClock) place(pts time.Duration) landing {
	want := c.base + media.Ticks(pts+c.shift-c.origin, c.rate)
	if !c.begun {
		return c.first(want)
	}
	off := want - c.next
	ahead, back := media.Ticks(aheadLimit, c.rate), media.Ticks(backLimit, c.rate)
	switch {
	case c.alone && (off > ahead || off < -back):
		return landing{jump: true}
	case off > ahead || off < -ahead: // audio that is merely late, behind silence that stood in for it, is overlap
		return c.stray(off)
	}
	c.strays = 0
	tolerance := media.Ticks(audioTolerance, c.rate)
	switch {
	case off > tolerance:
		return landing{off: off, fill: int((off + c.unit/2) / c.unit)}
	case off < -tolerance:
		return landing{off: off, drop: true}
	}
	return landing{off: off}
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
	c.begun = true
	return landing{shift: true}
}

// advance takes n units' places.
func (c *audioClock) advance(n int) {
	c.next += int64(n) * c.unit
	c.begun = c.begun || n > 0
}
