package packager

// cut is a boundary that the leader sets.
type cut uint8

const (
	noCut cut = iota
	cutPart
	cutSegment
)

// maxPartIndex is the last part index of a segment: mfhd.sequence_number has 7 bits for it.
const maxPartIndex = 127

// stampSlack is what millisecond stamps may add to a GOP, in ticks.
const stampSlack = 2 * videoTimescale / 1000

// rules are a recording's constants in a track's ticks.
type rules struct {
	target int64 // the wanted length of a segment
	limit  int64 // the longest a segment may be (TD-2), less an audio unit, since audio ends up to one later
	part   int64 // the longest a part may be (PRT-2)
	floor  int64 // the shortest a dependent part may be (PRT-3): 85 % of PART-TARGET
	least  int64 // the shortest segment: an audio unit, so that every segment of every track has a sample
	early  int64 // the shortest segment that an unexpected IDR may end
	listed bool  // parts are listed at all
	// follows: another track says where segments end, and only parts are decided on.
	follows bool
}

// leader decides where the segments and parts of the track that leads end; the others follow. It sees one sample
// ahead: the last one is held until the next tells its duration. Only at the end of a part that the layout planned, of
// a stream whose frames come evenly, it does not wait for that (foresee), and players have the part a frame earlier.
//
// What it keeps, in order of weight where two conflict:
//
//  1. TD-2: a segment never exceeds limit; without an IDR in time it is cut before any sample (forced).
//  2. PRT-2: a part is closed before the sample that would overrun it. A sample longer than a part can't be in any:
//     the rest of its segment is listed whole (unlisted).
//  3. PRT-3: a part that holds no IDR and does not end its segment has at least floor. Where PRT-2 and PRT-3 leave no
//     choice the rest of the segment is listed whole too.
//  4. PRT-14: an IDR is the first sample of its part. An IDR that comes while a short dependent part is open
//     therefore ends the segment, where that short part is allowed to be last. Only if the segment would then be
//     shorter than early the IDR stays inside the part, which is marked independent nevertheless (PRT-9): a stream of
//     small segments costs every player a request and a seam each, an IDR in mid-part costs a player that switches
//     there a few frames.
//  5. Segments are cut at the IDR that is nearest to target. Where no IDR is to be expected in time, recovery points
//     are preferred to others, so that players join with the least of a broken picture.
type leader struct {
	rules
	meter gopMeter

	held     bool
	heldDTS  int64
	heldSync bool
	lastStep int64
	// foreseen: the part in front of heldDTS was ended before the sample that begins there came.
	foreseen bool

	segStart  int64
	segDur    int64
	segSync   bool
	unlisted  bool // parts of the open segment are listed no longer
	partDur   int64
	partSync  bool // the open part holds an IDR
	partHead  bool // it begins with it
	partIndex int
	next      int // the next boundary of the layout
}

// boundary is a cut and whether the part that it ends is listed.
type boundary struct {
	cut    cut
	listed bool
	// last: the part that ends is thought to be its segment's last.
	last bool
}

// push takes the sample that follows the held one; stamp is its own time where it was moved to dts. before is the
// boundary in front of the held sample, which then joins the open part; after is the one behind it. recovery marks a
// recovery point.
func (l *leader) push(dts, stamp int64, sync, recovery bool) (before, after boundary) {
	l.meter.add(stamp, sync, l.part, l.floor)
	begins := cutSegment
	if first := !l.held || l.foreseen && l.segDur == 0; !first {
		if !l.foreseen {
			before = l.admit(dts - l.heldDTS)
		}
		after = boundary{cut: l.decide(dts, sync, recovery), listed: !l.unlisted}
		begins = after.cut
	}
	if sync {
		l.next = 0
	}
	l.apply(begins, dts, sync)
	l.held, l.heldDTS, l.heldSync, l.foreseen = true, dts, sync, false
	return before, after
}

// foresee ends the open part behind the held sample, where the layout has a boundary, and gives that sample's duration.
// The next sample is to be put at heldDTS, whatever its stamp is: as frames come evenly that is the same but for the
// rounding of stamps. The segment is not ended: that is left to the IDR.
func (l *leader) foresee() (after boundary, duration int64) {
	p := &l.meter.layout
	if !l.held || l.foreseen || l.unlisted || p.count == 0 || !near(l.lastStep, p.frame) {
		return after, 0
	}
	end := l.meter.start + p.gop
	if l.next < p.count {
		end = l.meter.start + p.boundary(l.next)
	}
	idr := l.next >= p.count
	if duration = end - l.heldDTS; !near(duration, p.frame) {
		return after, 0
	}
	was := *l
	if l.admit(duration).cut != noCut || l.decide(end, false, false) != cutPart {
		*l = was
		return after, 0
	}
	l.apply(cutPart, end, false)
	l.heldDTS, l.heldSync, l.foreseen = end, false, true
	return boundary{cut: cutPart, listed: true, last: idr && l.atIDR() == cutSegment}, duration
}

// near says that two durations are the same but for the rounding of stamps.
func near(a, b int64) bool { return a-b <= stampSlack && b-a <= stampSlack }

// flush admits the held sample with its usual duration, because no other will follow.
func (l *leader) flush() (before boundary, duration int64) {
	duration = l.usual()
	if l.segDur > 0 && l.segDur+duration > l.limit {
		duration = max(1, min(duration, l.limit-l.segDur))
	}
	if l.partDur > 0 && l.partDur+duration > l.part && l.partDur+l.usual()/2 <= l.part {
		duration = l.part - l.partDur // rather a shorter last sample than a part of its own
	}
	before = l.admit(duration)
	l.held = false
	return before, duration
}

// usual is what a sample lasts when nothing else is known.
func (l *leader) usual() int64 {
	d := l.lastStep
	if f := l.meter.layout.frame; f > 0 {
		d = f
	}
	if d <= 0 {
		d = videoTimescale / 25
	}
	return min(d, l.part)
}

// admit decides on a boundary before the held sample, now that its duration is known, and puts it into the open part.
func (l *leader) admit(duration int64) (before boundary) {
	switch {
	case !l.follows && (l.partIndex >= maxPartIndex || (l.segDur > 0 && l.segDur+duration > l.limit)):
		before.cut = cutSegment
	case l.partIndex >= maxPartIndex:
		l.unlisted = true // the last part takes the rest
	case l.partDur > 0 && l.partDur+duration > l.part:
		before.cut = cutPart
		if !l.closable() {
			l.unlisted = true
		}
	}
	before.listed = !l.unlisted
	l.apply(before.cut, l.heldDTS, l.heldSync)
	if duration > l.part {
		l.unlisted = true
	}
	l.partSync = l.partSync || l.heldSync
	l.partHead = l.partHead || (l.partDur == 0 && l.heldSync)
	l.segDur += duration
	l.partDur += duration
	l.lastStep = duration
	return before
}

// closable says that the open part may end in mid-segment.
func (l *leader) closable() bool { return l.partSync || l.partDur >= l.floor || l.unlisted }

// decide chooses the boundary before a sample of which only the begin is known.
func (l *leader) decide(dts int64, sync, recovery bool) cut {
	if sync {
		return l.atIDR()
	}
	if recovery && l.atRecovery() {
		return cutSegment
	}
	if l.partDur == 0 || !l.closable() || l.partIndex >= maxPartIndex-1 {
		return noCut
	}
	p := &l.meter.layout
	if l.next < p.count {
		into := dts - l.meter.start
		if into+p.frame/2 < p.boundary(l.next) {
			return noCut
		}
		for l.next < p.count && into+p.frame/2 >= p.boundary(l.next) {
			l.next++
		}
		return cutPart
	}
	if p.count > 0 && dts+p.frame/2-l.meter.start < p.gop {
		return noCut // the part before the expected IDR
	}
	if l.partDur+l.usual() > l.part {
		return cutPart
	}
	return noCut
}

func (l *leader) atIDR() cut {
	gop := l.meter.layout.gop
	t := l.segDur
	switch {
	case l.follows, t < l.least:
	case !l.segSync: // begin segments with an IDR again as soon as one is there
		return cutSegment
	case t >= l.target-max(gop/2, l.part/10), t >= l.early && t+gop > l.limit:
		return cutSegment
	}
	switch {
	case l.partDur == 0:
		return noCut
	case l.partIndex >= maxPartIndex-1:
		return l.segment()
	case l.partSync:
		if !l.partHead || l.partDur+gop+stampSlack > l.part {
			return cutPart
		}
		return noCut // the next GOP fits into the same part
	case l.partDur >= l.floor, l.unlisted:
		return cutPart
	case t >= l.early:
		return l.segment()
	}
	return noCut
}

// atRecovery says that a recovery point ends the segment.
func (l *leader) atRecovery() bool {
	gop := l.meter.layout.gop
	return !l.follows && (gop == 0 || gop > l.limit) && l.segDur >= max(l.least, l.target-max(l.part/10, stampSlack))
}

// segment ends the segment, unless that is for another track to say.
func (l *leader) segment() cut {
	if l.follows {
		return noCut
	}
	return cutSegment
}

// apply opens what follows a boundary at dts.
func (l *leader) apply(c cut, dts int64, sync bool) {
	switch c {
	case cutSegment:
		l.segStart, l.segDur, l.segSync = dts, 0, sync
		l.unlisted = !l.listed
		l.partDur, l.partSync, l.partHead, l.partIndex = 0, false, false, 0
	case cutPart:
		l.partDur, l.partSync, l.partHead = 0, false, false
		l.partIndex++
	}
}

// split ends the open segment now, in front of the held sample, because no media comes. It says whether there was
// anything to end.
func (l *leader) split() bool {
	if l.segDur < l.least || l.segDur == 0 {
		return false
	}
	l.apply(cutSegment, l.heldDTS, l.heldSync)
	return true
}
