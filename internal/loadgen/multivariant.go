package loadgen

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"

	"github.com/oxbow-video/oxbow/internal/media"
)

// level is a variant at a pathway, as a player picks one.
type level struct {
	pathway   string
	uri       *url.URL
	stable    string // STABLE-VARIANT-ID
	bandwidth int64
	audio     string // group of its audio; empty: it has its own
	failed    bool   // its playlist could not be had
}

// rendition is an audio track that variants play beside.
type rendition struct {
	group     string
	uri       *url.URL
	stable    string // STABLE-RENDITION-ID
	preferred bool
}

// multivariant is what a player keeps of a multivariant playlist.
type multivariant struct {
	levels []*level
	audios []rendition
	// steering is the SERVER-URI, nil for none, and pathway the one to begin at.
	steering *url.URL
	pathway  string
}

const (
	// maxLevels bounds the variants and renditions of a playlist, clones included.
	maxLevels = 1000
	// noPathway is the pathway of what names none.
	noPathway = "."
)

// parseMultivariant reads the playlist that came from base. A media playlist is its own only variant.
func parseMultivariant(base *url.URL, text []byte) (multivariant, error) {
	m := multivariant{pathway: noPathway}
	if !bytes.Contains(text, []byte("#EXT-X-STREAM-INF:")) {
		m.levels = []*level{{pathway: noPathway, uri: base}}
		return m, new(edge).parse(text)
	}
	var next *level
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		var err error
		switch {
		case len(line) == 0:
		case bytes.HasPrefix(line, []byte("#EXT-X-STREAM-INF:")):
			next = levelOf(line)
		case bytes.HasPrefix(line, []byte("#EXT-X-MEDIA:")) && attribute(line, "TYPE") == "AUDIO":
			err = m.addAudio(base, line)
		case bytes.HasPrefix(line, []byte("#EXT-X-CONTENT-STEERING:")):
			if id := attribute(line, "PATHWAY-ID"); id != "" {
				m.pathway = id
			}
			m.steering, err = base.Parse(attribute(line, "SERVER-URI"))
		case line[0] != '#' && next != nil:
			if next.uri, err = base.Parse(string(line)); err == nil {
				m.levels = append(m.levels, next)
			}
			next = nil
		}
		if err != nil {
			return m, fmt.Errorf("%w: URI in %.80q", media.ErrInvalid, line)
		}
		if len(m.levels)+len(m.audios) > maxLevels {
			return m, fmt.Errorf("%w: more than %d variants and renditions", media.ErrTooLarge, maxLevels)
		}
	}
	if len(m.levels) == 0 {
		return m, fmt.Errorf("%w: a multivariant playlist without variants", media.ErrInvalid)
	}
	return m, nil
}

func levelOf(line []byte) *level {
	l := &level{
		pathway: attribute(line, "PATHWAY-ID"), stable: attribute(line, "STABLE-VARIANT-ID"),
		audio: attribute(line, "AUDIO"),
	}
	if l.pathway == "" {
		l.pathway = noPathway
	}
	if bits, err := strconv.ParseInt(attribute(line, "BANDWIDTH"), 10, 63); err == nil {
		l.bandwidth = bits
	}
	return l
}

func (m *multivariant) addAudio(base *url.URL, line []byte) error {
	uri := attribute(line, "URI")
	if uri == "" {
		return nil // it is in the variant
	}
	u, err := base.Parse(uri)
	if err != nil {
		return err
	}
	m.audios = append(m.audios, rendition{
		group: attribute(line, "GROUP-ID"), uri: u, stable: attribute(line, "STABLE-RENDITION-ID"),
		preferred: attribute(line, "DEFAULT") == "YES",
	})
	return nil
}

// audioOf gives the playlist of a variant's audio; nil if it has none of its own.
func (m *multivariant) audioOf(l *level) *url.URL {
	var found *url.URL
	for _, a := range m.audios {
		if l.audio != "" && a.group == l.audio && (found == nil || a.preferred) {
			if found = a.uri; a.preferred {
				break
			}
		}
	}
	return found
}
