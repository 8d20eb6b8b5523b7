package httpcache

import (
	"strings"
	"time"
)

// Validators are what names a representation's state. Modified is zero if it was not told.
type Validators struct {
	ETag     string
	Modified time.Time
}

// NotModified evaluates If-None-Match, or without it If-Modified-Since (RFC 9110 section 13.2.2), by the lines of each.
// Made stands in for a date of modification that was not told: when the answer was made (RFC 9111 section 4.3.2). Zero
// stands in for nothing.
func NotModified(noneMatch, modifiedSince []string, v Validators, made time.Time) bool {
	if len(noneMatch) > 0 {
		for _, line := range noneMatch {
			if MatchETag(line, v.ETag) {
				return true
			}
		}
		return false
	}
	if v.Modified.IsZero() {
		v.Modified = made
	}
	if len(modifiedSince) != 1 || v.Modified.IsZero() {
		return false
	}
	since, ok := ParseDate(modifiedSince[0], v.Modified)
	return ok && !v.Modified.After(since)
}

// MatchETag compares a list of entity tags with one, weakly. A list that is the tag's own text matches too, whatever
// its form.
func MatchETag(list, etag string) bool {
	if list = strings.Trim(list, " \t"); list == "*" || list == etag && etag != "" {
		return true
	}
	opaque := strings.TrimPrefix(etag, "W/")
	for opaque != "" {
		list = strings.TrimLeft(list, " \t,")
		tag := strings.TrimPrefix(list, "W/")
		if !strings.HasPrefix(tag, `"`) {
			return false
		}
		end := strings.IndexByte(tag[1:], '"')
		if end < 0 {
			return false
		}
		if tag[:end+2] == opaque {
			return true
		}
		list = tag[end+2:]
	}
	return false
}

// IfRange says whether a Range counts: the client's validator is absent, or a strong one that is still true.
func IfRange(lines []string, v Validators) bool {
	switch {
	case len(lines) == 0:
		return true
	case len(lines) > 1:
		return false
	case strings.HasPrefix(lines[0], `"`):
		return lines[0] == v.ETag
	case v.Modified.IsZero():
		return false
	}
	t, ok := ParseDate(lines[0], v.Modified)
	return ok && t.Equal(v.Modified)
}

// Strong says that equal tags mean equal bytes.
func Strong(etag string) bool { return len(etag) >= 2 && etag[0] == '"' && etag[len(etag)-1] == '"' }
