package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// maxResumed bounds how often one body goes on elsewhere.
const maxResumed = 8

// resume fetches the rest of a media body that broke off after viewers had read of it, and gives the whole object. It
// goes on where another upstream, or last the same one, has the same bytes: the same strong ETag and the same length,
// for an URL of media names bytes. Where it can't be told, the error is the one that broke it off.
func (p *Proxy) resume(ctx context.Context, rt route, f *flight, from string, cause error) (*object, error) {
	broken := fmt.Errorf("%s of %s: %w", rt.kind, rt.path, cause)
	head, at := f.progress()
	if !resumable(head, cause) {
		return nil, broken
	}
	var silent []string // who sent nothing since the last byte that came
	for range maxResumed {
		if p.gone.has(rt.recording, time.Now()) || !p.upstreams.Retry() {
			return nil, broken
		}
		s := p.search(rt, f.key, http.MethodGet)
		s.ask.header["Range"] = []string{fmt.Sprintf("bytes=%d-%d", at, head.length-1)}
		s.ask.header["If-Range"] = []string{head.etag}
		s.ask.wait, s.ask.holds = p.config.FetchTimeout, false // it is there by now
		s.rest, s.avoid, s.tried = true, from, slices.Clone(silent)
		s.others.plan = f.plan.beyond()
		resp, up, err := s.next(ctx)
		if err != nil {
			return nil, broken
		}
		if up == "" || !sameBody(resp, head, at) { // a refusal, or not surely the same
			_ = resp.Body.Close()
			return nil, broken
		}
		err = p.pourRest(f, resp, at, head.length)
		_ = resp.Body.Close() // the body was read to its end, or is given up
		if err == nil {
			p.metrics.resumed.Inc()
			p.logger.Debug("body went on", "path", f.key.path, "from", from, "to", up, "at", at, "err", cause)
			return f.whole(head, nil), nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.metrics.failed(up)
		if errors.Is(err, errBadAnswer) {
			return nil, broken
		}
		before := at
		if _, at = f.progress(); at > before {
			silent = nil
		} else {
			silent = append(silent, up)
		}
		from = up
	}
	return nil, broken
}

// resumable says that a broken body can go on elsewhere.
func resumable(head *object, cause error) bool {
	return head.status == http.StatusOK && !head.kind.text() && head.length >= 0 && strings.HasPrefix(head.etag, `"`) &&
		!errors.Is(cause, errBadAnswer) && !errors.Is(cause, media.ErrTooLarge)
}

// sameBody says that an answer has the bytes of a body from a place on, or the whole of it.
func sameBody(resp *http.Response, head *object, at int64) bool {
	if resp.Header.Get("Etag") != head.etag || resp.Header.Get("Content-Encoding") != head.header.Get("Content-Encoding") {
		return false
	}
	from, end, ok := extentOf(resp)
	if !ok || end != head.length {
		return false
	}
	if resp.StatusCode == http.StatusOK {
		return true
	}
	_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
	return from == at && total == strconv.FormatInt(head.length, 10)
}

// pourRest copies what follows the first bytes of a body into the flight. A 200 has those too.
func (p *Proxy) pourRest(f *flight, resp *http.Response, at, length int64) error {
	if resp.StatusCode == http.StatusOK {
		if _, err := io.CopyN(io.Discard, resp.Body, at); err != nil {
			return err
		}
	}
	return pourFrom(f, resp.Body, at, length, length, true)
}

// retract takes back a body that broke off, unless viewers may have read of it.
func (f *flight) retract() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.open {
		return false
	}
	f.mu.turn++ // who was about to show it does not
	return true
}

// progress gives the body's head, and how much of it has come.
func (f *flight) progress() (*object, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.head, f.mu.size
}

// whole gives the object of a body that has come to its end.
func (f *flight) whole(head *object, shared []slab.Weak) *object {
	o := *head
	var size int64
	o.chunks, size = f.body()
	o.setLength(size)
	if o.shared = shared; shared == nil {
		o.compact(f.arena)
	}
	return &o
}
