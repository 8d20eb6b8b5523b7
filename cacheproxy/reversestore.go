package cacheproxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// generic is what an object of Reverse has beside the others' fields.
//
// A URI's own key has its answer, or a sign: a bodiless object that says by which headers the answers vary, and that
// each of them is under the URI, the sign's generation and the request's variant; or that answers are for one request
// each. A sign that is replaced takes what was under it out of reach.
type generic struct {
	sign       bool
	generation uint64
	// names are what the answer varies by, variant the values that its own request had.
	names   []string
	variant string
	// single says, until that time, that answers were not for sharing.
	single time.Time
	// judged is the answer's policy, of which the object's own has the times.
	judged httpcache.Policy
	// only are headers for the request that fetched the answer, and for no other.
	only http.Header
	// authorized says that the request had an Authorization.
	authorized bool
	// parts are a list of stored ranges.
	parts *parts
}

// weight is what an object takes more for it.
func (g *generic) weight() int64 {
	const fixed, perPart = 256, 256
	switch {
	case g == nil:
		return 0
	case g.parts != nil:
		return fixed + perPart*int64(len(g.parts.all))
	}
	return fixed
}

// singleTime is how long requests for what was not for sharing go to the upstream without waiting for each other.
const singleTime = 30 * time.Second

// newGeneric makes the object, or head, of an upstream's answer.
func newGeneric(resp *http.Response, request http.Header, authorized bool, received time.Time) *object {
	h := resp.Header
	names, _ := httpcache.VaryOf(h)
	o := &object{
		kind:     kindSegment,
		status:   resp.StatusCode,
		header:   httpcache.Forwarded(h),
		received: received,
		age:      httpcache.InitialAge(h, received),
		forms:    new(forms),
		generic: &generic{
			names: names, variant: httpcache.Variant(names, request), authorized: authorized,
		},
	}
	o.clean()
	o.judge(o.status)
	o.withhold(h)
	o.setLength(resp.ContentLength)
	return o
}

// clean takes out of the header what is added per response.
func (o *object) clean() {
	o.passed = strings.Join(o.header["Cache-Status"], ", ")
	for _, name := range []string{"Age", "Cache-Status", "Content-Length"} {
		delete(o.header, name)
	}
	if o.header["Date"] == nil {
		o.header["Date"] = []string{o.received.UTC().Format(http.TimeFormat)}
	}
	if o.header["Content-Type"] == nil {
		o.header["Content-Type"] = nil // or the server would guess
	}
	o.etag = o.header.Get("Etag")
	o.modified, _ = httpcache.LastModified(o.header, o.received)
}

// judge reads the policy out of the header, as that of an answer with the status.
func (o *object) judge(status int) {
	j := httpcache.Judge(status, o.header, o.generic.authorized, o.received)
	o.generic.judged = j
	o.policy = policy{lifetime: j.Lifetime, whileRevalidate: j.WhileRevalidate, ifError: j.IfError}
}

// withhold takes out what may not be stored, for the fetching request alone.
func (o *object) withhold(h http.Header) {
	for _, name := range o.generic.judged.Fields {
		if values := o.header[name]; values != nil {
			if o.generic.only == nil {
				o.generic.only = make(http.Header)
			}
			o.generic.only[name] = h[name]
			delete(o.header, name)
		}
	}
}

// freshened gives the object as a 304, or the answer to a HEAD, makes it.
func (o *object) freshened(h http.Header, authorized bool, received time.Time) *object {
	c := *o
	c.forms = new(forms)
	g := *o.generic
	c.disk = false
	c.generic, c.received, c.age = &g, received, httpcache.InitialAge(h, received)
	g.authorized = g.authorized || authorized
	g.only = nil
	c.header = httpcache.Update(o.header, h)
	if h["Date"] == nil {
		delete(c.header, "Date") // that of the stored answer would make it look old
	}
	c.clean()
	c.judge(c.status)
	c.withhold(c.header)
	return &c
}

func (o *object) validators() httpcache.Validators {
	return httpcache.Validators{ETag: o.etag, Modified: o.modified}
}

// place is where a request's answer is, as far as that is known.
type place struct {
	uri     string
	key     key
	object  *object // nil is none
	variant string  // the request's, of what is known to vary
	single  bool    // answers were not for sharing
	ranged  string  // the range that is asked for, if that alone is to be fetched
	// partial says that there are ranges of it, but not those asked for.
	partial bool
}

// look finds what the cache has for the request.
func (p *Reverse) look(uri string, h http.Header, now time.Time) place {
	at := place{uri: uri, key: mediaKey(uri)}
	o := p.cache.get(at.key)
	switch {
	case o == nil:
	case !o.generic.sign:
		at.object = o
	default:
		at.single = now.Before(o.generic.single)
		if len(o.generic.names) > 0 {
			at.variant = httpcache.Variant(o.generic.names, h)
			at.key = variantKey(uri, o.generic, at.variant)
			at.object = p.cache.get(at.key)
		}
	}
	return at
}

func variantKey(uri string, sign *generic, variant string) key {
	return mediaKey(uri + "\n" + strconv.FormatUint(sign.generation, 36) + "\n" + variant)
}

// shelve gives the key under which the answer belongs, and puts up the sign that leads there.
func (p *Reverse) shelve(uri string, o *object, now time.Time) key {
	k := mediaKey(uri)
	if len(o.generic.names) == 0 {
		return k
	}
	sign, made := p.sign(uri, o.generic.names, now)
	if made {
		p.dropDisk(uri) // what it has is of other names, or of none
	}
	return variantKey(uri, sign.generic, o.generic.variant)
}

// sign gives the sign that leads to the variants by these names, maybe a new one.
func (p *Reverse) sign(uri string, names []string, now time.Time) (sign *object, made bool) {
	k := mediaKey(uri)
	sign = p.cache.get(k)
	if sign == nil || !sign.generic.sign || !slices.Equal(sign.generic.names, names) {
		sign, made = newSign(&generic{names: names, generation: p.generations.Add(1)}, now), true
		p.cache.put(k, sign, now)
	}
	return sign, made
}

// markSingle notes that the URI's answers are not for sharing.
func (p *Reverse) markSingle(uri string, now time.Time) {
	k := mediaKey(uri)
	g := &generic{generation: p.generations.Add(1), single: now.Add(singleTime)}
	if old := p.cache.get(k); old != nil && old.generic.sign {
		g.names, g.generation = old.generic.names, old.generic.generation
	} else {
		p.dropDisk(uri)
	}
	p.cache.put(k, newSign(g, now), now)
}

// newSign makes a sign. Its status keeps it from the queue of what is dead in seconds.
func newSign(g *generic, now time.Time) *object {
	g.sign = true
	return &object{kind: kindSegment, status: http.StatusOK, received: now, generic: g}
}

// keep puts a complete answer into the cache, if it may be there.
func (p *Reverse) keep(uri string, o *object, since *change) bool {
	if !o.generic.judged.Store || since.came.Load() {
		return false
	}
	now := time.Now()
	stored := o
	if o.generic.only != nil {
		c, g := *o, *o.generic
		g.only = nil
		c.generic, stored = &g, &c
	}
	p.store(p.shelve(uri, stored, now), stored, now)
	if since.came.Load() { // meanwhile
		p.forget(uri)
		return false
	}
	return true
}

// mayStandIn says whether the object may be used although it is past its lifetime, because the upstreams are away, or
// failed with an answer.
func (p *Reverse) mayStandIn(o *object, answered bool, now time.Time) bool {
	if o == nil || o.generic.judged.Strict {
		return false
	}
	extra := o.policy.ifError
	if !answered {
		extra = max(extra, p.config.Disconnected)
	}
	return o.usableAt(now, extra)
}

// remove takes one key's object out, and says whether there was one.
func (c *cache) remove(k key) bool {
	s := c.shard(k)
	s.mu.Lock()
	e := s.items[k]
	if e != nil {
		s.removeLocked(e)
	}
	s.mu.Unlock()
	if e == nil {
		return false
	}
	s.freed(e.size)
	return true
}
