package cacheproxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// passedRequestHeaders is what an upstream gets of the viewer's header where it answers this viewer alone.
func passedRequestHeaders() []string {
	return []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"}
}

const passChunk = 64 << 10

// passTo is pass, by whom net/http serves: the lane gets no downloads.
func (p *Proxy) passTo(x exchange, v visit, rt route, k key) error {
	served, ok := x.(*web)
	if !ok {
		return fmt.Errorf("%w: %.120q is not for this way", media.ErrNotFound, k.path)
	}
	w := served.out.w
	if v.access != public {
		w = &signedWriter{ResponseWriter: w, access: v.access}
	}
	return p.pass(served, w, rt, k)
}

// pass answers with a body that is too large to hold: it streams from one upstream to one viewer.
func (p *Proxy) pass(x *web, w http.ResponseWriter, rt route, k key) error {
	r := x.r
	if p.waiting.Add(1) > int64(p.config.MaxWaiters) {
		p.waiting.Add(-1)
		return fmt.Errorf("%d waiters: %w", p.config.MaxWaiters, errBusy)
	}
	p.metrics.waiters.Inc()
	s := p.search(rt, k, r.Method)
	for _, name := range passedRequestHeaders() {
		if values := r.Header[name]; len(values) > 0 {
			s.ask.header[name] = values
		}
	}
	resp, up, err := s.next(r.Context())
	p.left() // a body may take hours, and waits for nobody
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if p.gone.has(rt.recording, time.Now()) { // meanwhile
		return media.ErrGone
	}
	o := newObject(rt.kind, resp.StatusCode, resp.Header, resp.ContentLength, time.Now())
	if o.status >= http.StatusBadRequest {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxDetail))
		if err != nil {
			return err
		}
		o.chunks = []slab.Piece{slab.Of(text)}
		o = refusal(o)
		resp.Body = io.NopCloser(bytes.NewReader(o.bytes()))
	}
	h := w.Header()
	for name, values := range o.header {
		h[name] = values
	}
	for _, name := range []string{"Content-Range", "Accept-Ranges"} {
		if values := resp.Header[name]; len(values) > 0 {
			h[name] = slices.Clone(values)
		}
	}
	if o.length >= 0 && resp.StatusCode != http.StatusNotModified {
		h["Content-Length"] = o.contentLength
	}
	h["Cache-Status"] = []string{o.cacheStatus("oxbow; fwd=bypass")}
	x.status = resp.StatusCode
	w.WriteHeader(resp.StatusCode)
	if r.Method == http.MethodHead || resp.StatusCode == http.StatusNotModified {
		return nil
	}
	if r.Method == http.MethodGet {
		resp.Body = p.continueBody(r.Context(), rt, k, resp, up)
	}
	out := newWriter(w, r, p.config.WriteTimeout, &p.copies)
	if p.config.Limits != nil {
		out.pace = pace{limits: p.config.Limits, client: p.config.viewerOf(x)}
	}
	defer func() {
		x.out.sent = out.sent // for observers
		p.metrics.sentBytes.Add(float64(out.sent))
		p.load.sent.Add(out.sent)
	}()
	if err := out.copy(resp.Body, o.length); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}
