package test

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strconv"
	"strings"
	"testing"
)

// listed is what a media playlist names: a minimal reading for the tests, independent of the code that wrote it.
type listed struct {
	text            string
	mediaSequence   int
	discontinuities int
	gaps            int
	ended           bool
	kind            string
	inits           []string
	segments        []string // URLs' paths, gaps left out
	parts           []string
	hint            string
	duration        float64
	uriByMSN        map[int]string
}

// readPlaylist parses the playlist at the path; its URIs become absolute paths.
func readPlaylist(tb testing.TB, base, text string) listed {
	tb.Helper()
	l := listed{text: text, uriByMSN: map[int]string{}}
	if !strings.HasPrefix(text, "#EXTM3U\n") {
		tb.Fatalf("%s is no playlist: %.200q", base, text)
	}
	dir := path.Dir(base)
	resolve := func(uri string) string { return path.Join(dir, uri) }
	msn, gap := 0, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch {
		case tag == "#EXT-X-MEDIA-SEQUENCE":
			l.mediaSequence, _ = strconv.Atoi(value)
			msn = l.mediaSequence
		case tag == "#EXT-X-DISCONTINUITY":
			l.discontinuities++
		case tag == "#EXT-X-GAP":
			gap = true
			l.gaps++
		case tag == "#EXT-X-ENDLIST":
			l.ended = true
		case tag == "#EXT-X-PLAYLIST-TYPE":
			l.kind = value
		case tag == "#EXT-X-MAP":
			l.inits = append(l.inits, resolve(attribute(value, "URI")))
		case tag == "#EXT-X-PART":
			l.parts = append(l.parts, resolve(attribute(value, "URI")))
		case tag == "#EXT-X-PRELOAD-HINT" && strings.Contains(value, "TYPE=PART"):
			l.hint = resolve(attribute(value, "URI"))
		case tag == "#EXTINF":
			seconds, _ := strconv.ParseFloat(strings.TrimSuffix(value, ","), 64)
			if !gap {
				l.duration += seconds
			}
		case line != "" && !strings.HasPrefix(line, "#"):
			if !gap {
				l.segments = append(l.segments, resolve(line))
				l.uriByMSN[msn] = resolve(line)
			}
			gap = false
			msn++
		}
	}
	return l
}

// attribute reads one quoted or bare attribute of a tag.
func attribute(list, name string) string {
	for rest := list; rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return ""
		}
		var value string
		if quoted, isQuoted := strings.CutPrefix(after, `"`); isQuoted {
			value, rest, _ = strings.Cut(quoted, `"`)
			rest = strings.TrimPrefix(rest, ",")
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		if key == name {
			return value
		}
	}
	return ""
}

// variants gives the paths of the media playlists that a multivariant playlist names.
func variants(base, text string) []string {
	var uris []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#EXT-X-MEDIA:"):
			if uri := attribute(strings.TrimPrefix(line, "#EXT-X-MEDIA:"), "URI"); uri != "" {
				uris = append(uris, path.Join(path.Dir(base), uri))
			}
		case line != "" && !strings.HasPrefix(line, "#"):
			uris = append(uris, path.Join(path.Dir(base), line))
		}
	}
	return uris
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
