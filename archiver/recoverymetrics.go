package archiver

import "github.com/prometheus/client_golang/prometheus"

type recoveryMetrics struct {
	orphans prometheus.Gauge
	closed  *prometheus.CounterVec
}

func newRecoveryMetrics(registerer prometheus.Registerer) *recoveryMetrics {
	m := &recoveryMetrics{
		orphans: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_archiver_orphans",
			Help: "Growing recordings on storage that nobody owns: they wait for their publisher, or to be ended.",
		}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_archiver_recovered_recordings_total",
			Help: "Recordings ended in place of their owners: orphan (left growing on storage), " +
				"row (ended on storage, its row still grew), lost (not on storage at all), unlisted (ended, without a row).",
		}, []string{"kind"}),
	}
	registerer.MustRegister(m.orphans, m.closed)
	for _, kind := range []string{"orphan", "row", "lost", "unlisted"} {
		m.closed.WithLabelValues(kind)
	}
	return m
}
