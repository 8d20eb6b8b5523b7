package hls

import (
	"fmt"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Clip is the piece of a recording that a playlist's query asks for with start and end. It is comparable, and equal
// for all spellings of a query that mean the same. The zero value is all of the recording.
//
// A bound is written as
//
//	2026-11-20T10:38:00Z      a time of day: RFC 3339, with any offset and fraction
//	-10m, -90s, -1h30m, -600  before the live edge, or before the end of what has ended; a bare number is seconds
//	90s, 1h5m, 600, 12.5      after the recording's begin, by the clock, so that interruptions count
//
// and counts in milliseconds, what is finer being cut off. A clip is whole segments: from the one that holds start to
// the one that holds end.
type Clip struct {
	Start, End Bound
}

// Bound is one end of a clip; the zero value is none.
type Bound struct {
	from origin
	ms   int64
}

// origin is what a bound counts from.
type origin uint8

const (
	fromNothing origin = iota
	fromEpoch          // milliseconds since 1970
	fromBegin          // after the recording's begin
	fromEdge           // before the live edge: zero or less
)

const (
	maxBound = 64 // bytes
	// maxSpan is past the longest recording (2^25 segments).
	maxSpan    = 10 * 366 * 24 * time.Hour
	dateFormat = "2006-01-02T15:04:05.000Z"
)

// ParseClip reads start and end of a raw query and leaves the rest alone. What is no time, is out of range or is there
// twice is an ErrInvalid that says so.
func ParseClip(query string) (Clip, error) {
	var c Clip
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		var bound *Bound
		switch name, _ = unescape(name); name {
		case "start":
			bound = &c.Start
		case "end":
			bound = &c.End
		default:
			continue
		}
		value, ok := unescape(value)
		if *bound != (Bound{}) || !ok {
			return Clip{}, fmt.Errorf("%w: %s is there twice or not encoded well", media.ErrInvalid, name)
		}
		var err error
		if *bound, err = parseBound(value); err != nil {
			return Clip{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.Start.from == c.End.from && c.Start.from != fromNothing && c.End.ms <= c.Start.ms {
		return Clip{}, fmt.Errorf("%w: end is not after start", media.ErrInvalid)
	}
	return c, nil
}

func parseBound(s string) (Bound, error) {
	if len(s) > maxBound {
		return Bound{}, fmt.Errorf("%w: longer than %d bytes", media.ErrInvalid, maxBound)
	}
	s = strings.ReplaceAll(s, " ", "+") // as which a plus arrives that was not escaped
	if len(s) > 4 && s[4] == '-' {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || t.UTC().Year() < 1970 || t.UTC().Year() > 9999 {
			return Bound{}, fmt.Errorf("%w: %q is no time of day since 1970 with its offset, "+
				"like 2026-11-20T10:38:00Z or 2026-11-20T11:38:00+01:00", media.ErrInvalid, s)
		}
		return Bound{from: fromEpoch, ms: t.UnixMilli()}, nil
	}
	text := s
	if s != "" && strings.Trim(s, "+-.0123456789") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d > maxSpan || d < -maxSpan {
		return Bound{}, fmt.Errorf("%w: %q is neither a time like 2026-11-20T10:38:00Z nor one like -10m, 90s or 600",
			media.ErrInvalid, s)
	}
	if strings.HasPrefix(s, "-") {
		return Bound{from: fromEdge, ms: d.Milliseconds()}, nil
	}
	return Bound{from: fromBegin, ms: d.Milliseconds()}, nil
}

// String gives the one spelling of a bound that URLs of ours have.
func (b Bound) String() string {
	switch b.from {
	case fromEpoch:
		return time.UnixMilli(b.ms).UTC().Format(dateFormat)
	case fromBegin:
		return string(appendDecimal(nil, b.ms, 1e3))
	case fromEdge:
		return "-" + string(appendDecimal(nil, -b.ms, 1e3))
	case fromNothing:
	}
	return ""
}

// Query gives the one spelling of a clip as a query, without question mark; empty for all of the recording.
func (c Clip) Query() string {
	var parts []string
	if c.Start.from != fromNothing {
		parts = append(parts, "start="+c.Start.String())
	}
	if c.End.from != fromNothing {
		parts = append(parts, "end="+c.End.String())
	}
	return strings.Join(parts, "&")
}

// Relative says that the clip means another piece of a growing recording at each moment.
func (c Clip) Relative() bool { return c.Start.from == fromEdge || c.End.from == fromEdge }

// Ends says that the clip does not go on to the live edge.
func (c Clip) Ends() bool { return c.End.from != fromNothing }

// at gives the moment that a bound is.
func (b Bound) at(begin, edge time.Time) time.Time {
	switch b.from {
	case fromBegin:
		return begin.Add(time.Duration(b.ms) * time.Millisecond)
	case fromEdge:
		return edge.Add(time.Duration(b.ms) * time.Millisecond)
	case fromEpoch, fromNothing:
	}
	return time.UnixMilli(b.ms)
}

func epoch(t time.Time) Bound { return Bound{from: fromEpoch, ms: t.UnixMilli()} }
