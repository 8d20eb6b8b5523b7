package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// roundingSlack forgives what millisecond stamps and 29.97 Hz add to a GOP: 2.002 s is a segment of 2 s, and its
	// target duration is 2 (TD-2 rounds), not 3.
	roundingSlack = 50 * time.Millisecond
	// overshoot is how far past the target duration a segment may go before EXTINF rounds up (TD-2).
	overshoot = 490 * time.Millisecond
	// standardSegment is the least segment in latency mode "standard".
	standardSegment = 4 * time.Second
	// chunkDuration is how long a moof+mdat gets where no parts are listed, so that a crash costs little.
	chunkDuration = time.Second
	// holdBackSlack is what PART-HOLD-BACK has beside three parts, for jitter.
	holdBackSlack = 300 * time.Millisecond
	// leastPart is the shortest PART-TARGET that an awkward frame rate may lead to.
	leastPart = 100 * time.Millisecond
)

// observed is what the first GOPs of a recording showed.
type observed struct {
	gop    time.Duration   // the longest GOP; zero if none ended
	stamps []time.Duration // the video frames' DTS; none without video
	// unit is the length of an audio unit in ticks of 1/rate; zero without audio.
	unit, rate int64
}

// frame is the usual distance of video frames; zero if it is unknown.
func (o *observed) frame() time.Duration {
	if n := len(o.stamps); n > 1 {
		return (o.stamps[n-1] - o.stamps[0]) / time.Duration(n-1)
	}
	return 0
}

// runs gives the shortest and the longest run of count frames.
func (o *observed) runs(count int) (low, high time.Duration) {
	low = 1 << 62
	for i := 0; i+count < len(o.stamps); i++ {
		d := o.stamps[i+count] - o.stamps[i]
		low, high = min(low, d), max(high, d)
	}
	return low, high
}

// wholeUnits rounds a part's length up to whole audio units. An audio part then has room for what begins between two of
// video's cuts, and ends where video's does: else each segment would end in an audio part of one or two units, a
// request of its own, and one that hls.js leaves out: it takes a fragment that lacks less than 0.2 s for loaded.
func (o *observed) wholeUnits(part time.Duration) time.Duration {
	if o.unit <= 0 || part <= 0 {
		return part
	}
	unit := o.unit * int64(time.Second)
	slack := o.rate - 1 // what a whole number of units was rounded up by: it is none more
	units := (int64(part)*o.rate - slack + unit - 1) / unit
	return time.Duration((units*unit + o.rate - 1) / o.rate)
}

// newConstants fixes a recording's constants (HLS.md section 0). Nothing changes them later.
func newConstants(s media.Settings, o observed) media.Constants {
	low := s.Latency != media.LatencyStandard
	least := s.SegmentDuration.D()
	if least <= 0 {
		least = media.DefaultSettings().SegmentDuration.D()
	}
	if !low {
		least = max(least, standardSegment)
	}
	segment := least
	if o.gop > 0 {
		count := max(1, (least-roundingSlack+o.gop-1)/o.gop)
		segment = count * o.gop
	}
	target := max(1, (segment-roundingSlack+time.Second-1)/time.Second) * time.Second
	c := media.Constants{
		TargetDuration:  target,
		SegmentDuration: segment,
		HoldBack:        3 * target,
		CanSkipUntil:    6 * target,
	}
	if low {
		part := s.PartDuration.D()
		if part <= 0 {
			part = media.DefaultSettings().PartDuration.D()
		}
		c.PartTarget = partTarget(o.wholeUnits(part), o)
		c.PartTarget = o.wholeUnits(c.PartTarget)
	}
	if c.PartTarget > 0 {
		c.PartHoldBack = 3*c.PartTarget + holdBackSlack
	}
	return c
}

// partTarget is the setting, unless whole frames fill less than 85 % of it (PRT-3): then it is what they fill, and the
// frames of 29.97 Hz make parts of 0.169 s of a setting of 0.2. Zero, no parts, if a frame lasts longer than a part.
func partTarget(want time.Duration, o observed) time.Duration {
	frame := o.frame()
	if frame <= 0 {
		return want
	}
	for count := int(want/frame) + 1; count > 0; count-- {
		low, high := o.runs(count)
		if high == 0 || high > want {
			continue
		}
		if low >= leastShare(want) {
			return want
		}
		fits := high.Truncate(time.Millisecond) + 2*time.Millisecond // stamps are in milliseconds
		switch {
		case low < leastShare(fits): // stamps jitter: the segmenter does what it can with the setting
			return want
		case fits < leastPart:
			return 0
		}
		return fits
	}
	if want/frame > 0 {
		return want // jitter hides that a frame fits, or there are too few to tell
	}
	return 0
}

// leastShare is the least duration of a dependent part (PRT-3), rounded up.
func leastShare(part time.Duration) time.Duration { return (part*85 + 99) / 100 }

// newRules turns the constants into ticks. unit is the length of an audio unit beside the leading track, zero if none.
func newRules(c media.Constants, timescale int64, unit time.Duration) rules {
	r := rules{
		target: media.Ticks(c.SegmentDuration, timescale),
		limit:  media.Ticks(c.TargetDuration+overshoot-unit, timescale),
		listed: c.PartTarget > 0,
		least:  max(1, media.Ticks(unit+time.Millisecond, timescale)),
	}
	part := c.PartTarget
	if part == 0 {
		part = chunkDuration
	}
	// Rounded down, floor up: never past the rule for a fraction of a tick.
	r.part = int64(part) * timescale / int64(time.Second)
	r.floor = (int64(leastShare(part))*timescale + int64(time.Second) - 1) / int64(time.Second)
	r.early = max(r.part, r.target/4)
	return r
}
