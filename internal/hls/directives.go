package hls

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Directives are the delivery directives of one playlist request (d§6.2.5).
type Directives struct {
	// Blocking says that _HLS_msn was there, MSN its value.
	Blocking bool
	MSN      media.MSN
	// Part is _HLS_part, -1 without one.
	Part int
	Skip Skip
}

// maxDirective bounds the numbers that directives hold: the recording ends long before (2^25 segments).
const maxDirective = math.MaxInt32

// ParseDirectives reads the directives of a raw query; their order is of no matter and what is no directive of ours
// is ignored (BLK-12). A part without msn (BLK-3), a number that is none or out of range (BLK-8) and a directive
// given twice are an ErrInvalid.
func ParseDirectives(query string) (Directives, error) {
	d := Directives{Part: -1}
	var seen [3]bool
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, ok := unescape(name)
		if !ok || !strings.HasPrefix(name, "_HLS_") {
			continue
		}
		which := directive(name)
		if which < 0 {
			continue
		}
		value, ok = unescape(value)
		if seen[which] || !ok {
			return Directives{}, fmt.Errorf("%w: %s is there twice or not encoded well", media.ErrInvalid, name)
		}
		seen[which] = true
		if err := d.set(which, value); err != nil {
			return Directives{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if d.Part >= 0 && !d.Blocking {
		return Directives{}, fmt.Errorf("%w: _HLS_part needs _HLS_msn", media.ErrInvalid)
	}
	return d, nil
}

// The directives that we obey.
const (
	directiveMSN = iota
	directivePart
	directiveSkip
)

func directive(name string) int {
	switch name {
	case "_HLS_msn":
		return directiveMSN
	case "_HLS_part":
		return directivePart
	case "_HLS_skip":
		return directiveSkip
	}
	return -1
}

func (d *Directives) set(which int, value string) error {
	if which == directiveSkip {
		switch value {
		case "YES":
			d.Skip = SkipYes
		case "v2":
			d.Skip = SkipV2
		}
		return nil // another value is of a later version: the full playlist answers it
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("%w: %.40q is no decimal integer up to %d", media.ErrInvalid, value, int64(maxDirective))
	}
	if which == directiveMSN {
		d.Blocking, d.MSN = true, media.MSN(n)
	} else {
		d.Part = int(n)
	}
	return nil
}

// unescape decodes percent signs, without allocating where there is none.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	s, err := url.QueryUnescape(s)
	return s, err == nil
}
