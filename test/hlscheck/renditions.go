package hlscheck

import (
	"slices"
	"time"
)

// judgeTogether holds a new version of one rendition against the latest ones of the others.
func (j *Judge) judgeTogether(r *rendition, v *version) {
	for _, other := range j.order {
		o := j.renditions[other]
		if o == r || o.latest == nil || o.latest.kind != v.kind || !sameShow(other, r.url) {
			continue
		}
		iframes := o.latest.iframes || v.iframes
		if v.kind != "VOD" || !iframes {
			j.f.check("TD-4", o.latest.target == v.target, "TARGETDURATION %v, %s has %v", v.target, other, o.latest.target)
		}
		if v.low() && o.latest.low() {
			j.f.check("PRT-4", o.latest.partTarget == v.partTarget,
				"PART-TARGET %v, %s has %v", v.partTarget, other, o.latest.partTarget)
		}
		if !iframes && v.control != "" {
			j.f.check("SC-6", o.latest.control == v.control,
				"SERVER-CONTROL %s, %s has %s", v.control, other, o.latest.control)
		}
	}
	j.judgeReports(r, v)
}

// judgeReports: RR-1 and RR-2.
func (j *Judge) judgeReports(r *rendition, v *version) {
	if !v.low() || v.ended || v.iframes || j.multivariant == nil {
		return
	}
	told := map[string]attributes{}
	for _, t := range v.reports {
		told[path(t.text("URI"))] = t
	}
	for _, other := range j.order {
		o := j.renditions[other]
		if o == r || !sameShow(other, r.url) {
			continue
		}
		t, ok := told[other]
		if o.latest == nil {
			continue
		}
		if !ok {
			j.f.check("RR-1", o.latest.iframes || !o.latest.low(), "no report of %s", other)
			continue
		}
		j.f.check("RR-1", ok, "no report of %s", other)
		msn, part := t.number("LAST-MSN"), t.number("LAST-PART")
		if !j.f.check("RR-2", msn >= 0 && (part >= 0 || !o.latest.low()),
			"a report of %s without LAST-MSN or LAST-PART", other) {
			continue
		}
		// The report's edge is behind its last part; where that part ends its segment, the next one is open.
		says := edge{msn, int(part) + 1}
		if n := o.latest.parts(msn); o.latest.last() >= msn && n <= says.part {
			says = edge{msn + 1, 0}
		}
		o.claims = append(o.claims, claim{r.url, v.at, says})
		waited := v.at.Sub(v.asked) > 50*time.Millisecond
		if waited && o.latest.at.Before(v.asked) {
			j.f.check("RR-2", !says.before(o.latest.edge()),
				"reports %s at %v, before it was at %v", other, says, o.latest.edge())
		}
		j.f.check("SEQ-12", msn-v.edge().msn <= 1 && v.edge().msn-msn <= 2, "%s is at %d, this at %v", other, msn, v.edge())
	}
	for uri := range told {
		j.f.check("RR-1", slices.Contains(j.order, uri) && uri != r.url, "a report of %s", uri)
	}
}

// judgeAdvance: the renditions advance within one part target of each other (RR-3).
func (j *Judge) judgeAdvance(a, b *rendition) {
	if a.latest == nil || b.latest == nil || !a.latest.low() || !b.latest.low() {
		return
	}
	limit := a.latest.partTarget
	for _, s := range a.sightings[min(1, len(a.sightings)):] {
		if s.gap || len(b.sightings) == 0 || s.at.Before(b.sightings[0].at) {
			continue
		}
		reached := b.sightings[0]
		for _, t := range b.sightings {
			if !t.at.After(s.at.Add(limit + j.slack)) {
				reached = t
			}
		}
		if last := b.sightings[len(b.sightings)-1]; reached.gap || last.at.Before(s.at) {
			continue
		}
		j.f.about(b.url, s.at)
		j.f.check("RR-3", reached.end.Add(limit+50*millisecond).After(s.end), "at %v where %s is at %v",
			reached.end.Format("05.000"), a.url, s.end.Format("05.000"))
	}
}

// judgeDiscontinuities: the same ones at the same program time in every rendition (DSC-4).
func (j *Judge) judgeDiscontinuities(a, b *rendition) {
	for _, s := range a.segments {
		if !s.discontinuity || s.date.IsZero() {
			continue
		}
		covered, found := false, false
		for _, o := range b.segments {
			if o.date.IsZero() || o.date.Sub(s.date).Abs() > 10*time.Second {
				continue
			}
			covered = covered || o.date.After(s.date.Add(time.Second))
			found = found || o.discontinuity && o.date.Sub(s.date).Abs() < 500*millisecond
		}
		if covered {
			j.f.about(b.url, s.date)
			j.f.check("DSC-4", found, "no DISCONTINUITY at %v, where %s has one", s.dateText, a.url)
		}
	}
}
