package cacheproxy

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/oxbow-video/oxbow/internal/media"
)

// reverseMetrics have the names of Proxy's where they mean the same; a process has one of both.
type reverseMetrics struct {
	requests         [results]prometheus.Counter
	sentBytes        prometheus.Counter
	upstreamRequests prometheus.Counter
	upstreamErrors   *prometheus.CounterVec
	validations      prometheus.Counter
	invalidations    prometheus.Counter
	waiters          prometheus.Gauge
}

func newReverseMetrics(reg prometheus.Registerer, p *Reverse) *reverseMetrics {
	factory := promauto.With(reg)
	m := new(reverseMetrics)
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_requests_total", Help: "Viewers' requests by how they were answered.",
	}, []string{"result"})
	for r := range results {
		m.requests[r] = requests.WithLabelValues(r.String())
	}
	m.sentBytes = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_sent_bytes_total", Help: "Bytes of bodies sent to viewers.",
	})
	m.upstreamRequests = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_requests_total", Help: "Requests to the origin.",
	})
	m.upstreamErrors = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_errors_total",
		Help: "Requests that an upstream left unanswered, broke off or answered unusably.",
	}, []string{"upstream"})
	m.validations = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_validations_total", Help: "Stored answers that the origin said are still true.",
	})
	m.invalidations = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_invalidations_total", Help: "Stored answers dropped because an unsafe request changed them.",
	})
	m.waiters = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_waiters", Help: "Requests that wait for or read from a fetch under way.",
	})
	addMemory(factory, p.flights.arena)
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_cache_bytes", Help: "Memory that the cached objects take.",
	}, func() float64 { bytes, _ := p.cache.usage(); return float64(bytes) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_cache_objects", Help: "Objects in the memory cache.",
	}, func() float64 { _, objects := p.cache.usage(); return float64(objects) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_flights", Help: "Upstream fetches under way.",
	}, func() float64 { return float64(len(p.flights.all())) })
	return m
}

// failed counts by the operator's own list, which bounds the label.
func (m *reverseMetrics) failed(upstream string) { m.upstreamErrors.WithLabelValues(upstream).Inc() }

// writeError answers with a problem document (RFC 9457). It names no upstream.
func (p *Reverse) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := statusOf(err), ""
	h := w.Header()
	clear(h)
	switch {
	case errors.Is(err, errMethod):
		status, detail = http.StatusMethodNotAllowed, err.Error()
		h.Set("Allow", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE")
	case errors.Is(err, errLoop):
		status, detail = http.StatusLoopDetected, errLoop.Error()
	case errors.Is(err, media.ErrTooLarge):
		status = http.StatusBadGateway
	}
	p.logger.Debug("request failed", "method", r.Method, "status", status, "err", err)
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
