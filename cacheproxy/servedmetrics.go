package cacheproxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// served are the metrics that Proxy and Reverse have alike; a process has one of both.
type served struct {
	requests       [results]prometheus.Counter
	sentBytes      prometheus.Counter
	upstreamErrors *prometheus.CounterVec
	waiters        prometheus.Gauge
	// errors are by class of status: 4xx, 5xx.
	errors [2]prometheus.Counter
}

// refused counts an answer that is the edge's own because what was asked can't be given.
func (s *served) refused(status int) {
	if status >= 500 {
		s.errors[1].Inc()
	} else {
		s.errors[0].Inc()
	}
}

func newServed(factory promauto.Factory, cache *cache, flights *flights) served {
	var s served
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_requests_total", Help: "Viewers' requests by how they were answered.",
	}, []string{"result"})
	for r := range results {
		s.requests[r] = requests.WithLabelValues(r.String())
	}
	s.sentBytes = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_sent_bytes_total", Help: "Bytes of bodies sent to viewers.",
	})
	s.upstreamErrors = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_errors_total",
		Help: "Requests that an upstream left unanswered, broke off or answered unusably.",
	}, []string{"upstream"})
	s.waiters = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_waiters", Help: "Requests that wait for or read from a fetch under way.",
	})
	errors := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_errors_total",
		Help: "Answers that were not what was asked for, by class of status: " +
			"4xx is the request's fault, 5xx ours or an upstream's.",
	}, []string{"class"})
	s.errors[0], s.errors[1] = errors.WithLabelValues("4xx"), errors.WithLabelValues("5xx")
	addMemory(factory, flights.arena)
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_cache_bytes", Help: "Memory that the cached objects take.",
	}, func() float64 { bytes, _ := cache.usage(); return float64(bytes) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_cache_objects", Help: "Objects in the memory cache.",
	}, func() float64 { _, objects := cache.usage(); return float64(objects) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_flights", Help: "Upstream fetches under way.",
	}, func() float64 { return float64(len(flights.all())) })
	return s
}
