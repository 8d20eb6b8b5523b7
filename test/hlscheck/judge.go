package hlscheck

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Judge holds exchanges against the rules, in the order in which their answers came. It asks for nothing itself, and
// reads no clock: a recorded show can be judged as well as a live one. It belongs to one goroutine.
type Judge struct {
	slack        time.Duration
	f            *findings
	answers      int
	multivariant *version
	renditions   map[string]*rendition
	order        []string             // of renditions
	media        map[string]*Exchange // URL -> its first whole answer
	whole        map[string]*Exchange // playlist URL -> its last plain answer
	listed       map[string]bool      // URLs of media that were ever listed or hinted -> still are
	given        map[string]bool      // URLs that the client was given, not told by a playlist
}

// rendition is what is known of one media playlist.
type rendition struct {
	url       string
	latest    *version
	merged    *playlist          // the last delta, merged
	segments  map[int64]*segment // all that were ever listed, with all their parts
	grownAt   time.Time          // the last complete segment was first seen
	sightings []sighting
	claims    []claim
}

// claim is what another rendition's report said of this one, until this one is seen again.
type claim struct {
	by   string
	at   time.Time
	says edge
}

// sighting is when an edge was first seen, and its date.
type sighting struct {
	at  time.Time
	end time.Time
	gap bool
}

// NewJudge makes a judge of one show. slack is what network and client may add to a time.
func NewJudge(multivariant string, slack time.Duration) *Judge {
	return &Judge{
		slack: slack, f: newFindings(), renditions: map[string]*rendition{}, media: map[string]*Exchange{},
		whole: map[string]*Exchange{}, listed: map[string]bool{}, given: map[string]bool{multivariant: true},
	}
}

// Take judges one exchange.
func (j *Judge) Take(x *Exchange) {
	j.answers++
	j.f.about(x.URL, x.Done)
	base := x.base()
	r := j.renditions[base]
	s := scene{known: j.given[base] || r != nil, slack: j.slack, previous: j.media[base]}
	if now, was := j.listed[base]; was {
		s.known, s.listed = true, now
		if !now && x.Status != 0 {
			j.f.check("SEQ-13", x.Status < 400, "%d for what was listed", x.Status)
			j.f.check("PRT-8", x.Status < 400, "%d for what was listed", x.Status)
		}
	}
	if isPlaylist(base) {
		s.previous = j.whole[base]
	} else if len(j.order) > 0 && j.renditions[j.order[0]].latest != nil {
		s.target = j.renditions[j.order[0]].latest.target
	}
	if r != nil && r.latest != nil {
		s.target, s.ended = r.latest.target, r.latest.ended
		s.previous = j.whole[base]
	}
	judgeAnswer(j.f, x, s)
	if !isPlaylist(base) {
		if x.Status == http.StatusOK && x.Method == http.MethodGet && j.media[base] == nil {
			j.media[base] = x
		}
		return
	}
	if !s.known || x.Method != http.MethodGet {
		return
	}
	d := parseDirectives(x.URL)
	if d.blocks() && s.target > 0 {
		j.f.check("BLK-10", x.took() <= 3*s.target+time.Second+j.slack, "an answer after %v", x.took())
	}
	var got *playlist
	if x.Status == http.StatusOK {
		got = j.takePlaylist(x, r)
		if !d.blocks() && d.skip == "" {
			j.whole[base] = x
		}
	} else if r != nil && !d.blocks() && x.Status != http.StatusNotModified {
		j.f.check("SEQ-10", false, "%d", x.Status)
	}
	if r != nil && x.Status != http.StatusOK {
		judgeBlocking(j.f, x, r.before(x), got, j.slack)
	}
}

// before is the newest version if it was had before the request; nil if that is not certain.
func (r *rendition) before(x *Exchange) *version {
	if r.latest == nil || r.latest.at.After(x.Asked) {
		return nil
	}
	return r.latest
}

func (j *Judge) takePlaylist(x *Exchange, r *rendition) *playlist {
	text, ok := x.text()
	j.f.check("HTTP-6", ok, "the gzip body is broken")
	p := parsePlaylist(j.f, x.base(), text)
	if r == nil {
		judgeMultivariant(j.f, p)
		j.f.check("SYN-4", p.multivariant, "a media playlist where a multivariant one should be")
		j.takeMultivariant(&version{p, x.Asked, x.Done})
		return p
	}
	judgeMedia(j.f, p)
	before := r.before(x)
	if d := parseDirectives(x.URL); d.skip != "" && before != nil {
		if before.skippable() && !p.ended {
			j.f.check("DLT-1", p.hasSkip, "no delta for _HLS_skip=%s", d.skip)
		}
		if d.skip == "v2" && p.hasSkip && p.controls.has("CAN-SKIP-DATERANGES") {
			j.f.check("DLT-7", p.removedRanges, "no RECENTLY-REMOVED-DATERANGES")
		}
	} else if p.hasSkip {
		j.f.check("DLT-1", d.skip != "", "a delta that nobody asked for")
	}
	if d := parseDirectives(x.URL); p.hasSkip && before != nil && d.isPast(before) && p.edge().before(before.edge()) {
		return nil
	}
	if p.hasSkip {
		var old *playlist
		if r.latest != nil {
			old = r.latest.playlist
		}
		if p = merge(j.f, old, p); p == nil {
			return nil
		}
		r.merged = p
	} else if r.merged != nil {
		judgeMerged(j.f, r.merged, p)
	}
	judgeBlocking(j.f, x, before, p, j.slack)
	if d := parseDirectives(x.URL); before != nil && d.blocks() && d.isPast(before) && p.edge().before(before.edge()) {
		return p // a cache may keep it for 6 TD (HTTP-7): who asks for what is past may be told of the past
	}
	j.takeVersion(r, &version{p, x.Asked, x.Done})
	return p
}

func (j *Judge) takeMultivariant(v *version) {
	for _, uri := range v.renditions() {
		base := path(uri)
		j.f.check("HTTP-16", base == uri, "a query in %s", uri)
		if j.renditions[base] == nil {
			j.renditions[base] = &rendition{url: base, segments: map[int64]*segment{}}
			j.order = append(j.order, base)
		}
	}
	j.multivariant = v
}

func (j *Judge) takeVersion(r *rendition, v *version) {
	old := r.latest
	if old != nil && v.asked.Before(old.at) && (v.edge().before(old.edge()) || old.ended && !v.ended) {
		return // the two answers crossed
	}
	if old != nil {
		judgeSuccessive(j.f, old, v, j.slack)
	}
	r.claims = slices.DeleteFunc(r.claims, func(c claim) bool {
		if !v.asked.After(c.at) {
			return false
		}
		j.f.check("RR-2", !v.edge().before(c.says), "%s reported %v, it is at %v", c.by, c.says, v.edge())
		return true
	})
	if old != nil {
		for _, uri := range old.listsMedia() {
			j.listed[uri] = false
		}
	}
	j.list(r, v)
	j.judgeTogether(r, v)
	changed := old == nil || old.edge() != v.edge() || old.ended != v.ended
	if changed {
		r.see(j.f, old, v, j.slack)
		r.latest = v
	}
}

// list notes what the version names.
func (j *Judge) list(r *rendition, v *version) {
	for _, s := range v.whole() {
		if init := path(initURL(s.init)); s.init != "" {
			j.listed[init] = true
			j.f.check("LIF-7", hasToken(init), "%s carries no id of the recording", init)
		}
		if s.uri != "" && !s.gap {
			j.listed[path(s.uri)] = true
			j.f.check("HTTP-16", path(s.uri) == s.uri, "a query in %s", s.uri)
		}
		for _, p := range s.parts {
			if !p.gap {
				j.listed[path(p.uri)] = true
			}
		}
		known := r.segments[s.msn]
		if known == nil {
			kept := s
			r.segments[s.msn] = &kept
			continue
		}
		parts := known.parts
		if len(s.parts) > len(parts) {
			parts = s.parts
		}
		*known = s
		known.parts = parts
	}
	for _, h := range v.hints {
		if uri := path(h.text("URI")); !j.listed[uri] {
			j.listed[uri] = false // it may be asked for, and may be abandoned
		}
	}
}

// sameShow says whether two media playlists are of one recording and one form of it.
func sameShow(a, b string) bool {
	return a[:strings.LastIndexByte(a, '/')+1] == b[:strings.LastIndexByte(b, '/')+1]
}

// see notes a new edge.
func (r *rendition) see(f *findings, old, v *version, slack time.Duration) {
	if old == nil || v.last() > old.last() {
		if old != nil && !r.grownAt.IsZero() && !old.ended && v.kind != "VOD" {
			took := v.at.Sub(r.grownAt)
			f.check("SEQ-6", took <= v.target*3/2+slack, "no new segment for %v", took)
		}
		r.grownAt = v.at
	}
	all := v.whole()
	if len(all) == 0 {
		return
	}
	last := all[len(all)-1]
	end := last.date
	if last.uri != "" {
		end = end.Add(last.duration)
	} else {
		for _, p := range last.parts {
			end = end.Add(p.duration)
		}
	}
	r.sightings = append(r.sightings, sighting{v.at, end, last.gap || last.discontinuity})
}

// initURL gives a MAP's URI without its byte range.
func initURL(init string) string {
	uri, _, _ := strings.Cut(init, rangeMark)
	return uri
}

// hasToken says whether a path element is long enough to be unguessable.
func hasToken(uri string) bool {
	run := 0
	for _, c := range uri {
		if run++; c == '/' || c == ':' {
			run = 0
		}
		if run >= 20 {
			return true
		}
	}
	return false
}

// Finish holds all that was seen against the rules that need it all, and reports.
func (j *Judge) Finish() *Report {
	j.judgeTimelines()
	return j.f.report(j.answers)
}
