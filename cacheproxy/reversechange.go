package cacheproxy

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// invalidate drops what an unsafe request has changed (RFC 9111 section 4.4).
func (p *Reverse) invalidate(r *http.Request, uri string, resp *http.Response) {
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return
	}
	uris := []string{uri}
	if base, err := url.ParseRequestURI(uri); err == nil {
		hosts := append(p.hosts(), r.Host)
		for _, other := range httpcache.Invalidated(base, resp.Header, hosts...) {
			uris = append(uris, normalizeURI(other))
		}
	}
	for _, uri := range uris {
		had := p.forget(uri) // who begins behind the note finds nothing from before
		p.changes.note(uri)
		p.cache.remove(partsKey(mediaKey(uri)))
		if p.forget(uri) || had {
			p.metrics.invalidations.Inc()
		}
		p.flights.part(uri)
	}
}

// forget drops what is stored of a URI, and says whether memory had it.
func (p *Reverse) forget(uri string) bool {
	had := p.cache.remove(mediaKey(uri))
	p.dropDisk(uri)
	return had
}

// changes are the URIs that are being fetched, so that an answer which was on its way while an unsafe request changed
// what it is of is not kept.
type changes struct {
	mu    sync.Mutex
	under map[string]*change
}

// change is one URI's, for the fetches that began before its next unsafe request.
type change struct {
	fetches int
	came    atomic.Bool
}

// begin notes a fetch, which end must follow.
func (c *changes) begin(uri string) *change {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.under[uri]
	if one == nil {
		one = new(change)
		c.under[uri] = one
	}
	one.fetches++
	return one
}

func (c *changes) end(uri string, one *change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.fetches--; one.fetches == 0 && c.under[uri] == one {
		delete(c.under, uri)
	}
}

// note tells the fetches under way of an unsafe request.
func (c *changes) note(uri string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.under[uri]; one != nil {
		one.came.Store(true)
		delete(c.under, uri)
	}
}
