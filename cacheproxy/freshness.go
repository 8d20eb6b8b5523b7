package cacheproxy

import (
	"net/http"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

const (
	// A 404 is kept this long at the most, whatever it says: names come into being.
	notFoundTTL = time.Second
	// A 410 that says nothing about itself is kept this long.
	goneTTL = time.Minute
)

// freshnessFields tell how long an answer is fresh.
var freshnessFields = [...]string{"Cache-Control", "Cdn-Cache-Control", "Surrogate-Control", "Expires"}

// policy is how long an answer may be used: after RFC 9111 and RFC 5861, for a shared cache that never revalidates.
type policy struct {
	lifetime        time.Duration // from received minus age; zero is not stored
	whileRevalidate time.Duration // may be used that much longer while a newer one is fetched
	ifError         time.Duration // may be used that much longer when fetching fails
}

// judge gives the policy of an answer, and the fields of its header that nobody else may get. There is no heuristic
// freshness: what has no explicit lifetime is not stored, but for 404 and 410.
//
// What the answer varies by does not matter here: all requests upstream are the edge's own and differ in nothing but
// their URL, whoever asked for it. That of "*" is not stored.
func judge(status int, h http.Header, received time.Time) (p policy, withheld []string) {
	j := httpcache.Judge(status, h, false, received)
	if j.Explicit {
		p = policy{lifetime: j.Lifetime, whileRevalidate: j.WhileRevalidate, ifError: j.IfError}
	}
	return p.forStatus(status, j.Explicit), j.Fields
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
