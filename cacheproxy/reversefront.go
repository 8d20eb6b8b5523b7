package cacheproxy

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/oxbow-video/oxbow/internal/fastlane"
)

// ServeHTTP implements http.Handler.
func (p *Reverse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := &web{r: r}
	if len(p.config.Observers) == 0 {
		p.admit(w, r, asked)
		return
	}
	request := Request{
		Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Method: r.Method, Head: r.Method == http.MethodHead,
		Proto: r.Proto, Host: r.Host, TLS: r.TLS != nil, asker: asked, proxies: p.config.TrustedProxies,
	}
	counted := &countingWriter{ResponseWriter: w}
	o, res, cut := observe(&p.asked, p.config.Observers, request), resultError, true
	defer func() {
		o.tell(p.config.Observers, Answer{Status: counted.status, Body: counted.body, Result: res.String(), Cut: cut})
	}()
	res = p.admit(counted, r, asked)
	cut = false
}

// admit holds a request back for as long as its client's rate wants, and answers it.
func (p *Reverse) admit(w http.ResponseWriter, r *http.Request, asked exchange) result {
	if err := p.holdBack(asked); err != nil {
		p.fail(w, r, err)
		p.metrics.requests[resultError].Inc()
		return resultError
	}
	return p.respondTo(w, r)
}

func (p *Reverse) holdBack(x exchange) error {
	if p.config.Limits == nil {
		return nil
	}
	hold, ok := p.config.Limits.Request(p.viewerOf(x))
	switch {
	case !ok:
		return tooManyError{after: hold}
	case hold <= 0:
		return nil
	}
	return pause(x, hold)
}

func (p *Reverse) viewerOf(a asker) netip.Addr { return proxies(p.config.TrustedProxies).viewer(a) }

// pace is the rate of who asks.
func (p *Reverse) pace(a asker) pace {
	if p.config.Limits == nil {
		return pace{}
	}
	return pace{limits: p.config.Limits, client: p.viewerOf(a)}
}

// ServeLane implements fastlane.Handler. A fresh answer that is sent as a whole goes out by reference with a header
// that is ready made; all else is answered as ServeHTTP does, without leaving the lane.
func (p *Reverse) ServeLane(x *fastlane.Exchange) error {
	if len(p.config.Observers) == 0 {
		_, err := p.serveLane(x)
		return err
	}
	request := Request{
		Path: x.Path(), Query: x.Query(), Method: method(x.Head()), Head: x.Head(), Proto: "HTTP/1.1", asker: (*lane)(x),
		proxies: p.config.TrustedProxies, Host: hostOf((*lane)(x)),
	}
	o := observe(&p.asked, p.config.Observers, request)
	res, err := p.serveLane(x)
	a := Answer{Result: res.String(), Cut: err != nil}
	a.Status, a.Body = x.Written()
	o.tell(p.config.Observers, a)
	return err
}

func (p *Reverse) serveLane(x *fastlane.Exchange) (result, error) {
	if err := p.holdBack((*lane)(x)); err != nil {
		return p.failLane(x, err)
	}
	now := time.Now()
	if o := p.simpleHit(x, now); o != nil {
		return resultHit, p.sendHit(x, o, now)
	}
	return p.serveLaneWriter(x, p.respondTo)
}

func (p *Reverse) failLane(x *fastlane.Exchange, err error) (result, error) {
	return p.serveLaneWriter(x, func(w http.ResponseWriter, r *http.Request) result {
		p.fail(w, r, err)
		p.metrics.requests[resultError].Inc()
		return resultError
	})
}

// method is that of a request in the lane.
func method(head bool) string {
	if head {
		return http.MethodHead
	}
	return http.MethodGet
}

// countingWriter counts what is written, for observers.
type countingWriter struct {
	http.ResponseWriter
	status int
	body   int64
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *countingWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.body += int64(n)
	return n, err
}
