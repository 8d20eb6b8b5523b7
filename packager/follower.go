package packager

import (
	"math"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// alignSlack is how far behind the leader's cut a follower's may be, in ticks. It is taken off the longest segment
	// (TD-2) and added to the shortest.
	alignSlack = videoTimescale / 10
	// alignEarly is how far before the leader's cut a follower's random access point may be that belongs to it.
	alignEarly = videoTimescale / 50
	// maxPendingVideo and maxPendingBytes bound the samples that wait for the leader.
	maxPendingVideo = 2048
	maxPendingBytes = 32 << 20
)

// follower is a lane of video beside the leader's. Its segments end where the leader's do: at its own random access
// point there if it has one, else at its first sample there. Where it has no sample at all the segment is a gap. Its
// parts are its own.
//
// A sample decodes where the one before ends: at the begin of a segment that may be before or behind its stamp. Its
// presentation stays where it was sent.
type follower struct {
	*lane
	parts leader // for parts only
	clock videoClock
	// base and origin are the leader's begin, in ticks and on the publisher's clock.
	base   int64
	origin time.Duration
	// edge is the end of what was taken; the first pending sample begins there.
	edge int64
	// absent: nothing is on its way, so its segments are not waited for.
	absent bool
	// lost: nothing can be decoded until the next random access point.
	lost bool
	// warned: that its key frames are not aligned with the leader's was said.
	warned bool
}

func newFollower(l *lane, base int64, origin time.Duration, r rules) *follower {
	r.follows = true
	v := &follower{lane: l, base: base, origin: origin, edge: base, lost: true}
	v.clock.last = base - 1
	v.parts.rules = r
	return v
}

// write takes a frame. heldDTS is where the leader is, or base.
func (v *follower) write(f *media.Frame, heldDTS int64) {
	switch {
	case v.lost && !f.Sync && !f.Recovery:
		return
	case f.Leading && !v.passed:
		v.show.repaired(v.index, "leading", 1)
		return
	case !v.lost && v.clock.jumps(f.DTS):
		v.lost, v.passed = true, false
		if !f.Sync {
			v.show.repaired(v.index, "stray", 1)
			return
		}
	}
	v.passed = v.passed || (f.Sync && !v.lost)
	var at stamp
	if v.lost {
		want := v.base + media.Ticks(f.PTS-v.origin, videoTimescale)
		if want < v.base-alignEarly { // from before the take's begin
			return
		}
		if far := media.Ticks(aheadLimit, videoTimescale); want > heldDTS+far || want < heldDTS-far {
			v.show.repaired(v.index, "stray", 1)
			return
		}
		last := v.clock.last
		at = v.clock.start(max(want, last+1, v.base), f.DTS, f.PTS, aheadLimit)
		v.lost = false
	} else {
		at = v.clock.place(f.DTS, f.PTS)
		if at.clamped {
			v.show.repaired(v.index, "clamp", 1)
		}
	}
	if v.pending() >= maxPendingVideo || len(v.frag.data) > maxPendingBytes {
		v.show.repaired(v.index, "overflow", 1)
		v.lost, v.passed = true, false
		return
	}
	v.frag.add(append(v.frag.next(), f.Payload...), sample{dts: at.dts, cto: at.cto, sync: f.Sync, leading: f.Leading})
}

// follow puts pending samples into parts and segments as far as the leader has decided, which is up to the frontier. A
// segment whose samples did not come is ended without them once the frontier is more than lag past its end.
func (v *follower) follow(frontier, lag int64) {
	for v.step(frontier, lag) {
	}
}

func (v *follower) step(frontier, lag int64) bool {
	const never = math.MaxInt64 / 2
	bound := int64(never)
	if len(v.bounds) > 0 {
		bound = v.bounds[0]
	}
	due := bound < never && frontier-bound > lag
	if v.segDur == 0 { // an empty segment
		if none := v.pending() == 0; (none && due) || (!none && v.frag.samples[v.n].dts >= bound+alignSlack) {
			v.gap(bound)
			return true
		} else if none {
			return false
		}
	} else if v.edge >= bound {
		v.endSegment(true)
		return true
	}
	if v.pending() == 0 {
		return false
	}
	held := &v.frag.samples[v.n]
	held.moveTo(v.edge)
	if !v.parts.held {
		v.parts.push(held.dts, held.dts, held.sync, false)
	}
	if v.pending() == 1 {
		if !due {
			return false
		}
		held.duration = max(1, bound-v.edge)
		v.admit(v.parts.admit(held.duration), held.duration)
		v.endSegment(!v.parts.unlisted)
		return true
	}
	next := &v.frag.samples[v.n+1]
	if next.dts <= held.dts {
		next.moveTo(held.dts + 1)
	}
	end := next.dts
	cuts := end >= bound || (next.sync && end >= bound-alignEarly)
	switch {
	case cuts && end > bound+alignSlack:
		end = max(bound, v.edge+1)
	case !cuts && end+alignEarly >= frontier:
		return false
	}
	held.duration = end - held.dts
	if cuts {
		v.admit(v.parts.admit(held.duration), held.duration)
		v.endSegment(!v.parts.unlisted)
		return true
	}
	before, after := v.parts.push(end, end, next.sync, false)
	v.admit(before, held.duration)
	if after.cut != noCut {
		v.closePart(after.listed)
		v.show.publish()
	}
	return true
}

// admit moves the held sample into its part.
func (v *follower) admit(before boundary, duration int64) {
	if before.cut != noCut {
		v.closePart(before.listed)
		v.show.publish()
	}
	v.take()
	v.edge += duration
}

// endSegment ends the open segment, which has a sample, at the edge.
func (v *follower) endSegment(listed bool) {
	v.bounds = v.bounds[:copy(v.bounds, v.bounds[1:])]
	v.closePart(listed)
	v.closeSegment()
	v.parts.held = false // the next begins anew
}

// gap lists a segment without media.
func (v *follower) gap(bound int64) {
	v.bounds = v.bounds[:copy(v.bounds, v.bounds[1:])]
	bound = max(bound, v.edge+1)
	v.show.finishGap(v.index, bound-v.edge)
	v.show.repaired(v.index, "gap", 1)
	v.msn++
	v.edge = bound
	v.parts.held = false
	v.clock.last = max(v.clock.last, bound-1)
}

// end closes the lane at the leader's end, which is the last of its bounds.
func (v *follower) end() {
	for len(v.bounds) > 0 && v.step(math.MaxInt64, 0) { // what is ahead of the leader is of no segment
	}
	v.frag.drop(v.n)
}

// unaligned follows the end of a segment that begins without a random access point.
func (v *follower) unaligned() {
	s := v.show
	s.dependent = true
	s.metrics.dependent.Inc()
	s.metrics.unaligned.Inc()
	if v.warned {
		return
	}
	v.warned = true
	offset := "no key frame in the segment"
	if v.keyAt >= 0 {
		offset = media.Duration(v.keyAt, videoTimescale).Round(time.Millisecond).String()
	}
	take := &s.takes[len(s.takes)-1]
	mine, leads := &take.Tracks[v.index], &take.Tracks[s.lead]
	s.logger.Warn("key frames of two renditions are not aligned, so players can't switch between them everywhere: "+
		"have the encoder make key frames of all renditions at the same times",
		"take", take.Number, "msn", int64(v.msn), "track", mine.Name, "label", mine.Label, "offset", offset,
		"leading_track", leads.Name, "leading_label", leads.Label)
}

// moveTo lets a sample decode at another time, and be shown when it was to be.
func (s *sample) moveTo(dts int64) {
	s.cto += int32(s.dts - dts)
	s.dts = dts
}
