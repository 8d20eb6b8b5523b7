package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// audioLag is how far audio may be behind video before silence stands in for it, and lateAudio how far once it was
	// seen to come all the same.
	audioLag  = time.Second
	lateAudio = 3500 * time.Millisecond
)

// maxPendingAudio bounds the units that wait for video to catch up: more than any interleaving needs.
const maxPendingAudio = 2048

// take is the running take of a show: it takes frames in and hands parts and segments to the show. Like the show it is
// guarded by the stream's lock.
type take struct {
	show  *Show
	lanes []*lane // in rendition order
	// video leads; nil if the take is audio only, and then lane 0 leads itself.
	video  *lane
	leader leader
	clock  videoClock
	// selfBound is the length of a segment in ticks when audio leads itself.
	selfBound int64
	lag       time.Duration
	// base is the take's begin in media time, and origin on the publisher's clock.
	base, origin time.Duration
}

// newTake begins a take at media time base with the frame that starts it. Lanes come in rendition order; the one at
// lead leads.
func newTake(show *Show, formats []*format, lead int, base time.Duration, start *media.Frame, plan layout) *take {
	t := &take{show: show, base: base, origin: start.PTS}
	first := show.nextMSN()
	show.lead = lead
	var unit time.Duration
	for i, f := range formats {
		l := newLane(show, i, f, first)
		l.leadScale = formats[lead].track.Timescale
		if i == lead {
			l.emsg = &emsgQueue{timescale: uint32(f.track.Timescale)}
		}
		t.lanes = append(t.lanes, l)
		switch {
		case !f.video():
			unit = max(unit, f.unitTime())
		case i == lead:
			t.video = l
		default:
			unit = max(unit, media.Duration(alignSlack, videoTimescale))
		}
	}
	for _, l := range t.lanes {
		switch begin := media.Ticks(base, l.format.track.Timescale); {
		case l == t.video:
		case l.format.video():
			l.behind = newFollower(l, begin, start.PTS, newRules(show.constants, videoTimescale, 0))
		default:
			l.clock = newAudioClock(l.format, begin, start.PTS, l == t.lanes[0])
		}
	}
	// Tracks must not hold the playlists back for longer than players wait (SEQ-6).
	t.lag = min(audioLag, show.constants.TargetDuration/2)
	if t.video == nil {
		l := t.lanes[0]
		t.selfBound = media.Ticks(show.constants.SegmentDuration, l.format.track.Timescale)
		if l.paired { // whole parts, so that no segment ends in a part of a few units
			whole := (t.selfBound + l.part - 1) / l.part * l.part
			if whole > media.Ticks(show.constants.TargetDuration+overshoot-unit, l.format.track.Timescale) {
				whole -= l.part
			}
			t.selfBound = whole
		}
		return t
	}
	t.leader.rules = newRules(show.constants, videoTimescale, unit)
	t.leader.meter.layout = plan
	t.clock = videoClock{base: media.Ticks(base, videoTimescale)}
	return t
}

// remember gives each lane that can't make silence a unit to repeat. units and lanes are by the publication's track.
func (t *take) remember(units [][]byte, lanes []int) {
	for track, lane := range lanes {
		if lane >= 0 && t.lanes[lane].format.silence == nil {
			t.lanes[lane].last = append(t.lanes[lane].last, units[track]...)
		}
	}
}

// jumps says that a video frame's stamp can't continue the take.
func (t *take) jumps(f *media.Frame) bool { return t.leader.held && t.clock.jumps(f.DTS) }

// writeVideo takes a video frame.
func (t *take) writeVideo(index int, f *media.Frame) {
	l := t.lanes[index]
	if v := l.behind; v != nil {
		v.write(f, max(t.leader.heldDTS, t.clock.base))
		t.followVideo(v)
		return
	}
	if f.Leading && !l.passed {
		t.show.repaired(l.index, "leading", 1) // decoding begins behind what it refers to
		return
	}
	l.passed = l.passed || (f.Sync && t.leader.held)
	var at stamp
	if !t.leader.held {
		ahead := min(aheadLimit, media.Duration(t.leader.limit, videoTimescale))
		at = t.clock.start(t.clock.base, f.DTS, f.PTS, ahead)
	} else {
		at = t.clock.place(f.DTS, f.PTS)
		if at.clamped {
			t.show.repaired(l.index, "clamp", 1)
		}
	}
	stamped := at.dts
	switch {
	case t.leader.foreseen:
		t.clock.move(&at, t.leader.heldDTS)
	case t.leader.held:
		held := &l.frag.samples[l.n]
		held.duration = at.dts - held.dts
	}
	before, after := t.leader.push(at.dts, stamped, f.Sync, f.Recovery)
	t.applyHeld(before)
	if after.cut != noCut {
		t.cut(after, at.dts)
	}
	l.frag.add(append(l.frag.next(), f.Payload...), sample{dts: at.dts, cto: at.cto, sync: f.Sync, leading: f.Leading})
	if after, duration := t.leader.foresee(); after.cut != noCut {
		l.frag.samples[l.n].duration = duration
		l.take()
		t.cut(after, t.leader.heldDTS)
	}
	t.lead(t.leader.heldDTS)
}

// applyHeld moves the held sample into its part, if there is one.
func (t *take) applyHeld(before boundary) {
	l := t.video
	if l.pending() == 0 {
		return
	}
	if before.cut != noCut {
		t.cut(before, l.frag.samples[l.n].dts)
	}
	l.take()
}

// cut makes a boundary of the leader's real.
func (t *take) cut(b boundary, dts int64) {
	l := t.video
	l.closePart(b.listed)
	if b.last {
		t.show.fill(l.index)
	}
	segment := b.cut == cutSegment && l.segDur > 0
	if segment {
		l.closeSegment()
	} else {
		t.show.publish()
	}
	for _, f := range t.lanes { // the followers are told
		switch {
		case f == l:
		case segment:
			f.bounds = append(f.bounds, f.toTicks(dts))
		case f.paired:
			f.partBounds = append(f.partBounds, f.toTicks(dts))
			if b.last {
				f.lastBound = f.toTicks(dts)
			}
		}
	}
}

// followVideo lets a follower go on as far as the leader is.
func (t *take) followVideo(v *follower) {
	if !t.leader.held {
		return
	}
	lag := media.Ticks(t.lag, videoTimescale)
	if v.absent {
		lag = 0
	}
	v.follow(t.leader.heldDTS, lag)
}

// lead lets the followers go on up to the leader's first undecided sample, and silence stand in for what is late.
func (t *take) lead(frontier int64) {
	for _, l := range t.lanes {
		if l == t.video {
			continue
		}
		if l.behind != nil {
			t.followVideo(l.behind)
			continue
		}
		to := l.toTicks(frontier)
		if to-l.clock.next > media.Ticks(t.lag, l.format.track.Timescale) {
			l.fillTo(to)
		}
		l.follow(to)
	}
}

// writeAudio takes an audio unit. jump says that the clock jumped, so that the take can't go on; the unit is not taken.
func (t *take) writeAudio(index int, f *media.Frame) (jump bool) {
	l := t.lanes[index]
	at := l.clock.place(f.PTS)
	switch {
	case at.jump:
		return true
	case at.before:
		return false
	}
	if at.shift {
		t.show.repaired(index, "shift", 1)
	}
	if at.fill > 0 {
		l.fill(at.fill)
	}
	switch {
	case at.release:
		t.addAudio(l, l.doubt)
	case at.reject:
		t.show.repaired(index, "overlap", 1)
	}
	switch {
	case at.stray:
		t.show.repaired(index, "stray", 1)
		return false
	case at.hold:
		l.doubt = append(l.doubt[:0], f.Payload...)
	case at.drop:
		t.show.repaired(index, "overlap", 1)
	default:
		t.addAudio(l, f.Payload)
	}
	if at.late {
		t.allow(l, at.off)
	}
	if t.video == nil {
		t.followSelf()
	} else if t.leader.held {
		l.follow(l.toTicks(t.leader.heldDTS))
	}
	return false
}

// addAudio adds a unit unless too many wait.
func (t *take) addAudio(l *lane, payload []byte) {
	if l.pending() >= maxPendingAudio {
		t.show.repaired(l.index, "overflow", 1)
		return
	}
	l.add(payload)
}

// allow gives audio more time where silence took the place of units that do come, only later: else silence would take
// the place of the next ones too, for ever.
func (t *take) allow(l *lane, off int64) {
	if t.video == nil || !t.leader.held {
		return
	}
	late := media.Duration(l.toTicks(t.leader.heldDTS)-l.clock.next-off, l.format.track.Timescale)
	if late > t.lag && late < lateAudio {
		t.lag = late + audioLag/4
	}
}

// followSelf cuts an audio-only take: a segment ends before the first unit that begins target after the segment's
// begin.
func (t *take) followSelf() {
	l := t.lanes[0]
	for l.pending() > 0 {
		at := l.frag.samples[l.n].dts
		if len(l.bounds) == 0 {
			for _, f := range t.lanes {
				f.bounds = append(f.bounds, f.toTicks(at+t.selfBound))
			}
		}
		l.follow(at + 1)
	}
	for _, f := range t.lanes[1:] {
		to := f.toTicks(l.clock.next)
		if to-f.clock.next > media.Ticks(t.lag, f.format.track.Timescale) {
			f.fillTo(to)
		}
		f.follow(to)
	}
}

// endSelf ends an audio-only take's open segments where the leading lane is.
func (t *take) endSelf(end func(f *lane, ticks int64)) {
	l := t.lanes[0]
	l.settle()
	t.followSelf()
	open := l.segDur > 0
	if open {
		l.bounds = l.bounds[:0]
		l.closePart(t.show.constants.PartTarget > 0)
		l.closeSegment()
	}
	for _, f := range t.lanes[1:] {
		ticks := f.toTicks(l.clock.next)
		if open { // instead of the end that was to come
			f.bounds[len(f.bounds)-1] = ticks
		}
		end(f, ticks)
	}
}

// split ends the open segments where media stopped coming, though the take may go on. It says whether it could.
func (t *take) split() bool {
	if t.video == nil {
		if t.lanes[0].segDur == 0 {
			return false
		}
		t.endSelf(func(f *lane, ticks int64) {
			f.fillTo(ticks)
			f.follow(ticks)
		})
		return true
	}
	listed := !t.leader.unlisted
	if !t.leader.held || !t.leader.split() {
		return false
	}
	t.cut(boundary{cut: cutSegment, listed: listed}, t.leader.heldDTS)
	for _, l := range t.lanes {
		switch {
		case l == t.video:
		case l.behind != nil:
			l.behind.follow(t.leader.heldDTS, -1)
		default:
			l.fillTo(l.toTicks(t.leader.heldDTS))
			l.follow(l.toTicks(t.leader.heldDTS))
		}
	}
	return true
}

// close ends the take: everything that came is in a segment, and all tracks end together.
func (t *take) close() {
	if t.video == nil {
		t.endSelf((*lane).end)
		return
	}
	l := t.video
	if !t.leader.held {
		return
	}
	end := t.leader.heldDTS
	if !t.leader.foreseen {
		before, duration := t.leader.flush()
		l.frag.samples[l.n].duration = duration
		end += duration
		t.applyHeld(before)
	}
	t.cut(boundary{cut: cutSegment, listed: !t.leader.unlisted}, end)
	for _, f := range t.lanes {
		switch {
		case f == l:
		case f.behind != nil:
			f.behind.end()
		default:
			f.end(f.toTicks(end))
		}
	}
}
