package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of timeline repair.
const (
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

// move lets the frame that was placed last decode at another time, and be shown when it was to be.
func (c *videoClock) move(s *stamp, dts int64) {
	s.cto += int32(s.dts - dts)
	s.dts = dts
	c.last = max(c.last, dts)
}
