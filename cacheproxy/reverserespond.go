package cacheproxy

import (
	"fmt"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// fetched is what a request is answered with: an object, or the head of one and the flight that brings it.
type fetched struct {
	object *object
	flight *flight
	status httpcache.Status
	first  bool // to the request that began the flight
}

// respond answers. An error means that nothing was sent; a body that can't be finished aborts the connection.
func (p *Reverse) respond(w http.ResponseWriter, r *http.Request, f fetched, now time.Time) error {
	o := f.object
	lines := r.Header["Range"]
	ranged := len(lines) == 1 && o.status == http.StatusOK && r.Method == http.MethodGet &&
		httpcache.IfRange(r.Header["If-Range"], o.validators())
	if ranged && o.length < 0 {
		whole, err := f.flight.complete(r.Context())
		if err != nil {
			return err
		}
		o, f.flight = whole, nil
	}
	h := w.Header()
	for name, values := range o.header {
		h[name] = values
	}
	if f.first {
		for name, values := range o.generic.only {
			h[name] = values
		}
	}
	var passed []string
	if o.passed != "" {
		passed = []string{o.passed}
	}
	h["Cache-Status"] = []string{f.status.Append(passed)}
	if age := o.ageAt(now); age >= time.Second || f.status.Forward == "" {
		h["Age"] = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	}
	found := o.status == http.StatusOK || o.status == http.StatusPartialContent
	if found && o.currentTo(r.Header) {
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Range"} {
			delete(h, name)
		}
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if ranged {
		if ranges, ok := httpcache.ParseRanges(lines[0], o.length); ok {
			return p.respondRanges(w, r, f, o, ranges)
		}
	}
	if o.contentLength != nil && o.status != http.StatusNoContent {
		h["Content-Length"] = o.contentLength
	}
	w.WriteHeader(o.status)
	if r.Method != http.MethodHead && o.status != http.StatusNoContent {
		p.send(r, w, f.flight, o, httpcache.Range{To: o.length})
	}
	return nil
}

// madeAt is when the origin made the answer, as well as it is known.
func (o *object) madeAt() time.Time {
	if date, ok := httpcache.ParseDate(o.header.Get("Date"), o.received); ok {
		return date
	}
	return o.received
}

// currentTo says whether what the request has is the object's present state.
func (o *object) currentTo(h http.Header) bool {
	return httpcache.NotModified(h["If-None-Match"], h["If-Modified-Since"], o.validators(), o.madeAt())
}

// send writes a run of the body; a negative end is the body's own.
func (p *Reverse) send(r *http.Request, w http.ResponseWriter, f *flight, o *object, run httpcache.Range) {
	out := newWriter(w, r, p.config.WriteTimeout, &p.copies)
	out.pace = p.pace(&web{r: r})
	b := body{x: &out, from: run.From, to: run.To}
	err := b.send(f, o)
	p.metrics.sentBytes.Add(float64(b.sent))
	if err != nil {
		// The client left or was too slow, or the upstream broke off.
		p.metrics.requests[resultError].Inc()
		panic(http.ErrAbortHandler)
	}
}

// respondRanges answers with one range, several, or none.
func (p *Reverse) respondRanges(
	w http.ResponseWriter, r *http.Request, f fetched, o *object, ranges []httpcache.Range,
) error {
	h := w.Header()
	switch len(ranges) {
	case 0:
		for _, name := range []string{"Content-Type", "Content-Encoding", "Etag", "Last-Modified"} {
			delete(h, name)
		}
		h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(o.length, 10)}
		h["Content-Length"] = []string{"0"}
		h["Cache-Control"] = []string{"no-store"}
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return nil
	case 1:
		h["Content-Range"] = []string{ranges[0].ContentRange(o.length)}
		h["Content-Length"] = []string{strconv.FormatInt(ranges[0].To-ranges[0].From, 10)}
		w.WriteHeader(http.StatusPartialContent)
		p.send(r, w, f.flight, o, ranges[0])
		return nil
	}
	if len(o.chunks) == 0 {
		whole, err := f.flight.complete(r.Context())
		if err != nil {
			return err
		}
		o = whole
	}
	p.sendRanges(r, w, o, ranges)
	return nil
}

// sendRanges writes a multipart/byteranges body (RFC 9110 section 14.6).
func (p *Reverse) sendRanges(r *http.Request, w http.ResponseWriter, o *object, ranges []httpcache.Range) {
	boundary := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	h := w.Header()
	contentType := h.Get("Content-Type")
	delete(h, "Content-Range")
	var heads []string
	length := int64(0)
	for i, run := range ranges {
		head := "--" + boundary + "\r\n"
		if i > 0 {
			head = "\r\n" + head
		}
		if contentType != "" {
			head += "Content-Type: " + contentType + "\r\n"
		}
		head += "Content-Range: " + run.ContentRange(o.length) + "\r\n\r\n"
		heads = append(heads, head)
		length += int64(len(head)) + run.To - run.From
	}
	tail := "\r\n--" + boundary + "--\r\n"
	h["Content-Type"] = []string{mime.FormatMediaType("multipart/byteranges", map[string]string{"boundary": boundary})}
	h["Content-Length"] = []string{strconv.FormatInt(length+int64(len(tail)), 10)}
	w.WriteHeader(http.StatusPartialContent)
	text := func(s string) {
		out := newWriter(w, r, p.config.WriteTimeout, &p.copies)
		if out.write(slab.Of([]byte(s))) != nil {
			p.metrics.requests[resultError].Inc()
			panic(http.ErrAbortHandler)
		}
	}
	for i, run := range ranges {
		text(heads[i])
		p.send(r, w, nil, o, run)
	}
	text(tail)
}
