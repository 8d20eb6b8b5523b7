package hlscheck

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// piece is one segment of a rendition with what its bytes say.
type piece struct {
	*segment

	init  *initSection
	start time.Duration // first presentation time
	list  []fragment
}

func (p *piece) last() *fragment  { return &p.list[len(p.list)-1] }
func (p *piece) first() *fragment { return &p.list[0] }

// frames counts samples, span is their length.
func (p *piece) frames() (n int) {
	for _, g := range p.list {
		n += g.samples
	}
	return n
}

func (p *piece) span() time.Duration { return p.init.span(p.last().end - p.first().base) }

// judgeTimelines goes through all that was fetched, rendition by rendition, then two by two.
func (j *Judge) judgeTimelines() {
	lines := map[string][]piece{}
	inits := map[string]*initSection{}
	parsed := map[string]*initSection{}
	for _, name := range j.order {
		r := j.renditions[name]
		for _, msn := range slices.Sorted(maps.Keys(r.segments)) {
			s := r.segments[msn]
			i := j.init(parsed, s.init)
			if i == nil || s.gap {
				continue
			}
			inits[name] = i
			if p := (piece{segment: s, init: i}); j.readPiece(&p, r.latest != nil && r.latest.iframes) {
				lines[name] = append(lines[name], p)
			}
		}
		if r.latest != nil && !r.latest.iframes {
			j.judgeLine(name, lines[name])
		}
	}
	for _, a := range j.order {
		for _, b := range j.order {
			if a != b && sameShow(a, b) {
				j.judgeAdvance(j.renditions[a], j.renditions[b])
				j.judgeDiscontinuities(j.renditions[a], j.renditions[b])
				j.judgeAlignment(b, lines[a], lines[b])
			}
		}
	}
	if j.multivariant != nil {
		j.f.about(j.multivariant.url, j.multivariant.at)
		judgeCodecs(j.f, j.multivariant.playlist, inits)
		j.judgeRates(lines)
	}
}

// init gives the parsed init section of a MAP; nil if it was not fetched.
func (j *Judge) init(parsed map[string]*initSection, uri string) *initSection {
	x := j.media[path(initURL(uri))]
	if x == nil || uri == "" {
		return nil
	}
	if i, ok := parsed[uri]; ok {
		return i
	}
	data, ok := cut(x.Body, strings.TrimPrefix(strings.TrimPrefix(uri, initURL(uri)), rangeMark), 0)
	j.f.about(uri, x.Done)
	j.f.check("HTTP-15", ok, "the byte range of the MAP is not there")
	parsed[uri] = parseInit(j.f, data)
	return parsed[uri]
}

// cut takes "length@offset" out of bytes; all of them for "".
func cut(data []byte, byteRange string, from int) ([]byte, bool) {
	if byteRange == "" {
		return data, true
	}
	n, o, has := strings.Cut(byteRange, "@")
	length, err := strconv.Atoi(n)
	if has {
		from, _ = strconv.Atoi(o)
	}
	if err != nil || from < 0 || length < 0 || from+length > len(data) {
		return nil, false
	}
	return data[from : from+length], true
}

// readPiece parses a segment's bytes and those of its parts.
func (j *Judge) readPiece(p *piece, iframes bool) bool {
	x := j.media[path(p.uri)]
	var joined []byte
	all := len(p.parts) > 0
	for n, t := range p.parts {
		y := j.media[path(t.uri)]
		if y == nil {
			all = false
			continue
		}
		j.f.about(t.uri, y.Done)
		data, _ := cut(y.Body, t.byteRange, 0)
		joined = append(joined, data...)
		j.judgePart(p, n, parseMedia(j.f, p.init, data))
	}
	if x == nil || p.uri == "" {
		if p.uri == "" && all {
			p.list = parseMedia(j.f, p.init, joined)
		}
	} else {
		j.f.about(p.uri, x.Done)
		data, ok := cut(x.Body, p.byteRange, 0)
		j.f.check("HTTP-15", ok, "byte range %s of %d bytes", p.byteRange, len(x.Body))
		if all {
			j.f.check("PRT-12", bytes.Equal(joined, data), "segment %d is not its parts one behind the other", p.msn)
			j.f.check("PRT-11", len(joined) == len(data),
				"segment %d has %d bytes, its parts %d", p.msn, len(data), len(joined))
			j.f.check("HNT-5", bytes.Equal(joined, data), "what was hinted is not the part")
		}
		if !iframes {
			p.list = parseMedia(j.f, p.init, data)
		}
	}
	return len(p.list) > 0
}

// judgePart holds a part's bytes against what is told of it.
func (j *Judge) judgePart(p *piece, n int, list []fragment) {
	if len(list) == 0 {
		return
	}
	t := p.parts[n]
	length := p.init.span(list[len(list)-1].end - list[0].base)
	j.f.check("PRT-16", t.duration >= length, "DURATION %v of %v", t.duration, length)
	j.f.check("PRT-2", length <= t.duration+millisecond, "DURATION %v of %v", t.duration, length)
	j.f.check("CMF-4", len(list) == 1, "%d moof boxes in a part", len(list))
	if !p.init.video {
		j.f.check("PRT-10", t.independent, "audio part %d.%d is not INDEPENDENT", p.msn, n)
		return
	}
	has := false
	for _, g := range list {
		has = has || g.hasSync
	}
	j.f.check("PRT-9", t.independent == has,
		"part %d.%d: INDEPENDENT is %v, IDR inside %v", p.msn, n, t.independent, has)
	if has {
		j.f.check("PRT-14", list[0].startsSync, "part %d.%d: the IDR is not the first sample", p.msn, n)
	}
}

// judgeLine goes along one rendition.
func (j *Judge) judgeLine(name string, line []piece) {
	independent := j.multivariant != nil && j.multivariant.independent
	for n := range line {
		p := &line[n]
		j.f.about(p.uri, j.renditions[name].grownAt)
		first, last := p.first(), p.last()
		p.start = p.init.span(first.start)
		for _, g := range p.list {
			p.start = min(p.start, p.init.span(g.start))
		}
		if p.uri != "" {
			off := (p.duration - p.span()).Abs()
			j.f.check("CMF-9", off <= p.init.span(last.longest)+millisecond, "EXTINF %v of %v", p.duration, p.span())
			j.f.check("CMF-10", off <= millisecond, "EXTINF %v of %v", p.duration, p.span())
		}
		if p.init.video {
			if independent {
				j.f.check("CMF-7", first.startsSync, "segment %d starts without IDR", p.msn)
			}
			j.f.check("CMF-17", slices.ContainsFunc(p.list, func(g fragment) bool { return g.hasSync }) || p.uri == "",
				"segment %d has no IDR", p.msn)
		}
		if n == 0 || line[n-1].segment.init != p.segment.init {
			j.f.check("CMF-19", first.start == first.base, "the first picture of take is shown %v behind its decoding time",
				p.init.span(first.start-first.base))
		}
		if n > 0 {
			j.judgeStep(&line[n-1], p)
		}
	}
}

// judgeStep: from one segment to the next that has media.
func (j *Judge) judgeStep(a, b *piece) {
	if a.uri == "" {
		return
	}
	if b.dsn != a.dsn || b.msn != a.msn+1 {
		j.f.check("LIF-1", b.init.span(b.first().base) >= a.init.span(a.last().end)-millisecond,
			"tfdt goes back to %v from %v",
			b.init.span(b.first().base), a.init.span(a.last().end))
		return
	}
	j.f.check("CMF-5", b.first().base == a.last().end,
		"segment %d: tfdt %d behind an end of %d", b.msn, b.first().base, a.last().end)
	j.f.check("CMF-6", b.first().sequence > a.last().sequence,
		"segment %d: mfhd %d behind %d", b.msn, b.first().sequence, a.last().sequence)
	stop := a.last().stop
	for _, g := range a.list {
		stop = max(stop, g.stop)
	}
	gap := b.init.span(stop) - b.start
	j.f.check("CMF-11", gap.Abs() <= b.init.span(a.last().longest)+millisecond,
		"segment %d: a hole or overlap of %v", b.msn, gap)
}

// judgeAlignment: two renditions of one show on one clock.
func (j *Judge) judgeAlignment(name string, as, bs []piece) {
	byMSN := map[int64]*piece{}
	for i := range as {
		byMSN[as[i].msn] = &as[i]
	}
	for i := range bs {
		b := &bs[i]
		a := byMSN[b.msn]
		if a == nil || a.dsn != b.dsn || a.date.IsZero() || b.date.IsZero() {
			continue
		}
		j.f.about(b.uri, j.renditions[name].grownAt)
		off := b.date.Sub(a.date) - (b.start - a.start)
		j.f.check("PDT-4", off.Abs() <= 50*millisecond, "segment %d: dates and presentation times are %v apart", b.msn, off)
		j.f.check("CMF-12", off.Abs() <= 50*millisecond,
			"segment %d: dates and presentation times are %v apart", b.msn, off)
		if a.init.video && !b.init.video {
			frame := b.init.span(b.first().longest)
			late := b.start - a.start
			j.f.check("CMF-23", late.Abs() <= frame+2*millisecond, "segment %d starts %v behind its video", b.msn, late)
		}
	}
}

// judgeRates: BANDWIDTH and FRAME-RATE against what was measured.
func (j *Judge) judgeRates(lines map[string][]piece) {
	for _, v := range j.multivariant.variants {
		line := lines[path(v.uri)]
		if v.iframes || len(line) == 0 {
			continue
		}
		target := j.renditions[path(v.uri)].latest.target
		peak := peakRate(line, target)
		audio := int64(0)
		for _, m := range j.multivariant.media {
			if a, ok := v.find("AUDIO"); ok && m.text("TYPE") == "AUDIO" && m.text("GROUP-ID") == a.value && m.has("URI") {
				audio = max(audio, peakRate(lines[path(m.text("URI"))], target))
			}
		}
		told := v.number("BANDWIDTH")
		rule, limit := "MV-7", told*125/100
		if j.renditions[path(v.uri)].latest.kind == "VOD" {
			rule, limit = "MV-1", told*110/100
		}
		j.f.check(rule, peak+audio <= limit, "BANDWIDTH=%d, measured %d", told, peak+audio)
		rate, err := strconv.ParseFloat(v.text("FRAME-RATE"), 64)
		frames, length := 0, time.Duration(0)
		for i := range line {
			frames += line[i].frames()
			length += line[i].span()
		}
		if err == nil && length > 0 {
			measured := float64(frames) / length.Seconds()
			j.f.check("MV-5", rate >= measured*0.98, "FRAME-RATE=%s, measured %.3f", v.text("FRAME-RATE"), measured)
		}
	}
}

// peakRate is the highest rate of a run of segments that lasts 0.5 to 1.5 target durations (d§4.1).
func peakRate(line []piece, target time.Duration) (peak int64) {
	for from := range line {
		size, length := int64(0), time.Duration(0)
		for i := from; i < len(line) && length <= target*3/2; i++ {
			if line[i].uri == "" || line[i].dsn != line[from].dsn {
				break
			}
			for _, g := range line[i].list {
				size += int64(g.bytes) * 8
			}
			if length += line[i].span(); length >= target/2 && length <= target*3/2+500*millisecond {
				peak = max(peak, int64(float64(size)/length.Seconds()))
			}
		}
	}
	return peak
}
