package origin

import (
	"strconv"
	"strings"
)

// etag is a URL's: what it names never changes, and no two URLs of an origin name the same bytes twice over.
func (t *target) etag() string {
	b := make([]byte, 0, 64)
	b = append(b, '"')
	b = append(b, t.id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(t.take), 10)
	b = append(b, '.')
	b = append(b, t.track...)
	if t.kind != kindInit {
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(t.msn), 10)
	}
	if t.kind == kindPart {
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(t.part), 10)
	}
	return string(append(b, '"'))
}

// matches says that an If-None-Match names one of the tags, by weak comparison (RFC 9110 13.1.2).
func matches(fields []string, etag, other string) bool {
	for _, field := range fields {
		for field != "" {
			var tag string
			tag, field, _ = strings.Cut(field, ",")
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == "*" || tag == etag || (tag == other && other != "") {
				return true
			}
		}
	}
	return false
}

// acceptsGzip says that an Accept-Encoding takes gzip (RFC 9110 12.5.3).
func acceptsGzip(fields []string) bool {
	wildcard := false
	for _, field := range fields {
		for field != "" {
			var coding string
			coding, field, _ = strings.Cut(field, ",")
			coding, params, _ := strings.Cut(coding, ";")
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return weight(params)
			case "*":
				wildcard = weight(params)
			}
		}
	}
	return wildcard
}

// weight says that a q parameter is not zero.
func weight(params string) bool {
	name, value, ok := strings.Cut(strings.TrimSpace(params), "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return true
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err == nil && q > 0
}

// What a Range asks for.
const (
	rangeNone   = iota // nothing that we know, or several ranges: the whole is the answer
	rangePart          // some of it
	rangeBeyond        // 416
)

// parseRange reads a Range of one range of bytes (RFC 9110 14.1.2) of something that is size bytes long.
func parseRange(spec string, size int64) (from, length int64, what int) {
	unit, set, ok := strings.Cut(spec, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(set, ",") {
		return 0, 0, rangeNone
	}
	first, last, ok := strings.Cut(strings.TrimSpace(set), "-")
	if !ok {
		return 0, 0, rangeNone
	}
	if first == "" {
		n, ok := position(last)
		if !ok {
			return 0, 0, rangeNone
		}
		if n == 0 || size == 0 {
			return 0, 0, rangeBeyond
		}
		n = min(n, size)
		return size - n, n, rangePart
	}
	from, ok = position(first)
	if !ok {
		return 0, 0, rangeNone
	}
	end := size - 1
	if last != "" {
		if end, ok = position(last); !ok || end < from {
			return 0, 0, rangeNone
		}
		end = min(end, size-1)
	}
	if from >= size {
		return 0, 0, rangeBeyond
	}
	return from, end - from + 1, rangePart
}

// position reads digits only; what is too large for us is as far as one can ask.
func position(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// contentRange writes the Content-Range of a part.
func contentRange(from, length, size int64) string {
	b := append(make([]byte, 0, 64), "bytes "...)
	b = strconv.AppendInt(b, from, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, from+length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}
