package test

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// seenSegment is what one version of a media playlist says of a segment, or of the open one of which it lists parts only.
type seenSegment struct {
	msn           int
	discontinuity int // its discontinuity sequence number
	path          string
	duration      float64
	gap           bool
	init          string
	parts         []seenPart
	whole         bool // it has an EXTINF
	complete      bool // its parts were listed when it was whole: they are all
}

type seenPart struct {
	path string
	gap  bool
}

// seenList is one version of a media playlist, as far as a witness judges it.
type seenList struct {
	sequence      int // EXT-X-MEDIA-SEQUENCE
	discontinuity int // EXT-X-DISCONTINUITY-SEQUENCE
	breaks        int // EXT-X-DISCONTINUITY tags
	target        float64
	ended         bool
	segments      []seenSegment // the open one last, if any part of it is listed
}

// parseSeen reads a media playlist without delta updates. URIs become absolute paths.
func parseSeen(base, text string) (*seenList, error) {
	if !strings.HasPrefix(text, "#EXTM3U\n") {
		return nil, fmt.Errorf("no playlist: %.60q", text)
	}
	l, resolve := &seenList{}, func(uri string) string { return path.Join(path.Dir(base), uri) }
	var next seenSegment
	init, discontinuity := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		number := func() int { n, _ := strconv.Atoi(value); return n }
		switch {
		case tag == "#EXT-X-MEDIA-SEQUENCE":
			l.sequence = number()
		case tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
			l.discontinuity = number()
			discontinuity = l.discontinuity
		case tag == "#EXT-X-TARGETDURATION":
			l.target = float64(number())
		case tag == "#EXT-X-DISCONTINUITY":
			l.breaks++
			discontinuity++
		case tag == "#EXT-X-SKIP":
			return nil, errors.New("a delta update that was not asked for")
		case tag == "#EXT-X-MAP":
			init = resolve(attribute(value, "URI"))
		case tag == "#EXT-X-GAP":
			next.gap = true
		case tag == "#EXT-X-PART":
			next.parts = append(next.parts, seenPart{resolve(attribute(value, "URI")), attribute(value, "GAP") == "YES"})
		case tag == "#EXT-X-ENDLIST":
			l.ended = true
		case tag == "#EXTINF":
			next.duration, _ = strconv.ParseFloat(strings.TrimSuffix(value, ","), 64)
		case line != "" && !strings.HasPrefix(line, "#"):
			next.path, next.whole = resolve(line), true
			l.add(next, init, discontinuity)
			next = seenSegment{}
		}
	}
	if len(next.parts) > 0 {
		l.add(next, init, discontinuity)
	}
	return l, nil
}

func (l *seenList) add(s seenSegment, init string, discontinuity int) {
	s.msn, s.init, s.discontinuity = l.sequence+len(l.segments), init, discontinuity
	l.segments = append(l.segments, s)
}

// edge is how far a playlist has come: the number of the segment that comes next or is open, and how many parts of it
// are listed.
type edge struct{ msn, parts int }

func (e edge) before(other edge) bool {
	return e.msn < other.msn || e.msn == other.msn && e.parts < other.parts
}

func (l *seenList) edge() edge {
	if n := len(l.segments); n > 0 && !l.segments[n-1].whole {
		return edge{l.segments[n-1].msn, len(l.segments[n-1].parts)}
	}
	return edge{l.sequence + len(l.segments), 0}
}
