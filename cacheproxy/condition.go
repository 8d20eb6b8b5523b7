package cacheproxy

import (
	"net/http"
	"strconv"
	"strings"
)

// notModified evaluates If-None-Match, or without it If-Modified-Since (RFC 9110 section 13.2.2).
func notModified(a asker, o *object) bool {
	if lines := a.values("If-None-Match"); len(lines) > 0 {
		for _, line := range lines {
			if matches(line, o.etag) {
				return true
			}
		}
		return false
	}
	lines := a.values("If-Modified-Since")
	if len(lines) != 1 || o.modified.IsZero() {
		return false
	}
	since, err := http.ParseTime(lines[0])
	return err == nil && !o.modified.After(since)
}

// matches compares a list of entity tags with one, weakly.
func matches(list, etag string) bool {
	if strings.TrimSpace(list) == "*" {
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

// ifRange says whether a Range counts: the client's validator is absent, or a strong one that is still true.
func ifRange(lines []string, o *object) bool {
	if len(lines) == 0 {
		return true
	}
	v := lines[0]
	switch {
	case len(lines) > 1:
		return false
	case strings.HasPrefix(v, `"`):
		return v == o.etag
	case o.modified.IsZero():
		return false
	}
	t, err := http.ParseTime(v)
	return err == nil && t.Equal(o.modified)
}

// parseRange reads a single byte range (RFC 9110 section 14.1.2) of a body of size bytes, and gives the first byte and
// the one past the last. What is no single range in form is not ok, and then the whole is sent.
func parseRange(s string, size int64) (from, to int64, ok, satisfiable bool) {
	unit, spec, found := strings.Cut(s, "=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !found || !dash || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return 0, 0, false, false
	}
	from, fromOK := position(first)
	to, toOK := position(last)
	switch {
	case first == "" && toOK: // the last so many bytes
		return max(0, size-to), size, true, to > 0 && size > 0
	case fromOK && last == "":
		return from, size, true, from < size
	case fromOK && toOK && from <= to:
		return from, min(to+1, size), true, from < size
	}
	return 0, 0, false, false
}

func position(s string) (int64, bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
