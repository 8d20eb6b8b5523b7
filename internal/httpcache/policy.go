package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// HeuristicLimit bounds the freshness of what says nothing of it. A playlist that a plain file server has may be an
	// hour old and be replaced in the next second by that of a new show.
	HeuristicLimit = 10 * time.Second
	// NegativeLifetime is how long a 404 or 410 that says nothing of its freshness is kept: names come into being.
	NegativeLifetime = time.Second
	// clockSkew is how far an origin's Date may be behind before it counts as age. Less is clocks that differ, by which a
	// playlist of two seconds would come stale.
	clockSkew = time.Minute
)

// Policy is what a shared cache may do with an answer.
type Policy struct {
	// Store says that it may be kept. Of a Lifetime of zero it is used after validation only.
	Store    bool
	Lifetime time.Duration
	// WhileRevalidate and IfError are how much longer it may be used while it is asked for again, and when that fails.
	WhileRevalidate, IfError time.Duration
	// Explicit says that the answer itself says so, and that nothing was guessed.
	Explicit bool
	// Strict forbids all use beyond the lifetime, whatever the need.
	Strict bool
	// Shared says that it may answer those who asked while it was on its way. An answer that each use must be asked for
	// is for one request.
	Shared bool
	// Fields are those that may not be kept.
	Fields []string
}

// Judge reads the policy out of an answer to a GET (RFC 9111 section 3). Authorized says that its request had an
// Authorization.
func Judge(status int, h http.Header, authorized bool, received time.Time) Policy {
	d, targeted := cdnDirectives(h)
	if !targeted {
		d = ParseDirectives(h["Cache-Control"])
	}
	p := Policy{Explicit: true, Fields: d.Fields}
	p.Strict = d.MustRevalidate || d.ProxyRevalidate || d.SharedMaxAge != None || d.NoCache
	if !storable(status, h, d, authorized) {
		return p
	}
	if p.Lifetime, p.Explicit = lifetime(h, d, targeted, received); !p.Explicit {
		p.Lifetime = heuristic(status, h, d, received)
	}
	if !p.Strict {
		p.WhileRevalidate, p.IfError = max(0, d.WhileRevalidate), max(0, d.IfError)
	}
	p.Shared = p.Lifetime > 0
	p.Store = p.Shared || status == http.StatusOK && hasValidator(h)
	return p
}

// lifetime is how long the answer says that it is fresh from when it was made, if it does. What dates say is not heeded
// beside a targeted field.
func lifetime(h http.Header, d Directives, targeted bool, received time.Time) (time.Duration, bool) {
	switch {
	case d.NoCache:
		return 0, true
	case d.SharedMaxAge != None:
		return d.SharedMaxAge, true
	case d.MaxAge != None:
		return d.MaxAge, true
	case targeted:
		return 0, false
	}
	return expiry(h, received)
}

// storable are the conditions of RFC 9111 section 3 that look at no time.
func storable(status int, h http.Header, d Directives, authorized bool) bool {
	if d.MustUnderstand { // section 5.2.2.3: who understands the status heeds no no-store beside it
		if !understood(status) {
			return false
		}
		d.NoStore = false
	}
	switch {
	case d.NoStore, d.Private:
		return false
	case status < 200, status == http.StatusPartialContent, status == http.StatusNotModified:
		return false
	case authorized && !d.Public && !d.MustRevalidate && d.SharedMaxAge == None: // section 3.5
		return false
	}
	_, star := VaryOf(h)
	return !star
}

// understood are the statuses whose rules for caches are followed here (RFC 9110 section 15).
func understood(status int) bool {
	return status >= 200 && status != http.StatusPartialContent && http.StatusText(status) != ""
}

func hasValidator(h http.Header) bool { return len(h["Etag"]) > 0 || len(h["Last-Modified"]) > 0 }

// heuristic is the lifetime of what has no explicit one: a tenth of the time since it was modified, within
// HeuristicLimit (RFC 9111 section 4.2.2). What sets a cookie is left alone.
func heuristic(status int, h http.Header, d Directives, received time.Time) time.Duration {
	if len(h["Set-Cookie"]) > 0 || strings.EqualFold(h.Get("Pragma"), "no-cache") {
		return 0
	}
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
	default:
		if !d.Public {
			return 0
		}
	}
	if modified, ok := LastModified(h, received); ok {
		date, ok := ParseDate(h.Get("Date"), received)
		if !ok {
			date = received
		}
		return min(max(0, date.Sub(modified)/10), HeuristicLimit)
	}
	if status == http.StatusNotFound || status == http.StatusGone {
		return NegativeLifetime
	}
	return 0
}

// LastModified is the answer's own date of modification.
func LastModified(h http.Header, received time.Time) (time.Time, bool) {
	lines := h["Last-Modified"]
	if len(lines) != 1 {
		return time.Time{}, false
	}
	return ParseDate(lines[0], received)
}

// expiry is the lifetime by Expires and Date. Anything but one well-formed line means expired.
func expiry(h http.Header, received time.Time) (time.Duration, bool) {
	lines := h["Expires"]
	if len(lines) == 0 {
		return 0, false
	}
	expires, ok := ParseDate(lines[0], received)
	if len(lines) > 1 || !ok {
		return 0, true
	}
	date, ok := ParseDate(h.Get("Date"), received)
	if !ok {
		date = received
	}
	return min(max(0, expires.Sub(date)), MaxAge), true
}

// InitialAge is the age that an answer came with (RFC 9111 section 4.2.3): by Age or by a Date that is farther back
// than clocks differ.
//
// The time that the request took is not added: packagers hold answers back on purpose (blocking reload), and make them
// at the end of that time.
func InitialAge(h http.Header, received time.Time) time.Duration {
	age := ToldAge(h)
	if date, ok := ParseDate(h.Get("Date"), received); ok {
		if apparent := received.Sub(date); apparent >= clockSkew {
			age = max(age, apparent)
		}
	}
	return min(age, MaxAge)
}

// ToldAge is what an answer's Age tells, of which the first value counts and junk is none.
func ToldAge(h http.Header) time.Duration {
	lines := h["Age"]
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	age, _ := deltaSeconds(strings.Trim(first, " \t"))
	return age
}

// Unsafe says that a method may change what it names (RFC 9110 section 9.2.1). A method that is not known may.
func Unsafe(method string) bool {
	return !slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}, method)
}
