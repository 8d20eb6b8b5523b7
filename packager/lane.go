package packager

import (
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// lane is one track of a running take: its samples that are in no part yet, and its open segment and part. Times are
// the track's ticks.
type lane struct {
	index  int // of the rendition
	format *format
	frag   fragment
	show   *Show

	n       int   // samples of the open part, at the head of frag
	partDur int64 // theirs
	part    int64 // the longest a part may be
	segDur  int64
	msn     media.MSN
	parts   int // parts of the open segment so far
	segSync bool
	// keyAt is where the open segment's first random access point is, in ticks behind its begin; below zero it has none.
	keyAt int64
	// passed: video had another random access point than its first, so that leading pictures can be decoded.
	passed bool
	// emsg is of the leading lane only.
	emsg *emsgQueue

	// What follows is of lanes that follow the leader.

	clock     audioClock
	doubt     []byte // the unit that the clock holds
	leadScale int64  // the leader's timescale
	// bounds are where the leader's segments end, as the first tick that is past each, oldest first; partBounds the
	// same for its parts in mid-segment.
	bounds, partBounds []int64
	// lastBound is the newest of partBounds at which a segment is thought to end.
	lastBound int64
	// paired says that a part has room for what begins between two of the leader's cuts, so that parts end together.
	paired bool
	// behind is set for video: it follows the leader otherwise than audio.
	behind *follower
	// last is the last unit's payload: it is repeated where no silence can be made.
	last []byte
}

func newLane(show *Show, index int, f *format, msn media.MSN) *lane {
	l := &lane{
		index: index, format: f, show: show, msn: msn,
		frag: fragment{video: f.track.Kind == media.Video, unit: f.unit},
	}
	l.part = newRules(show.constants, f.track.Timescale, 0).part
	l.paired = f.unit > 0 && l.part%f.unit == 0
	return l
}

// take moves a sample from the pending ones to the open part.
func (l *lane) take() {
	s := &l.frag.samples[l.n]
	if l.parts == 0 && l.n == 0 {
		l.segSync, l.keyAt = s.sync, -1
		l.show.beginSegment(l.index, s.dts)
	}
	if s.sync && l.keyAt < 0 {
		l.keyAt = l.segDur
	}
	l.n++
	l.partDur += s.duration
	l.segDur += s.duration
}

// pending counts the samples that are in no part.
func (l *lane) pending() int { return len(l.frag.samples) - l.n }

// closePart hands the open part out. It does nothing if the part is empty.
func (l *lane) closePart(listed bool) {
	if l.n == 0 {
		return
	}
	part := media.Part{Index: l.parts, Duration: l.partDur}
	first, last := l.frag.samples[0], l.frag.samples[l.n-1]
	for i := range l.frag.samples[:l.n] {
		part.Independent = part.Independent || l.frag.samples[i].sync
	}
	if l.emsg != nil {
		l.frag.emsg = l.emsg.appendDue(l.frag.emsg[:0], last.dts+last.duration)
	}
	data := l.frag.cut(reclog.SequenceNumber(l.msn, l.parts), l.n)
	if l.frag.video && first.sync {
		part.Head = int64(len(l.frag.head)) + int64(first.size)
	}
	l.parts++
	l.n, l.partDur = 0, 0
	l.show.addPart(l.index, data, part, listed)
}

// closeSegment ends the open segment, which has at least one part.
func (l *lane) closeSegment() {
	if l.behind != nil && !l.segSync {
		l.behind.unaligned()
	}
	l.show.finishSegment(l.index, l.segDur, l.segSync)
	l.msn++
	l.parts, l.segDur = 0, 0
}

// follow puts pending units into parts and segments, as far as the leader has decided: up to those that begin before
// the frontier. A segment ends before the first unit that begins at or after the leader's cut (CMF-23), and so does a
// part where the two are paired; else a part ends when no further unit fits into it.
func (l *lane) follow(frontier int64) {
	listed := l.show.constants.PartTarget > 0
	for l.pending() > 0 && l.frag.samples[l.n].dts < frontier {
		l.endAt(l.frag.samples[l.n].dts, listed)
		l.take()
		// Boundaries that are known already are not left to the next unit: it costs its length in latency.
		l.endAt(l.frag.samples[l.n-1].dts+l.format.unit, listed)
	}
}

// endAt ends what a unit that begins at dts is no longer part of.
func (l *lane) endAt(dts int64, listed bool) {
	for len(l.partBounds) > 0 && dts >= l.partBounds[0] {
		last := l.partBounds[0] == l.lastBound && l.lastBound > 0
		l.partBounds = l.partBounds[:copy(l.partBounds, l.partBounds[1:])]
		if l.n > 0 {
			l.closePart(listed)
			if last {
				l.show.fill(l.index)
			}
			l.show.publish()
		}
	}
	for len(l.bounds) > 0 && dts >= l.bounds[0] {
		if l.segDur == 0 {
			return // every segment has a sample (CMF-18); leader.least sees to it
		}
		l.bounds = l.bounds[:copy(l.bounds, l.bounds[1:])]
		l.closePart(listed)
		l.closeSegment()
	}
	if l.partDur+l.format.unit > l.part {
		l.closePart(listed)
		l.show.publish()
	}
}

// add appends a unit on the grid.
func (l *lane) add(payload []byte) {
	l.frag.add(append(l.frag.next(), payload...), sample{dts: l.clock.next, duration: l.format.unit, sync: true})
	l.clock.advance(1)
	if l.format.silence == nil {
		l.last = append(l.last[:0], payload...)
	}
}

// fill appends units for sound that never came: silence where it can be made, else the last unit again.
func (l *lane) fill(count int) {
	payload, repair := l.format.silence, "silence"
	if payload == nil {
		payload, repair = l.last, "repeat"
	}
	for range count {
		l.frag.add(append(l.frag.next(), payload...), sample{dts: l.clock.next, duration: l.format.unit, sync: true})
		l.clock.advance(1)
	}
	l.show.repaired(l.index, repair, count)
}

// fillTo fills until the grid reaches a time.
func (l *lane) fillTo(ticks int64) {
	l.settle()
	if l.clock.next < ticks {
		l.fill(int((ticks - l.clock.next + l.format.unit - 1) / l.format.unit))
		l.clock.stoodIn = true
	}
}

// settle adds the unit that the clock holds, because the next did not come.
func (l *lane) settle() {
	if l.clock.settle() {
		l.add(l.doubt)
	}
}

// end closes the lane's last segment of the take at the leader's end: units past it are dropped, missing ones filled.
func (l *lane) end(ticks int64) {
	l.settle()
	for len(l.frag.samples) > 0 {
		last := l.frag.samples[len(l.frag.samples)-1]
		if last.dts < ticks || l.pending() == 0 {
			break
		}
		l.frag.drop(len(l.frag.samples) - 1)
		l.clock.next = last.dts
	}
	l.fillTo(ticks)
	l.follow(ticks)
	if l.segDur == 0 && l.pending() == 0 && l.msn == l.show.renditions[l.show.lead].last() {
		// The leader's last segment is shorter than a unit and this track's grid steps over it.
		l.fill(1)
	}
	for l.pending() > 0 {
		l.take()
	}
	l.closePart(l.show.constants.PartTarget > 0)
	if l.segDur > 0 {
		l.closeSegment()
	}
}

// toTicks turns a time of the leader's into the first tick of the lane's that is not before it.
func (l *lane) toTicks(leader int64) int64 {
	scale, from := l.format.track.Timescale, l.leadScale
	return leader/from*scale + (leader%from*scale+from-1)/from
}
