package hlscheck

import (
	"time"
)

// version is one whole playlist (a delta already merged) and when it was asked for and had.
type version struct {
	*playlist

	asked, at time.Time
}

// judgeSuccessive holds two versions of one playlist against each other; b was asked for after a was had. slack is
// what the network and the client may add to a time.
func judgeSuccessive(f *findings, a, b *version, slack time.Duration) {
	f.check("TD-3", a.target == b.target, "TARGETDURATION went from %v to %v", a.target, b.target)
	f.check("PRT-4", a.partTarget == b.partTarget || b.kind == "VOD",
		"PART-TARGET went from %v to %v", a.partTarget, b.partTarget)
	f.check("SC-7", a.control == b.control || b.kind == "VOD", "SERVER-CONTROL went from %s to %s", a.control, b.control)
	f.check("END-2", a.kind == b.kind || a.kind == "EVENT" && b.kind == "VOD" && a.ended,
		"PLAYLIST-TYPE went from %q to %q", a.kind, b.kind)
	f.check("SEQ-1", b.msn >= a.msn, "MEDIA-SEQUENCE went from %d to %d", a.msn, b.msn)
	f.check("SEQ-9", !b.edge().before(a.edge()) || b.ended && b.last() >= a.last(),
		"the edge went back from %v to %v", a.edge(), b.edge())
	f.check("END-1", !a.ended || b.ended, "ENDLIST is gone again")
	if a.kind == "EVENT" && b.kind == "EVENT" {
		f.check("END-2", a.msn == b.msn, "an EVENT playlist lost its head")
	}
	judgeRemoval(f, a, b)
	old := map[int64]*segment{}
	for i := range a.segments {
		old[a.segments[i].msn] = &a.segments[i]
	}
	if b.kind != "VOD" { // it leaves the fillers out
		for i := range b.segments {
			s := &b.segments[i]
			if was := old[s.msn]; was != nil {
				judgeSame(f, was, s)
			} else if s.msn == a.open.msn {
				judgeGrown(f, &a.open, s)
			}
		}
		if a.open.msn == b.open.msn {
			judgeGrown(f, &a.open, &b.open)
		}
	}
	judgeHint(f, a, b)
	judgeRanges(f, a, b)
	judgePace(f, a, b, slack)
}

// judgeRemoval: what left the head of the playlist.
func judgeRemoval(f *findings, a, b *version) {
	removed := b.msn - a.msn
	if removed <= 0 {
		f.check("DSC-1", b.dsn == a.dsn, "DISCONTINUITY-SEQUENCE went from %d to %d", a.dsn, b.dsn)
		return
	}
	if removed > int64(len(a.segments)) || b.hasSkip {
		return
	}
	// The number of a segment is for ever: its own tag counts for it, and not for the playlist.
	want := a.dsn
	for _, s := range a.segments[:removed] {
		if s.discontinuity {
			want++
		}
	}
	f.check("DSC-1", b.dsn == want, "DISCONTINUITY-SEQUENCE is %d, not %d", b.dsn, want)
	length := time.Duration(0)
	for _, s := range b.segments {
		length += s.duration
	}
	f.check("SEQ-5", length >= 3*b.target, "cut to %v", length)
	f.check("SEQ-8", len(b.segments) >= 6, "cut to %d segments", len(b.segments))
}

// judgeSame: a segment is in both versions.
func judgeSame(f *findings, a, b *segment) {
	f.check("SEQ-2", a.uri == b.uri && a.byteRange == b.byteRange && a.duration == b.duration,
		"segment %d was %s %v and is %s %v", a.msn, a.uri, a.duration, b.uri, b.duration)
	f.check("SEQ-3", a.init == b.init && a.discontinuity == b.discontinuity && a.dateText == b.dateText && a.gap == b.gap,
		"segment %d: MAP, DISCONTINUITY, date or GAP changed", a.msn)
	if !a.discontinuity || b.discontinuity {
		f.check("DSC-1", a.dsn == b.dsn, "segment %d: discontinuity sequence %d became %d", a.msn, a.dsn, b.dsn)
	}
	if len(b.parts) > 0 {
		f.check("SEQ-4", samePartList(a.parts, b.parts), "the parts of %d changed", a.msn)
	}
}

func samePartList(a, b []part) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// judgeGrown: the open segment of a, open or complete in b.
func judgeGrown(f *findings, a, b *segment) {
	if len(b.parts) == 0 && (b.uri != "" || len(a.parts) == 0) {
		return // its parts are no longer listed
	}
	n := len(a.parts)
	f.check("SEQ-4", len(b.parts) >= n && samePartList(a.parts, b.parts[:min(n, len(b.parts))]),
		"the listed parts of %d changed", a.msn)
	if n > 0 {
		f.check("SEQ-3", a.dateText == b.dateText && a.discontinuity == b.discontinuity && a.init == b.init,
			"segment %d: MAP, DISCONTINUITY or date changed while open", a.msn)
	}
}

// judgeHint: the next part is the one that was hinted, or plans changed for a stated reason.
func judgeHint(f *findings, a, b *version) {
	if !a.low() || a.ended || !a.edge().before(b.edge()) {
		return
	}
	var hinted string
	for _, h := range a.hints {
		if h.text("TYPE") == "PART" {
			hinted = h.text("URI")
		}
	}
	e := a.edge()
	next, ok := b.find(e)
	if !ok {
		return
	}
	// While nobody publishes, no part is known to come; what came shows that somebody did.
	if !f.check("HNT-1", hinted != "", "%s came, and nothing was hinted", next.uri) {
		return
	}
	f.check("HNT-3", next.uri == hinted, "%s was hinted, %s came", hinted, next.uri)
}

// find gives the first part at or behind the position that follows it in the same take.
func (p *playlist) find(e edge) (part, bool) {
	for _, s := range p.whole() {
		if s.msn < e.msn {
			continue
		}
		if s.discontinuity || s.gap {
			return part{}, false // another take: the hint was abandoned
		}
		if s.msn == e.msn && e.part < len(s.parts) {
			return s.parts[e.part], true
		}
		if s.msn == e.msn+1 && len(s.parts) > 0 {
			return s.parts[0], true
		}
	}
	return part{}, false
}

// judgeRanges: date ranges stay, and grow only.
func judgeRanges(f *findings, a, b *version) {
	now := map[string]attributes{}
	for _, d := range b.dateRanges {
		now[d.text("ID")] = d
	}
	for _, d := range a.dateRanges {
		id := d.text("ID")
		later, ok := now[id]
		if !ok {
			start, _ := time.Parse(time.RFC3339Nano, d.text("START-DATE"))
			end := start.Add(max(d.seconds("DURATION"), d.seconds("PLANNED-DURATION")))
			f.check("DR-1", len(b.segments) == 0 || end.Before(b.segments[0].date),
				"DATERANGE %q went while it was in the window", id)
			continue
		}
		for _, old := range d {
			f.check("DR-1", later.text(old.name) == old.value, "DATERANGE %q: %s changed", id, old.name)
		}
	}
}

// judgePace: how soon the next thing came. The versions are those of a client that asked for each next one at once.
func judgePace(f *findings, a, b *version, slack time.Duration) {
	if a.ended || b.kind == "VOD" || a.last() < 0 {
		return
	}
	took := b.at.Sub(a.at)
	if b.ended {
		f.check("LIF-3", took <= a.target*3/2+slack, "ENDLIST %v after the last change", took)
		return
	}
	if !a.low() || !a.edge().before(b.edge()) {
		return
	}
	for _, s := range b.whole() {
		if s.msn >= a.edge().msn-1 && (s.gap || s.discontinuity) {
			f.check("LIF-4", took <= a.target*3/2+slack, "a GAP %v after the last change", took)
			return // the publisher was away
		}
	}
	last := len(a.segments) > 0 && len(a.segments[len(a.segments)-1].parts) == 0 && len(a.open.parts) == 0
	if !last {
		f.check("SEQ-7", took <= a.partTarget+slack, "no new part for %v", took)
	}
}
