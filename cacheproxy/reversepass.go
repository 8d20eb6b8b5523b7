package cacheproxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// pass sends the request on as it is, and its answer back: what is neither cached nor shared.
func (p *Reverse) pass(w http.ResponseWriter, r *http.Request, uri string) error {
	resp, err := p.forward(w, r, uri) //nolint:bodyclose // relay does
	if err != nil {
		return err
	}
	if httpcache.Unsafe(r.Method) {
		p.invalidate(r, uri, resp)
	}
	reason := "request"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		reason = "method"
	}
	return p.relay(w, r, resp, reason)
}

// forward asks the upstreams in the request's own name. What has no body and changes nothing may be asked of another
// one when the first fails.
func (p *Reverse) forward(w http.ResponseWriter, r *http.Request, uri string) (*http.Response, error) {
	between := newInterim(w, r)
	defer between.end()
	ask := reverseAsk{method: r.Method, uri: uri, header: p.upstreamHeader(r), interim: between, waits: true}
	if r.ContentLength != 0 {
		ask.body, ask.length = r.Body, r.ContentLength
	}
	return p.request(r.Context(), ask)
}

// head answers a HEAD: from the cache what is fresh there, else from the upstream, whose answer freshens what is there
// or shows that it is no longer true (RFC 9111 section 4.3.5).
func (p *Reverse) head(w http.ResponseWriter, r *http.Request, uri string) (result, error) {
	now := time.Now()
	at := p.look(uri, r.Header, now)
	o := at.object
	if o != nil && o.usableAt(now, o.policy.whileRevalidate) {
		res := resultHit
		if !o.freshAt(now) {
			res = resultStale
			p.refresh(r, at)
		}
		return res, p.respond(w, r, fetched{object: o, status: freshStatus(o, now)}, now)
	}
	if p.onDisk(at) {
		if res, again, err := p.await(w, r, at, false); !again {
			return res, err
		}
	}
	change := p.changes.begin(uri)
	defer p.changes.end(uri, change)
	resp, err := p.forward(w, r, uri)
	now = time.Now()
	if err != nil || resp.StatusCode >= 500 {
		if p.mayStandIn(o, err == nil, now) {
			if err == nil {
				_ = resp.Body.Close()
			}
			return resultStale, p.respond(w, r, fetched{object: o, status: freshStatus(o, now)}, now)
		}
	}
	if err != nil {
		return resultError, err
	}
	if o != nil && resp.StatusCode == http.StatusOK {
		same := httpcache.SameBody(o.header, resp.Header, o.length, resp.ContentLength)
		authorized := len(r.Header["Authorization"]) > 0
		if !same || !p.keep(uri, o.freshened(resp.Header, authorized, now), change) {
			p.cache.remove(at.key)
			p.dropDisk(uri)
		}
	}
	return resultPass, p.relay(w, r, resp, forwardReason(at))
}

// relay sends an upstream's answer to one client, as it comes.
func (p *Reverse) relay(w http.ResponseWriter, r *http.Request, resp *http.Response, reason string) error {
	defer func() { _ = resp.Body.Close() }()
	h := w.Header()
	for name, values := range httpcache.Forwarded(resp.Header) {
		h[name] = values
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // or the server would guess
	}
	if resp.ContentLength >= 0 && resp.StatusCode != http.StatusNotModified && resp.StatusCode != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.FormatInt(resp.ContentLength, 10)}
	}
	status := httpcache.Status{Cache: cacheName, Forward: reason, ForwardStatus: resp.StatusCode}
	h["Cache-Status"] = []string{status.Append(resp.Header["Cache-Status"])}
	for name := range resp.Trailer {
		h.Add("Trailer", name)
	}
	w.WriteHeader(resp.StatusCode)
	if r.Method == http.MethodHead {
		return nil
	}
	out := newWriter(w, r, p.config.WriteTimeout, &p.copies)
	out.pace = p.pace(&web{r: r})
	err := out.stream(resp.Body, resp.ContentLength < 0)
	p.metrics.sentBytes.Add(float64(out.sent))
	if err != nil {
		p.metrics.requests[resultError].Inc()
		panic(http.ErrAbortHandler)
	}
	for name, values := range resp.Trailer {
		h[http.TrailerPrefix+name] = values
	}
	return nil
}

// stream sends a body; flushed says that what comes is sent at once.
func (w *writer) stream(body io.Reader, flushed bool) error {
	buf := make([]byte, passChunk)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if err := w.write(slab.Of(buf[:n])); err != nil {
				return err
			}
			if flushed {
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return w.end()
		}
		if err != nil {
			return err
		}
	}
}

// trace passes 1xx answers on.
func (i *interim) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		i.pass(code, http.Header(h))
		return nil
	}}
}
