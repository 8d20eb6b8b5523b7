package api

import "github.com/prometheus/client_golang/prometheus"

// metrics counts by route pattern, never by path: the patterns are few.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	panics   prometheus.Counter

	auditLost prometheus.Counter

	streams    prometheus.Gauge
	streamsCut prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_api_requests_total",
			Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "oxbow_api_request_seconds",
			Help:    "Time from request to the end of its answer, by route.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_api_panics_total",
			Help: "Requests that ended in a panic.",
		}),
	}
	m.auditLost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_api_audit_lost_total", Help: "Requests whose row in the audit log could not be written.",
	})
	registerer.MustRegister(m.auditLost)
	m.streams = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_api_event_streams", Help: "Edges that follow the events of this process.",
	})
	m.streamsCut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_api_event_streams_cut_total", Help: "Event streams that were cut because the edge was too slow.",
	})
	registerer.MustRegister(m.requests, m.seconds, m.panics, m.streams, m.streamsCut)
	return m
}
