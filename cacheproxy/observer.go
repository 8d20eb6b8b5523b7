package cacheproxy

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Observer learns what is asked and what came of it. It is called on the way of every request, by many at a time: it
// must be quick, and wait for nothing.
type Observer interface {
	// Asked is called before a request is answered: a GET or HEAD of Proxy's, any of Reverse's. What the request shows is
	// good until it returns. It gives what Answered is to be called with, a pointer that costs no allocation best; nil is
	// not to be told.
	Asked(r *Request) any
	// Answered is called when the answer has ended, well or not.
	Answered(mark any, a Answer)
}

// Request is what was asked. Its texts are views of a buffer: clone what is kept.
type Request struct {
	// Path and Query have no token in them; Query is raw.
	Path, Query string
	// Method and Host are the request's own.
	Method, Host string
	// Token is the playback token that came in path or query, good or not. Empty is none.
	Token string
	Head  bool
	// Proto is "HTTP/1.1", "HTTP/2.0" or "HTTP/3.0".
	Proto string
	// At is when its head had been read.
	At time.Time
	// TLS says that the viewer's connection is encrypted.
	TLS     bool
	asker   asker
	proxies proxies
}

// Values gives a field's lines by its canonical name.
func (r *Request) Values(name string) []string {
	if r.asker == nil { // it was made by hand
		return nil
	}
	return r.asker.values(name)
}

// Value gives a field's first line by its canonical name, or nothing.
func (r *Request) Value(name string) string {
	if lines := r.Values(name); len(lines) > 0 {
		return lines[0]
	}
	return ""
}

// Viewer is the address that asks, as trusted proxies tell it. Not valid: nobody can know.
func (r *Request) Viewer() netip.Addr {
	if r.asker == nil {
		return netip.Addr{}
	}
	return r.proxies.viewer(r.asker)
}

// Answer is what a request came to.
type Answer struct {
	// Status is 0 if nothing was answered.
	Status int
	// Body is how many bytes of it were written to the connection.
	Body int64
	// Result is what the cache made of it: hit, miss, collapsed, stale, pass, disk or error.
	Result string
	// Took is the time from the request's head to the answer's end.
	Took time.Duration
	// Cut says that the answer was broken off, by the viewer or for want of an upstream.
	Cut bool
}

// observation is what the observers gave of one request.
type observation struct {
	begun time.Time
	marks [maxObservers]any
}

// maxObservers bounds Config.Observers.
const maxObservers = 4

// observe tells the observers of a request.
func observe(pool *sync.Pool, observers []Observer, asked Request) (o observation) {
	o.begun = time.Now()
	r, _ := pool.Get().(*Request)
	if r == nil {
		r = new(Request)
	}
	*r = asked
	r.At = o.begun
	for i, observer := range observers {
		o.marks[i] = observer.Asked(r)
	}
	*r = Request{}
	pool.Put(r)
	return o
}

// tell tells them what came of it.
func (o *observation) tell(observers []Observer, a Answer) {
	a.Took = time.Since(o.begun)
	for i, observer := range observers {
		if o.marks[i] != nil {
			observer.Answered(o.marks[i], a)
		}
	}
}

// hostOf gives the Host of a request. Net/http has taken it out of the header.
func hostOf(x asker) string {
	if w, ok := x.(*web); ok {
		return w.r.Host
	}
	if lines := x.values("Host"); len(lines) > 0 {
		return lines[0]
	}
	return ""
}

func (p *Proxy) observe(x exchange, v *visit) observation {
	r := Request{
		Path: v.path, Query: v.query, Method: method(v.head), Head: v.head, Proto: "HTTP/1.1", asker: x,
		Host:    hostOf(x),
		proxies: p.config.TrustedProxies,
	}
	if w, ok := x.(*web); ok {
		r.Proto, r.TLS = w.r.Proto, w.r.TLS != nil
	}
	if strings.HasPrefix(r.Path, tokenPrefix) {
		r.Token, r.Path = cutPathToken(r.Path)
	}
	if strings.Contains(r.Query, tokenField) {
		var token string
		if token, r.Query = cutQueryToken(r.Query); r.Token == "" {
			r.Token = token
		}
	}
	return observe(&p.asked, p.config.Observers, r)
}

func (p *Proxy) observed(x exchange, o observation, res result, err error) {
	a := Answer{Result: res.String(), Cut: errors.Is(err, errCut)}
	a.Status, a.Body = x.told()
	o.tell(p.config.Observers, a)
}
