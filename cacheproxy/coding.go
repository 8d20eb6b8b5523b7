package cacheproxy

import (
	"strings"
)

// coding is what of Content-Encoding a viewer takes of a playlist, and likes best.
type coding uint8

const (
	codingPlain  coding = iota
	codingGzip          // the copy that upstreams gave
	codingEither        // gzip or zstd, whichever is worth more
	codingZstd          // zstd, for gzip is refused or liked less
)

// acceptedCoding reads Accept-Encoding (RFC 9110 section 12.5.3). What is liked as well packed as plain is packed. A
// star stands for gzip: who sends one hardly knows of zstd.
func acceptedCoding(lines []string) coding {
	const unsaid = -1
	gzip, zstd, identity, star := unsaid, unsaid, unsaid, unsaid
	for _, line := range lines {
		for line != "" {
			var field string
			field, line, _ = strings.Cut(line, ",")
			name, params, _ := strings.Cut(field, ";")
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
				gzip = quality(params)
			case strings.EqualFold(name, "zstd"):
				zstd = quality(params)
			case strings.EqualFold(name, "identity"):
				identity = quality(params)
			case name == "*":
				star = quality(params)
			}
		}
	}
	if gzip == unsaid {
		gzip = star
	}
	switch {
	case max(gzip, zstd) <= 0 || identity > max(gzip, zstd):
		return codingPlain
	case zstd > gzip:
		return codingZstd
	case zstd == gzip:
		return codingEither
	}
	return codingGzip
}

// quality reads a weight (RFC 9110 section 12.4.2) in thousandths. One that is none of the grammar's is 1, for the
// coding was named.
func quality(params string) int {
	const most = 1000
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		whole, digits, _ := strings.Cut(strings.TrimSpace(value), ".")
		if whole != "0" || len(digits) > 3 {
			return most
		}
		q, unit := 0, most
		for i := range len(digits) {
			if digits[i] < '0' || digits[i] > '9' {
				return most
			}
			unit /= 10
			q += unit * int(digits[i]-'0')
		}
		return q
	}
	return most
}
