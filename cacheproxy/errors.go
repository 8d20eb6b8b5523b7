package cacheproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

var (
	errBusy      = errors.New("too many requests under way")
	errBadAnswer = errors.New("upstream gave no usable answer")
)

// statusOf is the one table from errors to what viewers are told.
func statusOf(err error) int {
	switch {
	case errors.Is(err, media.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, media.ErrGone):
		return http.StatusGone
	case errors.Is(err, media.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, media.ErrDenied):
		return http.StatusForbidden
	case errors.Is(err, errUninvited):
		return http.StatusUnauthorized
	case errors.Is(err, errCircle):
		return http.StatusLoopDetected
	case errors.Is(err, errAbsent):
		return http.StatusGatewayTimeout
	case errors.Is(err, media.ErrUnavailable), errors.Is(err, errBusy), errors.Is(err, errNoArchive),
		errors.Is(err, errNoPolicies), errors.Is(err, pool.ErrFull), errors.Is(err, errLeaving):
		return http.StatusServiceUnavailable
	case errors.As(err, new(tooManyError)):
		return http.StatusServiceUnavailable
	case errors.Is(err, errLong):
		return http.StatusRequestURITooLong
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// writeError answers with a problem document (RFC 9457). Its detail tells of the status only: errors name upstreams,
// which are nobody's business.
func (p *Proxy) writeError(x exchange, v visit, err error) error {
	status, why := statusOf(err), err
	p.metrics.refused(status)
	h := make(http.Header, 5)
	setCORS(h)
	switch status {
	case http.StatusNotFound, http.StatusBadRequest:
		h.Set("Cache-Control", "public, max-age=1")
	case http.StatusGone:
		h.Set("Cache-Control", "public, max-age=60")
	case http.StatusForbidden:
		h.Set("Cache-Control", "no-store")
	default:
		h.Set("Cache-Control", "no-store")
		h.Set("Retry-After", "1")
	}
	var many tooManyError
	detail := ""
	switch {
	case errors.Is(err, errLeaving):
		detail = err.Error()
	case errors.As(err, &many):
		h.Set("Retry-After", many.seconds())
		detail = many.Error()
	case status == http.StatusBadRequest, status == http.StatusForbidden, status == http.StatusUnauthorized,
		errors.Is(err, errCircle), errors.Is(err, errNoPolicies):
		detail = err.Error()
	case errors.Is(err, errNoArchive):
		detail = errNoArchive.Error()
	}
	text := problem(status, detail)
	h.Set("Content-Type", problemType)
	o := &object{status: status, header: h, chunks: []slab.Piece{slab.Of(text)}}
	o.setLength(int64(len(text)))
	r := reply{object: o, access: v.access, status: status, head: v.head, age: -1, to: o.length}
	if v.peer != nil {
		r.told = tellError(why, status).String()
	}
	err = x.begin(r)
	switch {
	case err != nil:
	case r.bodyless():
		err = x.end()
	default:
		err = p.sendBody(x, nil, &r)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err) // a viewer that left is not our fault
	}
	return nil
}

const problemType = "application/problem+json"

// problem writes a problem document.
func problem(status int, detail string) []byte {
	body, _ := json.Marshal(struct { // of strings and a number: can't fail
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{http.StatusText(status), status, detail})
	return body
}

// maxDetail bounds what is told of an upstream's text.
const maxDetail = 512

// refusal gives a refusal of an upstream the form that the edge's own have. The text of a 400 and of a 409 is kept: it
// tells of the request only.
func refusal(o *object) *object {
	detail := ""
	if text := o.bytes(); (o.status == http.StatusBadRequest || o.status == http.StatusConflict) &&
		o.header.Get("Content-Encoding") == "" && strings.HasPrefix(o.header.Get("Content-Type"), "text/plain") {
		detail = strings.TrimPrefix(strings.TrimSpace(string(text[:min(len(text), maxDetail)])), strconv.Itoa(o.status)+" ")
	}
	c := o.with(o)
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		delete(c.header, name)
	}
	c.etag, c.modified = "", time.Time{}
	c.header["Content-Type"] = []string{problemType}
	text := problem(o.status, strings.ToValidUTF8(detail, ""))
	c.chunks = []slab.Piece{slab.Of(text)}
	c.setLength(int64(len(text)))
	return c
}
