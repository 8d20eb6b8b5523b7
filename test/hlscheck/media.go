package hlscheck

import (
	"slices"
	"strings"
	"time"
)

const (
	millisecond = time.Millisecond
	tick        = 20 * time.Microsecond // rounding of what playlists print
)

// round is how TARGETDURATION counts a duration: x.5 s is rounded up.
func round(d time.Duration) time.Duration { return (d + 500*millisecond).Truncate(time.Second) }

// judgeMedia holds one version of a media playlist, whole or delta, against the rules that it can break alone.
func judgeMedia(f *findings, p *playlist) {
	f.check("TD-1", p.target >= time.Second, "TARGETDURATION %v", p.target)
	need := p.versionNeeded()
	f.check("SYN-2", p.version >= need, "VERSION %d, its tags need %d", p.version, need)
	if p.ended && p.kind == "VOD" {
		f.check("SYN-5", p.version <= need, "VERSION %d, its tags need %d", p.version, need)
	}
	f.check("DSC-2", p.has("EXT-X-DISCONTINUITY-SEQUENCE"), "no DISCONTINUITY-SEQUENCE")
	f.check("END-2", p.kind == "" || p.kind == "VOD" || p.kind == "EVENT", "PLAYLIST-TYPE:%s", p.kind)
	f.check("SEQ-11", p.msn >= 1, "MEDIA-SEQUENCE %d", p.msn)
	judgeOrder(f, p)
	judgeSegments(f, p)
	judgeParts(f, p)
	judgeControl(f, p)
	judgeTail(f, p)
	judgeDateRanges(f, p)
	if p.kind == "VOD" {
		f.check("LIF-5", p.ended && !p.low() && !p.has("EXT-X-PART") && !p.has("EXT-X-PRELOAD-HINT") &&
			!p.has("EXT-X-RENDITION-REPORT"), "a VOD playlist with live tags, or without ENDLIST")
	}
	if p.iframes {
		f.check("IFR-1", !slices.ContainsFunc(p.segments, func(s segment) bool { return !s.gap && s.byteRange == "" }),
			"an entry without a byte range")
		f.check("PRT-15", !p.has("EXT-X-PART"), "parts in an I-frame playlist")
	}
}

func (p *playlist) has(tag string) bool { return slices.Contains(p.tags, tag) }

// versionNeeded is the lowest EXT-X-VERSION that the tags allow (d§8).
func (p *playlist) versionNeeded() int {
	need := 3
	if p.has("EXT-X-BYTERANGE") || p.iframes {
		need = 4
	}
	if p.has("EXT-X-MAP") {
		need = 6
		if p.iframes {
			need = 5
		}
	}
	if p.has("EXT-X-DEFINE") {
		need = 8
	}
	if p.hasSkip {
		need = 9
	}
	if p.removedRanges {
		need = 10
	}
	return need
}

// judgeOrder: header, MEDIA-SEQUENCE, DISCONTINUITY-SEQUENCE, SKIP, segments, open parts, hint, reports.
func judgeOrder(f *findings, p *playlist) {
	at := func(tag string) int { return slices.Index(p.tags, tag) }
	first := slices.IndexFunc(p.tags, func(t string) bool {
		return t == "" || t == "EXTINF" || t == "EXT-X-PART" || t == "EXT-X-MAP" || t == "EXT-X-PROGRAM-DATE-TIME"
	})
	for _, head := range []string{
		"EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF", "EXT-X-MEDIA-SEQUENCE",
		"EXT-X-DISCONTINUITY-SEQUENCE", "EXT-X-SKIP", "EXT-X-PLAYLIST-TYPE",
	} {
		f.check("SYN-6", first < 0 || at(head) < first, "%s behind a segment's tag", head)
	}
	f.check("SYN-6", at("EXT-X-SKIP") < 0 || at("EXT-X-MEDIA-SEQUENCE") < at("EXT-X-SKIP"), "MEDIA-SEQUENCE behind SKIP")
	f.check("DSC-2", first < 0 || at("EXT-X-DISCONTINUITY-SEQUENCE") < first, "DISCONTINUITY-SEQUENCE behind a segment")
	// Inside a segment the order is fixed.
	rank := map[string]int{
		"EXT-X-DISCONTINUITY": 1, "EXT-X-MAP": 2, "EXT-X-PROGRAM-DATE-TIME": 3, "EXT-X-GAP": 4, "EXT-X-PART": 5,
		"EXTINF": 6, "EXT-X-BYTERANGE": 7, "": 8, "EXT-X-PRELOAD-HINT": 9, "EXT-X-RENDITION-REPORT": 10,
	}
	now, previous := 0, ""
	for _, t := range p.tags {
		r := rank[t]
		if r == 0 {
			continue
		}
		rule := "SYN-6"
		if previous == "EXT-X-PART" && r < 5 {
			rule = "PRT-13"
		}
		f.check(rule, r >= now, "%q behind %q", t, previous)
		if previous == "EXT-X-PART" && r >= 5 {
			f.check("PRT-13", true, "")
		}
		if now, previous = r, t; t == "" {
			now = 0
		}
	}
}

func judgeSegments(f *findings, p *playlist) {
	for i, s := range p.segments {
		f.check("TD-2", round(s.duration) <= p.target,
			"segment %d lasts %v, TARGETDURATION %v", s.msn, s.duration, p.target)
		f.check("PDT-6", s.dateText != "", "segment %d has no PROGRAM-DATE-TIME", s.msn)
		f.check("PDT-5", s.dateText == "" || strings.HasSuffix(s.dateText, "Z") || len(s.dateText) > 25,
			"%s has no zone", s.dateText)
		if s.discontinuity {
			f.check("DSC-5", s.dateText != "", "segment %d: DISCONTINUITY without a date", s.msn)
			f.check("LIF-1", s.ownMap || !strings.Contains(p.text, "EXT-X-MAP"),
				"segment %d: DISCONTINUITY without MAP", s.msn)
		}
		f.check("SYN-6", s.init != "" || s.gap || strings.HasSuffix(path(s.uri), ".vtt"), "segment %d has no MAP", s.msn)
		if i == 0 || p.hasSkip && i == 0 {
			continue
		}
		judgeNeighbours(f, &p.segments[i-1], &s)
	}
	if len(p.segments) > 0 && p.open.dateText != "" {
		judgeNeighbours(f, &p.segments[len(p.segments)-1], &p.open)
	}
	if n := len(p.segments); n > 0 && !p.hasSkip {
		f.check("PDT-1", p.has("EXT-X-PROGRAM-DATE-TIME"), "no PROGRAM-DATE-TIME")
		f.check("GAP-1", !p.segments[0].gap || p.kind != "", "the window starts with a GAP")
	}
}

// judgeNeighbours holds the dates of two segments in a row against each other.
func judgeNeighbours(f *findings, a, b *segment) {
	if a.date.IsZero() || b.date.IsZero() {
		return
	}
	off := b.date.Sub(a.date.Add(a.duration))
	f.check("PDT-2", off > -time.Second, "the date of %d overlaps segment %d by %v", b.msn, a.msn, -off)
	if !b.discontinuity {
		f.check("PDT-3", off.Abs() <= 20*millisecond, "the date of %d is %v off the end of %d", b.msn, off, a.msn)
	}
	f.check("DSC-1", b.dsn == a.dsn || b.dsn == a.dsn+1 && b.discontinuity,
		"segment %d: %d discontinuities", b.msn, b.dsn)
	if b.init != a.init && a.init != "" && b.init != "" {
		f.check("CMF-16", b.discontinuity, "segment %d has another MAP without DISCONTINUITY", b.msn)
	}
}

func judgeParts(f *findings, p *playlist) {
	if !p.has("EXT-X-PART") {
		return
	}
	f.check("PRT-1", p.has("EXT-X-PART-INF"), "parts without PART-INF")
	for _, s := range p.whole() {
		sum := time.Duration(0)
		for i, t := range s.parts {
			sum += t.duration
			f.check("GAP-1", t.gap == s.gap || s.uri == "", "part %d.%d: GAP is not the segment's", s.msn, i)
			f.check("PRT-2", t.duration <= p.partTarget,
				"part %d.%d lasts %v, PART-TARGET %v", s.msn, i, t.duration, p.partTarget)
			last := i == len(s.parts)-1 // of its parent, or not yet followed by one
			if !t.independent && !t.gap && !last && !s.parts[i+1].gap {
				f.check("PRT-3", t.duration >= p.partTarget*85/100, "part %d.%d lasts %v, PART-TARGET %v",
					s.msn, i, t.duration, p.partTarget)
			}
		}
		if s.uri != "" && len(s.parts) > 0 {
			slack := time.Duration(len(s.parts))*tick + tick
			f.check("PRT-5", (sum-s.duration).Abs() <= slack, "the parts of %d last %v, EXTINF %v", s.msn, sum, s.duration)
			f.check("PRT-16", sum > s.duration-2*time.Microsecond,
				"the parts of %d are rounded down: %v of %v", s.msn, sum, s.duration)
		}
	}
	// Parts stand where the edge is, not far behind it.
	behind := time.Duration(0)
	for _, s := range slices.Backward(p.segments) {
		if !p.ended && !s.gap && len(p.open.parts) > 0 {
			f.check("PRT-7", len(s.parts) == 0 || behind <= 4*p.target+p.target,
				"segment %d still has parts %v behind the edge", s.msn, behind)
		}
		behind += s.duration
	}
}

func judgeControl(f *findings, p *playlist) {
	c := p.controls
	if p.low() {
		f.check("SC-1", c.text("CAN-BLOCK-RELOAD") == "YES", "parts without CAN-BLOCK-RELOAD")
		hold := c.seconds("PART-HOLD-BACK")
		f.check("SC-2", hold >= 2*p.partTarget, "PART-HOLD-BACK %v, PART-TARGET %v", hold, p.partTarget)
		f.check("SC-3", hold >= 3*p.partTarget, "PART-HOLD-BACK %v, PART-TARGET %v", hold, p.partTarget)
	}
	if c.has("HOLD-BACK") {
		f.check("SC-4", c.seconds("HOLD-BACK") >= 3*p.target, "HOLD-BACK %s", c.text("HOLD-BACK"))
	}
	if c.has("CAN-SKIP-UNTIL") {
		f.check("SC-5", c.seconds("CAN-SKIP-UNTIL") >= 6*p.target, "CAN-SKIP-UNTIL %s", c.text("CAN-SKIP-UNTIL"))
		f.check("DLT-4", p.version >= 9, "VERSION %d with deltas", p.version)
		if c.has("CAN-SKIP-DATERANGES") {
			f.check("DLT-4", p.version >= 10, "VERSION %d with deltas of date ranges", p.version)
		}
	}
}

// judgeTail: hint and reports.
func judgeTail(f *findings, p *playlist) {
	if p.ended {
		f.check("HNT-6", len(p.hints) == 0, "a hint with ENDLIST")
		f.check("END-1", len(p.open.parts) == 0, "open parts with ENDLIST")
		return
	}
	if !p.low() {
		return
	}
	kinds := map[string]int{}
	for _, h := range p.hints {
		kinds[h.text("TYPE")]++
	}
	f.check("HNT-2", kinds["PART"] <= 1 && kinds["MAP"] <= 1, "%v hints", kinds)
}

func judgeDateRanges(f *findings, p *playlist) {
	ids := map[string]bool{}
	for _, d := range p.dateRanges {
		id := d.text("ID")
		f.check("DR-1", id != "" && !ids[id], "DATERANGE %q twice in a playlist", id)
		ids[id] = true
		start, err := time.Parse(time.RFC3339Nano, d.text("START-DATE"))
		f.check("DR-1", err == nil, "DATERANGE %q: START-DATE=%q", id, d.text("START-DATE"))
		if end := d.text("END-DATE"); end != "" {
			date, err := time.Parse(time.RFC3339Nano, end)
			f.check("DR-1", err == nil && !date.Before(start), "DATERANGE %q: END-DATE=%q", id, end)
			if d.has("DURATION") {
				f.check("DR-1", (date.Sub(start)-d.seconds("DURATION")).Abs() <= millisecond,
					"DATERANGE %q: DURATION and END-DATE differ", id)
			}
		}
		cue := d.text("CUE")
		f.check("DR-1", !strings.Contains(cue, "PRE") || !strings.Contains(cue, "POST"), "DATERANGE %q: CUE=%q", id, cue)
		f.check("DR-1", !d.has("END-ON-NEXT") || d.has("CLASS") && !d.has("DURATION") && !d.has("END-DATE"),
			"DATERANGE %q: END-ON-NEXT without CLASS or with an end", id)
		f.check("PDT-7", p.has("EXT-X-PROGRAM-DATE-TIME"), "DATERANGE without PROGRAM-DATE-TIME")
	}
}

// path gives a URL's path without query.
func path(uri string) string {
	uri, _, _ = strings.Cut(uri, "?")
	return uri
}
