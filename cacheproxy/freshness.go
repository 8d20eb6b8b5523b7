package cacheproxy

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAge caps every delta-seconds value (RFC 9111 section 1.2.2).
const maxAge = math.MaxInt32

const (
	// A 404 is kept this long at the most, whatever it says: names come into being.
	notFoundTTL = time.Second
	// A 410 that says nothing about itself is kept this long.
	goneTTL = time.Minute
)

// policy is how long an answer may be used: after RFC 9111 and RFC 5861, for a shared cache that never revalidates.
type policy struct {
	lifetime        time.Duration // from received minus age; zero is not stored
	whileRevalidate time.Duration // may be used that much longer while a newer one is fetched
	ifError         time.Duration // may be used that much longer when fetching fails
}

// parsePolicy reads the policy out of an answer. There is no heuristic freshness: what has no explicit lifetime is not
// stored, but for 404 and 410.
func parsePolicy(status int, h http.Header, received time.Time) policy {
	var p policy
	var shared, private time.Duration = -1, -1
	strict := false
	for _, line := range h["Cache-Control"] {
		for line != "" {
			var field string
			field, line, _ = strings.Cut(line, ",")
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			switch strings.ToLower(name) {
			case "no-store", "private", "no-cache":
				return policy{}
			case "s-maxage":
				shared, strict = smaller(shared, deltaSeconds(value)), true
			case "max-age":
				private = smaller(private, deltaSeconds(value))
			case "must-revalidate", "proxy-revalidate":
				strict = true
			case "stale-while-revalidate":
				p.whileRevalidate = max(0, deltaSeconds(value))
			case "stale-if-error":
				p.ifError = max(0, deltaSeconds(value))
			}
		}
	}
	if strict {
		p.whileRevalidate, p.ifError = 0, 0
	}
	explicit := true
	switch {
	case shared >= 0:
		p.lifetime = shared
	case private >= 0:
		p.lifetime = private
	default:
		p.lifetime, explicit = expiry(h, received)
	}
	return p.forStatus(status, explicit)
}

// forStatus bounds the policy by what the status means here.
func (p policy) forStatus(status int, explicit bool) policy {
	switch {
	case status == http.StatusOK:
		return p
	case status == http.StatusNotFound && !explicit:
		return policy{lifetime: notFoundTTL}
	case status == http.StatusGone && !explicit:
		return policy{lifetime: goneTTL}
	case status == http.StatusGone:
		return policy{lifetime: p.lifetime}
	case status >= 400 && status < 500:
		return policy{lifetime: min(p.lifetime, notFoundTTL)}
	}
	return policy{}
}

// expiry is the lifetime by Expires and Date. Anything but one well-formed line means expired.
func expiry(h http.Header, received time.Time) (time.Duration, bool) {
	lines := h["Expires"]
	if len(lines) == 0 {
		return 0, false
	}
	expires, err := http.ParseTime(lines[0])
	if len(lines) > 1 || err != nil {
		return 0, true
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		date = received
	}
	return min(max(0, expires.Sub(date)), maxAge*time.Second), true
}

// smaller gives the least of two values of a directive, of which a negative one is none: a directive given twice counts
// by its strictest.
func smaller(a, b time.Duration) time.Duration {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// deltaSeconds reads a directive's value; what is no number counts as zero, the strictest.
func deltaSeconds(s string) time.Duration {
	s = strings.Trim(s, `" `)
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxAge {
		n = maxAge
	}
	return time.Duration(n) * time.Second
}

// parseAge is the age that an answer came with: the first value of the list; junk counts as none.
//
// RFC 9111 section 4.2.3 would add the time the request took. Ours are held back on purpose (blocking reload), and the
// answer is made at the end of that time: adding it would tell players that a brand-new playlist is seconds old.
func parseAge(h http.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	return deltaSeconds(strings.TrimSpace(first))
}
