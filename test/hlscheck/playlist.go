package hlscheck

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// playlist is what one text says. URIs are absolute.
type playlist struct {
	url           string
	text          string
	tags          []string // names in order; "" for a URI
	multivariant  bool
	version       int
	target        time.Duration // TARGETDURATION
	kind          string        // PLAYLIST-TYPE
	iframes       bool
	independent   bool
	ended         bool
	control       string // SERVER-CONTROL as written
	controls      attributes
	partTarget    time.Duration
	msn, dsn      int64
	skipped       int64
	hasSkip       bool
	removedRanges bool // RECENTLY-REMOVED-DATERANGES is there
	segments      []segment
	open          segment // what stands behind the last complete segment
	hints         []attributes
	reports       []attributes
	dateRanges    []attributes
	variants      []stream
	media         []attributes
}

// stream is a STREAM-INF or an I-FRAME-STREAM-INF.
type stream struct {
	attributes

	uri     string
	iframes bool
}

type segment struct {
	msn, dsn      int64
	uri           string
	byteRange     string
	duration      time.Duration
	discontinuity bool
	init          string // URI of the MAP that applies, with "@range"
	ownMap        bool
	date          time.Time
	dateText      string
	gap           bool
	parts         []part
}

type part struct {
	uri         string
	byteRange   string
	duration    time.Duration
	independent bool
	gap         bool
}

// rangeMark parts a MAP's URI from its byte range; no URI holds one.
const rangeMark = "\n"

// maxLine and maxPlaylist bound what is read of a playlist.
const (
	maxLine     = 16 << 10
	maxPlaylist = 32 << 20
)

// parsePlaylist reads a playlist and holds its writing against the SYN rules.
func parsePlaylist(f *findings, base, text string) *playlist {
	p := &playlist{url: base, text: text, version: 1}
	r := reader{f: f, p: p, once: map[string]bool{}}
	f.check("SYN-1", strings.HasPrefix(text, "#EXTM3U\n") || strings.HasPrefix(text, "#EXTM3U\r\n"),
		"line 1 is no #EXTM3U")
	f.check("SYN-1", utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool {
		return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7f && c <= 0x9f || c == 0xfeff
	}), "not UTF-8, or control characters")
	if !f.check("SYN-1", len(text) <= maxPlaylist, "%d bytes", len(text)) {
		return p
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if len(line) > maxLine || line == "" {
			continue
		}
		r.line(line)
	}
	p.open = r.now
	p.open.init, p.open.dsn, p.open.msn = r.init, p.dsn+r.discontinuities, p.msn+p.skipped+int64(len(p.segments))
	f.check("SYN-2", r.once["EXT-X-VERSION"], "no EXT-X-VERSION")
	p.multivariant = r.multivariant
	f.check("SYN-4", !r.multivariant || !r.isMedia, "tags of multivariant and of media playlists in one")
	f.check("SYN-1", strings.HasSuffix(text, "\n"), "the last line does not end")
	return p
}

// reader is the state of parsePlaylist.
type reader struct {
	f               *findings
	p               *playlist
	once            map[string]bool
	now             segment // being read
	init            string
	discontinuities int64
	variant         *stream
	multivariant    bool
	isMedia         bool
}

func (r *reader) line(line string) {
	if !strings.HasPrefix(line, "#") {
		r.p.tags = append(r.p.tags, "")
		r.uri(line)
		return
	}
	if !strings.HasPrefix(line, "#EXT") {
		return
	}
	name, value, _ := strings.Cut(line[1:], ":")
	r.p.tags = append(r.p.tags, name)
	t, known := tagOf(name)
	if !known {
		return
	}
	if t.once {
		rule := "SYN-4"
		if name == "EXT-X-VERSION" {
			rule = "SYN-2"
		}
		r.f.check(rule, !r.once[name], "%s twice", name)
		r.once[name] = true
	}
	r.multivariant = r.multivariant || t.place == inMultivariant
	r.isMedia = r.isMedia || t.place == inMedia
	var list attributes
	if t.forms != "" {
		var fault string
		list, fault = parseAttributes(value)
		r.f.check("SYN-3", fault == "", "%s: %s", name, fault)
		t.checkForms(r.f, name, list)
	}
	r.header(name, value, list)
	r.body(name, value, list)
}

// header takes the tags that are about the whole playlist.
func (r *reader) header(name, value string, list attributes) {
	p := r.p
	switch name {
	case "EXT-X-VERSION":
		p.version = int(r.integer("SYN-2", name, value))
	case "EXT-X-TARGETDURATION":
		p.target = time.Duration(r.integer("TD-1", name, value)) * time.Second
	case "EXT-X-MEDIA-SEQUENCE":
		p.msn = r.integer("SEQ-1", name, value)
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		p.dsn = r.integer("DSC-2", name, value)
	case "EXT-X-PLAYLIST-TYPE":
		p.kind = value
	case "EXT-X-I-FRAMES-ONLY":
		p.iframes = true
	case "EXT-X-INDEPENDENT-SEGMENTS":
		p.independent = true
	case "EXT-X-ENDLIST":
		p.ended = true
	case "EXT-X-SERVER-CONTROL":
		p.control, p.controls = value, list
	case "EXT-X-PART-INF":
		p.partTarget = list.seconds("PART-TARGET")
	case "EXT-X-SKIP":
		p.hasSkip, p.skipped = true, max(0, list.number("SKIPPED-SEGMENTS"))
		p.removedRanges = list.has("RECENTLY-REMOVED-DATERANGES")
	case "EXT-X-PRELOAD-HINT":
		p.hints = append(p.hints, r.absolute(list))
	case "EXT-X-RENDITION-REPORT":
		p.reports = append(p.reports, r.absolute(list))
	case "EXT-X-DATERANGE":
		p.dateRanges = append(p.dateRanges, list)
	case "EXT-X-MEDIA":
		p.media = append(p.media, r.absolute(list))
	case "EXT-X-STREAM-INF":
		r.variant = &stream{attributes: list}
	case "EXT-X-I-FRAME-STREAM-INF":
		p.variants = append(p.variants, stream{attributes: list, uri: r.resolve(list.text("URI")), iframes: true})
	}
}

// body takes the tags that are about one segment.
func (r *reader) body(name, value string, list attributes) {
	s := &r.now
	switch name {
	case "EXTINF":
		text, _, comma := strings.Cut(value, ",")
		r.f.check("SYN-3", comma && decimalValue.MatchString(text), "EXTINF:%s", value)
		s.duration = seconds(text)
	case "EXT-X-BYTERANGE":
		s.byteRange = value
	case "EXT-X-DISCONTINUITY":
		s.discontinuity = true
		r.discontinuities++
	case "EXT-X-GAP":
		s.gap = true
	case "EXT-X-MAP":
		s.ownMap = true
		r.init = r.resolve(list.text("URI"))
		if b := list.text("BYTERANGE"); b != "" {
			r.init += rangeMark + b
		}
	case "EXT-X-PROGRAM-DATE-TIME":
		date, err := time.Parse(time.RFC3339Nano, value)
		r.f.check("PDT-5", err == nil && strings.Contains(value, "."), "PROGRAM-DATE-TIME:%s", value)
		s.date, s.dateText = date, value
	case "EXT-X-PART":
		s.parts = append(s.parts, part{
			uri: r.resolve(list.text("URI")), byteRange: list.text("BYTERANGE"), duration: list.seconds("DURATION"),
			independent: list.text("INDEPENDENT") == "YES", gap: list.text("GAP") == "YES",
		})
	}
}

func (r *reader) uri(line string) {
	if r.variant != nil {
		r.variant.uri = r.resolve(line)
		r.p.variants = append(r.p.variants, *r.variant)
		r.variant = nil
		return
	}
	s := r.now
	s.uri, s.init = r.resolve(line), r.init
	s.msn = r.p.msn + r.p.skipped + int64(len(r.p.segments))
	s.dsn = r.p.dsn + r.discontinuities
	r.p.segments = append(r.p.segments, s)
	r.now = segment{}
}

func (r *reader) integer(rule, name, value string) int64 {
	n, err := strconv.ParseInt(value, 10, 64)
	r.f.check(rule, err == nil && integerValue.MatchString(value), "%s:%s", name, value)
	return n
}

func (r *reader) resolve(uri string) string {
	base, err := url.Parse(r.p.url)
	if err != nil {
		return uri
	}
	ref, err := base.Parse(uri)
	if err != nil {
		return uri
	}
	return ref.String()
}

// absolute gives the attributes with an absolute URI.
func (r *reader) absolute(list attributes) attributes {
	for i := range list {
		if list[i].name == "URI" {
			list[i].value = r.resolve(list[i].value)
		}
	}
	return list
}

// edge is the position of the last thing listed: the last complete segment's MSN + 1 and the number of parts behind it.
type edge struct {
	msn  int64 // of the open segment
	part int   // parts of it that are listed
}

func (e edge) before(o edge) bool { return e.msn < o.msn || e.msn == o.msn && e.part < o.part }

func (p *playlist) edge() edge {
	return edge{p.msn + p.skipped + int64(len(p.segments)), len(p.open.parts)}
}

// last is the MSN of the last complete segment.
func (p *playlist) last() int64 { return p.edge().msn - 1 }

// low says whether it is a low-latency playlist.
func (p *playlist) low() bool { return p.partTarget > 0 }

// whole gives the complete segments and, if it has parts, the open one.
func (p *playlist) whole() []segment {
	all := append([]segment(nil), p.segments...)
	if len(p.open.parts) > 0 {
		all = append(all, p.open)
	}
	return all
}

// listsMedia gives the URLs of all segments and parts that are listed.
func (p *playlist) listsMedia() (uris []string) {
	for _, s := range p.whole() {
		if s.uri != "" && !s.gap {
			uris = append(uris, path(s.uri))
		}
		for _, t := range s.parts {
			uris = append(uris, path(t.uri))
		}
	}
	return uris
}
