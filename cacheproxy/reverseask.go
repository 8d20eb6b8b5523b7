package cacheproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// reverseAsk is one request as it goes to upstreams, whichever is chosen.
type reverseAsk struct {
	method  string
	uri     string
	header  http.Header
	body    io.Reader // nil is none
	length  int64     // of the body, negative if unknown
	interim *interim
	// waits says that nobody knows how long an answer may be held back, or that it is nobody's business.
	waits bool
}

// ask sends a fetch's request, with the validators of the object that there is.
func (p *Reverse) ask(ctx context.Context, q *fetch, old *object) (*http.Response, error) {
	h := q.header
	if old != nil && old.status == http.StatusOK && (old.etag != "" || old.header["Last-Modified"] != nil) {
		h = h.Clone()
		if old.etag != "" {
			h["If-None-Match"] = []string{old.etag}
		}
		if values := old.header["Last-Modified"]; len(values) == 1 {
			h["If-Modified-Since"] = values
		}
	}
	return p.request(ctx, reverseAsk{
		method: http.MethodGet, uri: q.at.uri, header: h, interim: q.interim,
		waits: strings.Contains(q.at.uri, "?"), // a blocking reload, or a search
	})
}

// roundTrip sends the request to one upstream. Its answer's pauses are bounded. The caller closes the answer's body,
// which ends the use; if there is none, the caller ends it.
func (p *Reverse) roundTrip(ctx context.Context, up upstream, a reverseAsk, use *pool.Use) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	wait := p.config.FetchTimeout
	late := &patience{wait: wait, timer: time.AfterFunc(wait, func() {
		cancel(fmt.Errorf("no answer within %s: %w", wait, errTimeout))
	})}
	if a.body != nil {
		a.body = &paced{a.body, late}
	}
	resp, err := p.sendTo(httptrace.WithClientTrace(ctx, a.interim.trace()), up, a)
	// End says false when the timer has fired: the answer's body is then cut, even if the header made it.
	if err == nil && !late.end() {
		_ = resp.Body.Close()
		err = errTimeout
	}
	if err != nil {
		late.end()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, fmt.Errorf("ask %s: %w", up.name, err)
	}
	body := newGuarded(ctx, resp.Body, p.config.StallTimeout, 0, cancel)
	body.use = use
	resp.Body = body
	return resp, nil
}

// patience is a wait that may begin anew until it ends.
type patience struct {
	mu    sync.Mutex
	timer *time.Timer
	wait  time.Duration
	ended bool
}

func (t *patience) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended && t.timer.Stop() {
		t.timer.Reset(t.wait)
	}
}

// end says whether the time was not over.
func (t *patience) end() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	return t.timer.Stop()
}

// paced is a request's body, which takes the time that it takes: the wait for an answer begins anew with each read.
type paced struct {
	io.Reader
	late *patience
}

func (b *paced) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.late.again()
	return n, err
}

func (p *Reverse) sendTo(ctx context.Context, up upstream, a reverseAsk) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, up.base+a.uri, a.body)
	if err != nil {
		return nil, err
	}
	req.Header = a.header
	if a.body != nil {
		req.ContentLength = a.length
	}
	p.metrics.upstreamRequests.Inc()
	return p.transport.RoundTrip(req)
}

// misleadingHeaders would let a client choose what an origin answers to others: they are no part of the key.
func misleadingHeaders() []string {
	return []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded",
		"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override",
	}
}

// upstreamHeader is what of a request's header goes on: all but what belongs to the connection, and what would speak of
// another request than the key.
func (p *Reverse) upstreamHeader(r *http.Request) http.Header {
	h := httpcache.Forwarded(r.Header)
	delete(h, "Expect")
	forwarded := h["X-Forwarded-For"]
	for _, name := range misleadingHeaders() {
		delete(h, name)
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		addr, err := netip.ParseAddr(host)
		if err != nil || !p.trusts(addr.Unmap()) {
			forwarded = nil
		}
		h["X-Forwarded-For"] = []string{strings.Join(append(forwarded[:len(forwarded):len(forwarded)], host), ", ")}
	}
	h["Via"] = []string{strings.Join(append(r.Header["Via"][:len(r.Header["Via"]):len(r.Header["Via"])],
		fmt.Sprintf("%d.%d %s", r.ProtoMajor, r.ProtoMinor, p.pseudonym)), ", ")}
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // or the transport would add its own
	}
	return h
}

func (p *Reverse) trusts(addr netip.Addr) bool {
	for _, prefix := range p.config.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
