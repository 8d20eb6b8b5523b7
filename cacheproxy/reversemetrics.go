package cacheproxy

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/oxbow-video/oxbow/internal/media"
)

// reverseMetrics are served, and what only Reverse has.
type reverseMetrics struct {
	served
	upstreamRequests prometheus.Counter
	validations      prometheus.Counter
	invalidations    prometheus.Counter
	hedgesWon        prometheus.Counter
}

func newReverseMetrics(reg prometheus.Registerer, p *Reverse) *reverseMetrics {
	factory := promauto.With(reg)
	m := &reverseMetrics{served: newServed(factory, p.cache, &p.flights)}
	m.upstreamRequests = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_requests_total", Help: "Requests to the origin.",
	})
	m.validations = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_validations_total", Help: "Stored answers that the origin said are still true.",
	})
	m.invalidations = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_invalidations_total", Help: "Stored answers dropped because an unsafe request changed them.",
	})
	m.hedgesWon = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_hedges_won_total",
		Help: "Requests that were answered by the second upstream because the first was late.",
	})
	return m
}

// failed counts by the operator's own list, which bounds the label.
func (m *reverseMetrics) failed(upstream string) { m.upstreamErrors.WithLabelValues(upstream).Inc() }

// writeError answers with a problem document (RFC 9457). It names no upstream.
func (p *Reverse) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := statusOf(err), ""
	h := w.Header()
	clear(h)
	var many tooManyError
	switch {
	case errors.As(err, &many):
		detail = many.Error()
		h.Set("Retry-After", many.seconds())
	case errors.Is(err, errLeaving):
		detail = err.Error()
		h.Set("Retry-After", "1")
	case errors.Is(err, errMethod):
		status, detail = http.StatusMethodNotAllowed, err.Error()
		h.Set("Allow", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE")
	case errors.Is(err, errLoop):
		status, detail = http.StatusLoopDetected, errLoop.Error()
	case errors.Is(err, media.ErrTooLarge):
		status = http.StatusBadGateway
	}
	p.logger.Debug("request failed", "method", r.Method, "status", status, "err", err)
	p.metrics.refused(status)
	body := problem(status, detail)
	h.Set("Cache-Control", "no-store")
	h.Set("Cache-Status", cacheName+"; fwd=uri-miss; detail=failed")
	h.Set("Content-Type", problemType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		n, _ := w.Write(body) // a client that left is not our fault
		p.metrics.sentBytes.Add(float64(n))
	}
}
