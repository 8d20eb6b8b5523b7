package webhook

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	tries   *prometheus.CounterVec
	seconds prometheus.Histogram
	late    prometheus.Histogram
	busy    prometheus.Gauge
	waiting prometheus.Gauge
	oldest  prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_webhook_tries_total",
			Help: "Tries to deliver, by result: ok, refused (a status other than 2xx), failed (no whole answer), " +
				"fenced (somebody else was at it).",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "oxbow_webhook_try_duration_seconds", Help: "Duration of tries, failed ones too.",
			Buckets: prometheus.ExponentialBuckets(0.005, 3, 8), // to 11 s
		}),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "oxbow_webhook_delay_seconds", Help: "From an event to its delivery, of those that were delivered.",
			Buckets: prometheus.ExponentialBuckets(0.1, 5, 9), // to 11 hours
		}),
		busy: prometheus.NewGauge(prometheus.GaugeOpts{Name: "oxbow_webhook_busy", Help: "Tries under way."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_webhook_waiting_deliveries", Help: "Deliveries that wait, of all webhooks and processes.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_webhook_oldest_waiting_seconds", Help: "How long the oldest of them has waited; 0 without any.",
		}),
	}
	registerer.MustRegister(m.tries, m.seconds, m.late, m.busy, m.waiting, m.oldest)
	return m
}
