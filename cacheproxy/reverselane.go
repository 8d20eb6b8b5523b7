package cacheproxy

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// serveLaneWriter has a request of the lane's answered as net/http's are.
func (p *Reverse) serveLaneWriter(
	x *fastlane.Exchange, answer func(w http.ResponseWriter, r *http.Request) result,
) (result, error) {
	x.Keep()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Clone(x.Text()))))
	if err != nil {
		return resultError, fmt.Errorf("BUG: head that the lane took: %w", err)
	}
	r.RemoteAddr = x.Remote().String()
	w := &laneWriter{x: x, header: make(http.Header)}
	res := resultError
	err = w.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { res = answer(w, r) }),
		r.WithContext(x.Context()))
	return res, err
}

// conditional are the fields by which a request wants something else than the whole.
var conditional = [...]string{
	"Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "Via",
}

// simpleHit gives what is fresh and is to be sent as a whole.
func (p *Reverse) simpleHit(x *fastlane.Exchange, now time.Time) *object {
	uri := x.Target()
	if strings.Contains(uri, "%") {
		return nil // it may have another spelling
	}
	for _, name := range conditional {
		if len(x.Values(name)) > 0 {
			return nil
		}
	}
	o := p.cache.get(mediaKey(uri))
	if o != nil && o.generic.sign && len(o.generic.names) > 0 {
		h := make(http.Header, len(o.generic.names))
		for _, name := range o.generic.names {
			if values := x.Values(name); len(values) > 0 {
				h[name] = values
			}
		}
		o = p.cache.get(variantKey(uri, o.generic, httpcache.Variant(o.generic.names, h)))
	}
	if o == nil || o.generic.sign || o.status != http.StatusOK || !o.freshAt(now) {
		return nil
	}
	return o
}

func (p *Reverse) sendHit(x *fastlane.Exchange, o *object, now time.Time) error {
	var room [256]byte
	age := o.ageAt(now)
	more := number10(append(room[:0], "Age: "...), seconds(age), "\r\nCache-Status: ")
	if o.passed != "" {
		more = append(append(more, o.passed...), ", "...)
	}
	more = number10(append(more, cacheName+"; hit; ttl="...), seconds(o.policy.lifetime-age), "\r\nContent-Length: ")
	more = number10(more, o.length, "\r\n")
	length := o.length
	if x.Head() {
		length = 0
	}
	err := x.Begin(statusLine(o.status), o.formed(formWhole, public).block, more, length)
	if err == nil && x.Head() {
		err = x.End()
	} else if err == nil {
		b := body{x: (*lane)(x), to: o.length, pace: p.pace((*lane)(x))}
		err = b.send(nil, o)
		p.metrics.sentBytes.Add(float64(b.sent))
	}
	p.metrics.requests[resultHit].Inc()
	if err != nil {
		p.metrics.requests[resultError].Inc()
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}

// laneWriter is the lane's exchange as an http.ResponseWriter, with what http.ResponseController asks for. The lane has
// write deadlines of its own.
type laneWriter struct {
	x        *fastlane.Exchange
	header   http.Header
	begun    bool
	bodyless bool
	err      error
}

var _ http.Flusher = (*laneWriter)(nil)

func (w *laneWriter) serve(h http.Handler, r *http.Request) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			if broken, ok := fault.(error); !ok || !errors.Is(broken, http.ErrAbortHandler) {
				panic(fault)
			}
			err = errCut
		}
	}()
	h.ServeHTTP(w, r)
	if !w.begun {
		return errCut // nobody is there to be told
	}
	if w.err != nil {
		return fmt.Errorf("%w: %w", errCut, w.err)
	}
	w.x.Trailer(w.trailer())
	return w.x.End()
}

// trailer gives the fields that follow the body.
func (w *laneWriter) trailer() []byte {
	var h http.Header
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			if h == nil {
				h = make(http.Header)
			}
			h[name] = values
		}
	}
	return block(h)
}

// Header implements http.ResponseWriter.
func (w *laneWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *laneWriter) WriteHeader(status int) {
	switch {
	case w.begun:
		return
	case status < 200:
		w.err = errors.Join(w.err, w.x.Interim(statusLine(status), block(w.header)))
		return
	}
	w.begun = true
	length := int64(-1)
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		length = n
	} else {
		delete(w.header, "Content-Length")
	}
	if w.bodyless = w.x.Head() || status == http.StatusNoContent || status == http.StatusNotModified; w.bodyless {
		length = 0
	}
	for _, name := range []string{"Connection", "Transfer-Encoding"} { // the lane's own
		delete(w.header, name)
	}
	if length >= 0 {
		delete(w.header, "Trailer")
	}
	if w.header["Date"] == nil {
		w.header["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	w.err = errors.Join(w.err, w.x.Begin(statusLine(status), block(w.header), nil, length))
}

// Write implements http.ResponseWriter.
func (w *laneWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.err != nil {
		return 0, w.err
	}
	if w.bodyless {
		return len(b), nil
	}
	w.err = w.x.Write(slab.Of(b))
	if w.err == nil {
		w.err = w.x.Flush() // what was written is the caller's again
	}
	runtime.KeepAlive(b)
	if w.err != nil {
		return 0, w.err
	}
	return len(b), nil
}

// Flush implements http.Flusher.
func (w *laneWriter) Flush() { _ = w.FlushError() } // the next Write tells

// FlushError sends what is queued.
func (w *laneWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if w.err == nil {
		w.err = w.x.Flush()
	}
	return w.err
}

// SetWriteDeadline does nothing.
func (w *laneWriter) SetWriteDeadline(time.Time) error { return nil }
