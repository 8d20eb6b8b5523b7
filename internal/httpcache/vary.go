package httpcache

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
)

// VaryOf gives the request headers that chose the answer, sorted and each once. With star nothing of a request tells
// what chose it.
func VaryOf(h http.Header) (names []string, star bool) {
	for _, line := range h["Vary"] {
		for _, name := range split(line) {
			if name == "*" {
				return nil, true
			}
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// Variant gives the request's values of the names in short: requests with the same one get the same answer. Empty is
// what has no names.
//
// Lines are joined and blanks around commas dropped (RFC 9111 section 4.1). Of Accept-Encoding neither case nor order
// says anything, of Accept-Language case; the order of languages does, to origins that heed no weights.
func Variant(names []string, h http.Header) string {
	if len(names) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, name := range names {
		_, _ = sum.Write([]byte(name + "\n")) // never fails
		lines, there := h[name]
		if !there {
			continue
		}
		var fields []string
		for _, line := range lines {
			fields = append(fields, split(line)...)
		}
		switch name {
		case "Accept-Encoding":
			lower(fields)
			slices.Sort(fields)
		case "Accept-Language":
			lower(fields)
		}
		_, _ = sum.Write([]byte("=" + strings.Join(fields, ",") + "\n"))
	}
	return string(sum.Sum(nil))
}

func lower(fields []string) {
	for i, f := range fields {
		fields[i] = strings.ToLower(f)
	}
}
