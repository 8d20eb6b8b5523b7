package loadgen

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// piece is a part, or a segment that is listed without parts.
type piece struct {
	msn  int64
	part int // -1 is a whole segment
	uri  string
	// length is how much media it has, and gap that there is none to load.
	length time.Duration
	gap    bool
}

// before says whether a piece comes before a place in the playlist.
func (p piece) before(msn int64, part int) bool {
	return p.msn < msn || (p.msn == msn && p.part < part)
}

// edge is what a client of a live playlist needs of it.
type edge struct {
	pieces     []piece // in order; those of segments that have parts are the parts
	target     time.Duration
	partTarget time.Duration // zero: no parts
	blocks     bool          // CAN-BLOCK-RELOAD
	skips      bool          // CAN-SKIP-UNTIL
	ended      bool
	// holdBack is how far behind the end players are to be; zero is not told.
	holdBack time.Duration
	// init is the URI of the newest initialization section, empty for none.
	init string
	// msn and part are what the next reload asks for.
	msn  int64
	part int
}

// parse reads a media playlist, delta updates included. It reuses pieces.
func (e *edge) parse(text []byte) error {
	if !bytes.HasPrefix(text, []byte("#EXTM3U")) {
		return fmt.Errorf("%w: no playlist", media.ErrInvalid)
	}
	*e = edge{pieces: e.pieces[:0]}
	var msn int64
	var length time.Duration
	part, gap := 0, false
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case len(line) == 0:
		case line[0] != '#':
			if part == 0 {
				e.pieces = append(e.pieces, piece{msn, -1, string(line), length, gap})
			}
			msn, part, gap = msn+1, 0, false
		case bytes.HasPrefix(line, []byte("#EXTINF:")):
			value, _, _ := bytes.Cut(line[len("#EXTINF:"):], []byte(","))
			length = seconds(string(value))
		case bytes.Equal(line, []byte("#EXT-X-GAP")):
			gap = true
		case bytes.HasPrefix(line, []byte("#EXT-X-PART:")):
			e.pieces = append(e.pieces, piece{
				msn, part, attribute(line, "URI"), seconds(attribute(line, "DURATION")), attribute(line, "GAP") == "YES",
			})
			part++
		case bytes.HasPrefix(line, []byte("#EXT-X-MEDIA-SEQUENCE:")):
			msn += number(line)
		case bytes.HasPrefix(line, []byte("#EXT-X-SKIP:")):
			n, err := strconv.ParseInt(attribute(line, "SKIPPED-SEGMENTS"), 10, 63)
			if err != nil {
				return fmt.Errorf("%w: %.80s", media.ErrInvalid, line)
			}
			msn += n
		default:
			e.header(line)
		}
	}
	e.msn, e.part = msn, part
	return nil
}

func (e *edge) header(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte("#EXT-X-TARGETDURATION:")):
		e.target = time.Duration(number(line)) * time.Second
	case bytes.HasPrefix(line, []byte("#EXT-X-PART-INF:")):
		e.partTarget = seconds(attribute(line, "PART-TARGET"))
	case bytes.HasPrefix(line, []byte("#EXT-X-SERVER-CONTROL:")):
		e.blocks = attribute(line, "CAN-BLOCK-RELOAD") == "YES"
		e.skips = attribute(line, "CAN-SKIP-UNTIL") != ""
		if e.holdBack = seconds(attribute(line, "PART-HOLD-BACK")); e.holdBack == 0 {
			e.holdBack = seconds(attribute(line, "HOLD-BACK"))
		}
	case bytes.HasPrefix(line, []byte("#EXT-X-MAP:")):
		e.init = attribute(line, "URI")
	case bytes.HasPrefix(line, []byte("#EXT-X-ENDLIST")):
		e.ended = true
	}
}

// number reads what is behind a tag's colon; zero if it is none.
func number(line []byte) int64 {
	_, value, _ := bytes.Cut(line, []byte(":"))
	n, err := strconv.ParseInt(string(value), 10, 63)
	if err != nil {
		return 0
	}
	return n
}

func seconds(s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 3600) { // nor NaN
		return 0
	}
	return time.Duration(math.Round(f * float64(time.Second)))
}

// attribute gives the value of a tag's attribute, without quotes; empty if it has none.
func attribute(line []byte, name string) string {
	for from := 0; ; {
		at := bytes.Index(line[from:], []byte(name+"="))
		if at < 0 {
			return ""
		}
		at += from
		from = at + len(name) + 1
		if line[at-1] != ':' && line[at-1] != ',' {
			continue // the end of a longer name
		}
		value := line[from:]
		if len(value) > 0 && value[0] == '"' {
			value, _, _ = bytes.Cut(value[1:], []byte(`"`))
			return string(value)
		}
		value, _, _ = bytes.Cut(value, []byte(","))
		return string(value)
	}
}

// resolve gives the path and query of a URI that stands in the playlist of that path.
func resolve(playlist, uri string) (string, error) {
	if strings.Contains(uri, "://") {
		u, err := url.Parse(uri)
		if err != nil {
			return "", fmt.Errorf("%w: URI %.80q", media.ErrInvalid, uri)
		}
		return u.RequestURI(), nil
	}
	if strings.HasPrefix(uri, "/") {
		return uri, nil
	}
	name, query, has := strings.Cut(uri, "?")
	playlist, _, _ = strings.Cut(playlist, "?")
	full := path.Join(path.Dir(playlist), name)
	if has {
		full += "?" + query
	}
	return full, nil
}

// renditions gives the paths of the media playlists that a player of a multivariant playlist's first variant loads: the
// variant's own, and the default one of its audio group. A media playlist is its own only rendition.
func renditions(playlist string, text []byte) ([]string, error) {
	if !bytes.Contains(text, []byte("#EXT-X-STREAM-INF:")) {
		return []string{playlist}, new(edge).parse(text)
	}
	var variant, group, audio string
	audios := map[string]string{}
	expect := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case variant != "" || len(line) == 0:
		case bytes.HasPrefix(line, []byte("#EXT-X-STREAM-INF:")):
			expect, group = true, attribute(line, "AUDIO")
		case line[0] != '#' && expect:
			variant = string(line)
		}
		if !bytes.HasPrefix(line, []byte("#EXT-X-MEDIA:")) || attribute(line, "TYPE") != "AUDIO" {
			continue
		}
		id := attribute(line, "GROUP-ID")
		if _, has := audios[id]; !has || attribute(line, "DEFAULT") == "YES" {
			audios[id] = attribute(line, "URI")
		}
	}
	if variant == "" {
		return nil, fmt.Errorf("%w: a multivariant playlist without variants", media.ErrInvalid)
	}
	if group != "" {
		audio = audios[group]
	}
	var list []string
	for _, uri := range []string{variant, audio} {
		if uri == "" {
			continue
		}
		full, err := resolve(playlist, uri)
		if err != nil {
			return nil, err
		}
		list = append(list, full)
	}
	return list, nil
}
