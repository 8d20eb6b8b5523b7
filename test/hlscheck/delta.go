package hlscheck

import "time"

// merge makes the whole playlist out of a delta and the last whole one (d§6.2.5.1); nil if it cannot be done.
func merge(f *findings, old *playlist, delta *playlist) *playlist {
	judgeSkip(f, delta)
	if old == nil {
		return nil
	}
	from := delta.msn - old.msn
	ok := from >= 0 && from+delta.skipped <= int64(len(old.segments))
	if !f.check("DLT-2", ok,
		"skips %d from %d on; %d from %d on were listed", delta.skipped, delta.msn, len(old.segments), old.msn) {
		return nil
	}
	p := *delta
	p.hasSkip, p.skipped = false, 0
	kept := old.segments[from : from+delta.skipped]
	p.segments = append(append([]segment(nil), kept...), delta.segments...)
	// The state of the skipped ones goes on behind them.
	dsn, init := p.dsn, ""
	for i := range p.segments {
		s := &p.segments[i]
		if s.discontinuity && (i > 0 || from > 0 || old.dsn < delta.dsn || s.dsn > dsn) {
			dsn++
		}
		s.dsn = dsn
		if i < len(kept) {
			s.dsn = kept[i].dsn
			dsn = s.dsn
		}
		if s.init != "" {
			init = s.init
		}
		s.init = init
	}
	if p.open.init == "" {
		p.open.init = init
	}
	p.open.dsn = dsn
	if p.open.discontinuity {
		p.open.dsn++
	}
	if !delta.removedRanges {
		return &p
	}
	have := map[string]bool{}
	for _, d := range delta.dateRanges {
		have[d.text("ID")] = true
	}
	for _, d := range old.dateRanges {
		if id := d.text("ID"); !have[id] {
			p.dateRanges = append(p.dateRanges, d)
		}
	}
	return &p
}

// judgeSkip: exactly what lies beyond the boundary is skipped; a segment that straddles it may go either way.
func judgeSkip(f *findings, delta *playlist) {
	boundary := delta.controls.seconds("CAN-SKIP-UNTIL")
	f.check("DLT-4", delta.version >= 9, "VERSION %d with SKIP", delta.version)
	f.check("DLT-6", delta.skipped > 0, "SKIPPED-SEGMENTS is %d", delta.skipped)
	f.check("DLT-1", boundary > 0 && !delta.ended, "a delta without CAN-SKIP-UNTIL, or with ENDLIST")
	left := time.Duration(0)
	for _, s := range delta.segments {
		left += s.duration
	}
	// The last skipped one ends where the first one left begins.
	f.check("DLT-3", left >= boundary-longest(delta), "%v are left, the boundary is %v", left, boundary)
	if len(delta.segments) > 0 {
		f.check("DLT-3", left-delta.segments[0].duration <= boundary+millisecond,
			"%v are left behind the first one, the boundary is %v",
			left-delta.segments[0].duration, boundary)
		f.check("DLT-6", delta.segments[0].init != "" || delta.iframes, "no MAP before the first segment behind SKIP")
	}
}

// longest bounds how far a straddling segment reaches.
func longest(p *playlist) time.Duration { return p.target + 500*millisecond }

// skippable says whether a delta of the playlist has anything to skip for certain.
func (p *playlist) skippable() bool {
	boundary := p.controls.seconds("CAN-SKIP-UNTIL")
	if boundary == 0 || p.ended || len(p.segments) == 0 {
		return false
	}
	length := time.Duration(0)
	for _, s := range p.segments[1:] {
		length += s.duration
	}
	return length > boundary+p.target
}

// judgeMerged holds a merged playlist against the whole one of the same version.
func judgeMerged(f *findings, merged, whole *playlist) {
	if merged.edge() != whole.edge() || merged.ended != whole.ended || merged.msn != whole.msn {
		return
	}
	f.check("DLT-2", merged.dsn == whole.dsn && merged.control == whole.control && merged.target == whole.target &&
		len(merged.segments) == len(whole.segments) && len(merged.dateRanges) == len(whole.dateRanges),
		"the header of delta and previous is not that of the whole playlist")
	for i := range min(len(merged.segments), len(whole.segments)) {
		a, b := &merged.segments[i], &whole.segments[i]
		f.check("DLT-2", a.msn == b.msn && a.uri == b.uri && a.duration == b.duration && a.discontinuity == b.discontinuity &&
			a.dateText == b.dateText && a.gap == b.gap && a.init == b.init && a.dsn == b.dsn && a.byteRange == b.byteRange,
			"segment %d of delta and previous is not that of the whole playlist", b.msn)
	}
	f.check("DLT-2", samePartList(merged.open.parts, whole.open.parts), "the open parts differ")
}
