package hls

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// parsed is a media playlist as a strict client reads it.
type parsed struct {
	version, target, sequence, discontinuity, skipped int

	kind     string
	control  map[string]string
	partInf  string
	skip     map[string]string
	segments []parsedSegment
	open     parsedSegment // what stands behind the last URI
	hints    []map[string]string
	reports  []map[string]string
	endlist  bool
	// ranges are the lines of EXT-X-DATERANGE.
	ranges      []string
	iframesOnly bool
}

// parsedSegment is a segment with the lines that are its own.
type parsedSegment struct {
	msn, dsn int
	breaks   bool
	mapURI   string // of its own EXT-X-MAP
	init     string // in force
	date     time.Time
	gap      bool
	parts    []map[string]string
	inf      float64
	rng      string
	uri      string
	lines    []string // without EXT-X-PART and a repeated EXT-X-MAP
}

// attributes reads an attribute list (SYN-3). Playlists have tens of thousands of them, and regular expressions are
// slow under the race detector.
func attributes(t *testing.T, list string) map[string]string {
	out := map[string]string{}
	for rest := list; rest != ""; {
		name, behind, found := strings.Cut(rest, "=")
		if !found || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			t.Fatalf("SYN-3: attribute list %q", list)
		}
		end := strings.IndexByte(behind, ',')
		if strings.HasPrefix(behind, `"`) {
			end = strings.IndexByte(behind[1:], '"') + 2
			if end < 2 || strings.ContainsAny(behind[:end], "\r\n") {
				t.Fatalf("SYN-3: attribute list %q", list)
			}
		} else if end < 0 {
			end = len(behind)
		}
		value := behind[:end]
		if value == "" || value[0] != '"' && strings.ContainsAny(value, "\" \t\r\n\f") {
			t.Fatalf("SYN-3: attribute list %q", list)
		}
		if _, twice := out[name]; twice {
			t.Fatalf("SYN-3: %s twice in %q", name, list)
		}
		out[name] = value
		rest = behind[end:]
		if rest == "" {
			break
		}
		if rest = rest[1:]; behind[end] != ',' || rest == "" {
			t.Fatalf("SYN-3: %q behind %s in %q", behind[end:], name, list)
		}
	}
	return out
}

// decimal says that a text is a number with so many digits behind its point: 0 may be none at all.
func decimal(text string, least, most int) bool {
	whole, fraction, point := strings.Cut(text, ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	if !point {
		return least == 0 && digits(whole)
	}
	return digits(whole) && digits(fraction) && len(fraction) >= least && len(fraction) <= most
}

// Ranks of tags inside a segment, in the order that SYN-6 wants.
var segmentRank = map[string]int{
	"#EXT-X-DISCONTINUITY": 1, "#EXT-X-MAP": 2, "#EXT-X-PROGRAM-DATE-TIME": 3, "#EXT-X-GAP": 4, "#EXT-X-PART": 5,
	"#EXTINF": 6, "#EXT-X-BYTERANGE": 7,
}

var headerRank = map[string]int{
	"#EXTM3U": 1, "#EXT-X-VERSION": 2, "#EXT-X-TARGETDURATION": 3, "#EXT-X-PLAYLIST-TYPE": 4, "#EXT-X-SERVER-CONTROL": 5,
	"#EXT-X-I-FRAMES-ONLY": 6, "#EXT-X-PART-INF": 7, "#EXT-X-START": 8, "#EXT-X-MEDIA-SEQUENCE": 9,
	"#EXT-X-DISCONTINUITY-SEQUENCE": 10, "#EXT-X-SKIP": 11, "#EXT-X-DATERANGE": 12,
}

var tailRank = map[string]int{"#EXT-X-PRELOAD-HINT": 1, "#EXT-X-RENDITION-REPORT": 2, "#EXT-X-ENDLIST": 3}

// parse reads a playlist strictly and fails the test where its syntax breaks SYN-1, SYN-3, SYN-4 or SYN-6.
func parse(t *testing.T, text []byte) *parsed {
	t.Helper()
	if !utf8.Valid(text) || !strings.HasPrefix(string(text), "#EXTM3U\n") || text[len(text)-1] != '\n' {
		t.Fatalf("SYN-1: %.100q", text)
	}
	p := &parsed{version: -1, discontinuity: -1, sequence: -1}
	seg := parsedSegment{}
	header, inSegment, tail := 0, 0, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.ContainsFunc(line, func(r rune) bool {
			return r < ' ' && (r != '\t' || !strings.HasPrefix(line, "#EXT-X-SKIP:"))
		}) {
			t.Fatalf("SYN-1: line %q", line)
		}
		tag, value, _ := strings.Cut(line, ":")
		switch {
		case headerRank[tag] > 0:
			if headerRank[tag] < header || headerRank[tag] == header && tag != "#EXT-X-DATERANGE" || inSegment > 0 || len(p.segments) > 0 {
				t.Fatalf("SYN-6: %q out of order in\n%s", line, text)
			}
			header = headerRank[tag]
			p.header(t, tag, value)
		case tailRank[tag] > 0:
			if tailRank[tag] < tail || inSegment == segmentRank["#EXTINF"] {
				t.Fatalf("SYN-6: %q out of order in\n%s", line, text)
			}
			tail = tailRank[tag]
			p.tail(t, tag, value)
		case line[0] != '#' || segmentRank[tag] > 0:
			rank := segmentRank[tag]
			if line[0] == '#' && (rank < inSegment || rank == inSegment && tag != "#EXT-X-PART") || tail > 0 {
				t.Fatalf("SYN-6: %q out of order in\n%s", line, text)
			}
			inSegment = rank
			if line[0] != '#' {
				seg.uri = line
			}
			if tag != "#EXT-X-PART" {
				seg.lines = append(seg.lines, line)
			}
			seg.tag(t, tag, value)
			if line[0] != '#' {
				p.segments = append(p.segments, seg)
				seg, inSegment = parsedSegment{}, 0
			}
		default:
			t.Fatalf("SYN-4: %q in a media playlist", line)
		}
	}
	p.open = seg
	p.number(t)
	return p
}

func (p *parsed) header(t *testing.T, tag, value string) {
	switch tag {
	case "#EXT-X-VERSION":
		p.version = integer(t, value)
	case "#EXT-X-TARGETDURATION":
		p.target = integer(t, value)
	case "#EXT-X-PLAYLIST-TYPE":
		p.kind = value
	case "#EXT-X-SERVER-CONTROL":
		p.control = attributes(t, value)
	case "#EXT-X-PART-INF":
		p.partInf = attributes(t, value)["PART-TARGET"]
	case "#EXT-X-I-FRAMES-ONLY":
		p.iframesOnly = true
	case "#EXT-X-DATERANGE":
		attributes(t, value)
		p.ranges = append(p.ranges, value)
	case "#EXT-X-MEDIA-SEQUENCE":
		p.sequence = integer(t, value)
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		p.discontinuity = integer(t, value)
	case "#EXT-X-SKIP":
		p.skip = attributes(t, value)
		p.skipped = integer(t, p.skip["SKIPPED-SEGMENTS"])
	}
}

func (p *parsed) tail(t *testing.T, tag, value string) {
	switch tag {
	case "#EXT-X-PRELOAD-HINT":
		p.hints = append(p.hints, attributes(t, value))
	case "#EXT-X-RENDITION-REPORT":
		p.reports = append(p.reports, attributes(t, value))
	case "#EXT-X-ENDLIST":
		p.endlist = true
	}
}

func (seg *parsedSegment) tag(t *testing.T, tag, value string) {
	switch tag {
	case "#EXT-X-DISCONTINUITY":
		seg.breaks = true
	case "#EXT-X-MAP":
		seg.mapURI = attributes(t, value)["URI"]
	case "#EXT-X-PROGRAM-DATE-TIME":
		date, err := time.Parse("2006-01-02T15:04:05.000Z", value)
		if err != nil {
			t.Fatalf("PDT-5: %v", err)
		}
		seg.date = date
	case "#EXT-X-GAP":
		seg.gap = true
	case "#EXT-X-PART":
		seg.parts = append(seg.parts, attributes(t, value))
	case "#EXTINF":
		if text, end := strings.CutSuffix(value, ","); !end || !decimal(text, 5, 6) {
			t.Fatalf("CMF-10: EXTINF:%s", value)
		}
		seg.inf = number(t, strings.TrimSuffix(value, ","))
	case "#EXT-X-BYTERANGE":
		seg.rng = value
	}
}

// number gives each segment its media and discontinuity sequence number, and the init section in force. A skip hides
// discontinuities, so dsn is then counted backwards by who knows the full playlist.
func (p *parsed) number(t *testing.T) {
	t.Helper()
	if p.version < 0 || p.target < 1 || p.sequence < 0 || p.discontinuity < 0 {
		t.Fatalf("SYN-2, TD-1, DSC-2: %+v", p)
	}
	dsn, init := p.discontinuity, ""
	all := append(slices.Clone(p.segments), p.open)
	for i := range all {
		seg := &all[i]
		seg.msn = p.sequence + p.skipped + i
		if seg.breaks {
			dsn++
		}
		if seg.mapURI != "" {
			init = seg.mapURI
		}
		seg.dsn, seg.init = dsn, init
	}
	p.segments, p.open = all[:len(all)-1], all[len(all)-1]
}

func integer(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || strconv.Itoa(n) != s {
		t.Fatalf("no decimal integer: %q", s)
	}
	return n
}

func number(t *testing.T, s string) float64 {
	if !decimal(s, 0, len(s)) {
		t.Fatalf("SYN-3: no decimal number: %q", s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (p *parsed) duration() float64 {
	d := 0.0
	for _, seg := range p.segments {
		d += seg.inf
	}
	return d
}
