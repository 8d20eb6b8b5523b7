package cacheproxy

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// result is how a request was answered.
type result uint8

const (
	resultHit result = iota
	resultMiss
	resultCollapsed // it shared a fetch that another request began
	resultStale
	resultPass // passed through, not cached
	resultError
	results
)

func (r result) String() string {
	return [...]string{"hit", "miss", "collapsed", "stale", "pass", "error"}[r]
}

type metrics struct {
	requests         [results]prometheus.Counter
	sentBytes        prometheus.Counter
	upstreamRequests *prometheus.CounterVec
	upstreamErrors   *prometheus.CounterVec
	waiters          prometheus.Gauge

	directoryRequests prometheus.Counter

	mu    sync.Mutex
	hosts map[string]bool
}

// maxHosts bounds the values of the label "upstream"; nodes beyond that are "other".
const maxHosts = 64

func newMetrics(reg prometheus.Registerer, p *Proxy) *metrics {
	factory := promauto.With(reg)
	m := &metrics{hosts: make(map[string]bool)}
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_requests_total", Help: "Viewers' requests by how they were answered.",
	}, []string{"result"})
	for r := range results {
		m.requests[r] = requests.WithLabelValues(r.String())
	}
	m.sentBytes = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_sent_bytes_total", Help: "Bytes of bodies sent to viewers.",
	})
	m.upstreamRequests = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_requests_total",
		Help: "Requests to ingest nodes and the archive, by kind of object.",
	}, []string{"kind"})
	m.directoryRequests = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_directory_requests_total", Help: "Requests to the directory service.",
	})
	m.upstreamErrors = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_errors_total",
		Help: "Requests that an upstream left unanswered, broke off or answered unusably.",
	}, []string{"upstream"})
	m.waiters = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_waiters", Help: "Requests that wait for or read from a fetch under way.",
	})
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

func (m *metrics) failed(upstream string) {
	m.mu.Lock()
	if !m.hosts[upstream] {
		if len(m.hosts) >= maxHosts {
			upstream = "other"
		} else {
			m.hosts[upstream] = true
		}
	}
	m.mu.Unlock()
	m.upstreamErrors.WithLabelValues(upstream).Inc()
}
