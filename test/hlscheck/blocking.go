package hlscheck

import (
	"strings"
	"time"
)

// judgeBlocking holds the answer to a request with delivery directives against the rules of blocking reloads. before is
// the newest version that was had when it was asked for, got what the answer says, nil if it is no playlist.
func judgeBlocking(f *findings, x *Exchange, before *version, got *playlist, slack time.Duration) {
	d := parseDirectives(x.URL)
	if !d.blocks() && d.skip == "" && !d.foreign {
		return
	}
	if before == nil {
		return
	}
	if x.Status == 0 || x.Status == 500 || x.Status == 502 {
		f.check("BLK-11", false, "%d after %v", x.Status, x.took())
		return
	}
	if d.foreign {
		f.check("BLK-12", x.Status == 200 || d.blocks(), "%d for a foreign parameter, or another order", x.Status)
	}
	switch {
	case before.ended:
		f.check("BLK-9", x.Status == 200 && x.took() < time.Second+slack,
			"%d after %v though it has ended", x.Status, x.took())
		return
	case d.bad:
		f.check("BLK-8", x.Status == 400, "%d for no number", x.Status)
		return
	case d.hasPart && !d.hasMSN:
		f.check("BLK-3", x.Status == 400, "%d for a part without MSN", x.Status)
		return
	case !d.hasMSN:
		f.check("BLK-12", x.Status == 200, "%d without _HLS_msn", x.Status)
		return
	}
	if x.Status == 503 {
		f.check("BLK-11", x.maxAge() >= 0, "503 without Cache-Control")
		return
	}
	far := d.msn > before.last()+2 || d.hasPart && d.partTooFar(before)
	if x.Status == 400 {
		rule := "BLK-1"
		if d.hasPart {
			rule = "BLK-2"
		}
		if d.msn <= before.last() {
			rule = "BLK-7"
			if d.hasPart {
				if n := before.parts(d.msn); d.part >= int64(n) {
					rule = "BLK-6"
				}
			}
		}
		f.check(rule, far, "400 for %d.%d, the edge was %v", d.msn, d.part, before.edge())
		f.check("BLK-4", x.took() < time.Second+slack, "400 after %v", x.took())
		return
	}
	if !f.check("BLK-2", x.Status == 200,
		"%d for %d.%d, the edge was %v", x.Status, d.msn, d.part, before.edge()) || got == nil {
		return
	}
	d.judgeContent(f, x, before, got, slack)
}

// judgeContent: what a 200 must hold.
func (d *directives) judgeContent(f *findings, x *Exchange, before *version, got *playlist, slack time.Duration) {
	if d.msn > before.last()+2 && x.took() < time.Second && !got.ended && got.last() < d.msn-2 {
		f.check("BLK-4", false, "200 for %d, the last one is %d", d.msn, got.last())
		return
	}
	if d.hasPart && d.partTooFar(before) && !d.hasIn(got) && !got.ended {
		f.check("BLK-5", false, "200 for part %d of %d, the edge is %v", d.part, d.msn, got.edge())
		return
	}
	if d.msn <= before.last() && (!d.hasPart || d.part < int64(before.parts(d.msn))) {
		f.check("BLK-7", x.took() < time.Second+slack, "%v for %d, which was listed", x.took(), d.msn)
	}
	hintless := got.low() || got.iframes && strings.Contains(x.Answer.Get("Cache-Control"), "no-store")
	if hintless && len(got.hints) == 0 && !got.ended && !d.hasIn(got) {
		f.check("BLK-11", true, "") // the publisher went: what waited was let go with a playlist
		return
	}
	if !d.isPast(before) && !got.ended {
		f.check("HTTP-7", x.maxAge() >= 6*got.target, "a blocking playlist with %q", x.Answer.Get("Cache-Control"))
	}
	switch {
	case !d.hasPart:
		f.check("BLK-1", got.last() >= d.msn || got.ended, "asked for %d, the last one is %d", d.msn, got.last())
	case got.last() >= d.msn && d.part >= int64(got.parts(d.msn)) && got.parts(d.msn) > 0:
		f.check("BLK-6", d.hasIn(got) || got.ended,
			"part %d of %d is past its last; the edge is %v", d.part, d.msn, got.edge())
	default:
		f.check("BLK-2", d.hasIn(got) || got.ended, "asked for %d.%d, the edge is %v", d.msn, d.part, got.edge())
	}
}

// parts counts those that are listed of a segment; 0 if they are not listed any more.
func (p *playlist) parts(msn int64) int {
	for _, s := range p.whole() {
		if s.msn == msn {
			return len(s.parts)
		}
	}
	return 0
}

// partTooFar says whether the part lies beyond the Advance Part Limit (d§6.2.5.2).
func (d *directives) partTooFar(before *version) bool {
	limit := int64(3)
	if t := before.partTarget; t > 0 && t < time.Second {
		limit = int64((3*time.Second + t - 1) / t)
	}
	return d.msn == before.edge().msn && d.part > int64(len(before.open.parts))-1+limit
}

// hasIn says whether the wanted part, or anything later, is listed.
func (d *directives) hasIn(p *playlist) bool {
	e := p.edge()
	if e.msn == d.msn {
		return int64(e.part) > d.part
	}
	if e.msn == d.msn+1 && d.part >= int64(p.parts(d.msn)) && p.parts(d.msn) > 0 {
		return e.part > 0
	}
	return e.msn > d.msn
}

// isPast says whether what is asked for was listed in the version.
func (d *directives) isPast(v *version) bool {
	return d.hasMSN && (d.msn <= v.last() || d.hasPart && d.hasIn(v.playlist))
}
