package httpcache

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxAge caps every number of seconds (RFC 9111 section 1.2.2).
const MaxAge = math.MaxInt32 * time.Second

// None is a duration that was not given.
const None time.Duration = -1

// Directives are the response directives of Cache-Control or of a field in its form. Durations that were not given are
// None.
type Directives struct {
	MaxAge, SharedMaxAge     time.Duration
	WhileRevalidate, IfError time.Duration

	NoStore, NoCache, Private, Public bool
	MustRevalidate, ProxyRevalidate   bool
	MustUnderstand                    bool
	// Fields are those named by no-cache="..." and private="...": they are not stored, the rest may be.
	Fields []string
}

func noDirectives() Directives {
	return Directives{MaxAge: None, SharedMaxAge: None, WhileRevalidate: None, IfError: None}
}

// ParseDirectives reads the lines of a Cache-Control. Unknown directives are ignored, and known ones with blanks around
// their "=".
func ParseDirectives(lines []string) Directives {
	d := noDirectives()
	for _, line := range lines {
		for _, field := range split(line) {
			name, value, _ := strings.Cut(field, "=")
			d.add(strings.ToLower(name), value)
		}
	}
	return d
}

func (d *Directives) add(name, value string) {
	switch name {
	case "max-age":
		d.MaxAge = smaller(d.MaxAge, seconds(value))
	case "s-maxage":
		d.SharedMaxAge = smaller(d.SharedMaxAge, seconds(value))
	case "stale-while-revalidate":
		d.WhileRevalidate = smaller(d.WhileRevalidate, seconds(value))
	case "stale-if-error":
		d.IfError = smaller(d.IfError, seconds(value))
	case "no-store":
		d.NoStore = true
	case "no-cache":
		d.limit(&d.NoCache, value)
	case "private":
		d.limit(&d.Private, value)
	case "public":
		d.Public = true
	case "must-revalidate":
		d.MustRevalidate = true
	case "proxy-revalidate":
		d.ProxyRevalidate = true
	case "must-understand":
		d.MustUnderstand = true
	}
}

// limit notes the fields that a directive is limited to, or sets it for the whole answer.
func (d *Directives) limit(whole *bool, value string) {
	names := split(unquote(value))
	if len(names) == 0 {
		*whole = true
	}
	for _, name := range names {
		d.Fields = append(d.Fields, http.CanonicalHeaderKey(name))
	}
}

// smaller gives the least of two values of a directive.
func smaller(a, b time.Duration) time.Duration {
	if a == None {
		return b
	}
	return min(a, b)
}

// seconds reads a directive's delta-seconds, which may be quoted. What is no number counts as zero, the strictest.
func seconds(value string) time.Duration {
	d, _ := deltaSeconds(unquote(value))
	return d
}

// deltaSeconds reads a number of seconds, up to MaxAge.
func deltaSeconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > math.MaxInt32 { // no number but too large
		n = math.MaxInt32
	}
	return time.Duration(n) * time.Second, true
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}

// split gives the elements of a comma-separated list, without blanks around them and without empty ones. A comma in a
// quoted string is part of its element; a quote that is never closed is none, so that it hides nothing behind it.
func split(line string) []string {
	var fields []string
	for line != "" {
		end := elementEnd(line)
		if field := strings.Trim(line[:end], " \t"); field != "" {
			fields = append(fields, field)
		}
		line = line[min(end+1, len(line)):]
	}
	return fields
}

func elementEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ',':
			return i
		case '"':
			n := quotedEnd(line[i:])
			if n < 0 {
				// Not closed: by commas alone, from here on.
				if at := strings.IndexByte(line[i:], ','); at >= 0 {
					return i + at
				}
				return len(line)
			}
			i += n
		}
	}
	return len(line)
}

// quotedEnd gives the place of the quote that closes the string at the beginning of s, or -1.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
