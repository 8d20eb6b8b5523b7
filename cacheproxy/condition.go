package cacheproxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// notModified evaluates If-None-Match, or without it If-Modified-Since (RFC 9110 section 13.2.2).
func notModified(a asker, o *object) bool {
	if lines := a.values("If-None-Match"); len(lines) > 0 {
		for _, line := range lines {
			if httpcache.MatchETag(line, o.etag) {
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

// ifRange says whether a Range counts: the client's validator is absent, or a strong one that is still true.
func ifRange(lines []string, o *object) bool {
	return httpcache.IfRange(lines, httpcache.Validators{ETag: o.etag, Modified: o.modified})
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
