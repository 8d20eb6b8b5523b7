package cacheproxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/oxbow-video/oxbow/internal/media"
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
	case errors.Is(err, media.ErrUnavailable), errors.Is(err, errBusy):
		return http.StatusServiceUnavailable
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// writeError answers with a problem document (RFC 9457). Its detail tells of the status only: errors name upstreams,
// which are nobody's business.
func (p *Proxy) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	h := w.Header()
	setCORS(h)
	switch status {
	case http.StatusNotFound, http.StatusBadRequest:
		h.Set("Cache-Control", "public, max-age=1")
	case http.StatusGone:
		h.Set("Cache-Control", "public, max-age=60")
	default:
		h.Set("Cache-Control", "no-store")
		h.Set("Retry-After", "1")
	}
	problem := struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{Title: http.StatusText(status), Status: status}
	if status == http.StatusBadRequest {
		problem.Detail = err.Error()
	}
	body, _ := json.Marshal(problem) // of strings and a number: can't fail
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		n, _ := w.Write(body) // a client that left is not our fault
		p.metrics.sentBytes.Add(float64(n))
	}
}

func setCORS(h http.Header) {
	h["Access-Control-Allow-Origin"] = []string{"*"}
	h["Access-Control-Expose-Headers"] = []string{"Date, Age, Cache-Status, Content-Length, Content-Range, ETag"}
}
