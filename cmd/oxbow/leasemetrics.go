package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What becomes of leases.
const (
	leaseAcquired = "acquired" // for a publisher, from nobody or from another node
	leaseAdopted  = "adopted"  // of a show whose owner is gone
	leaseReleased = "released" // with the show's end, or handed over
	leaseLost     = "lost"     // another node took the stream
	leaseRefused  = "refused"  // asked for and not given
)

// leaseMetrics count what becomes of a node's leases; nil counts nothing.
type leaseMetrics struct {
	changes     *prometheus.CounterVec
	failedBeats prometheus.Counter
}

func newLeaseMetrics(registerer prometheus.Registerer, l *leases) *leaseMetrics {
	factory := promauto.With(registerer)
	m := &leaseMetrics{
		changes: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_leases_changes_total",
			Help: "Leases on streams by what became of them: acquired for a publisher, adopted from an owner that is gone, " +
				"released, lost to another node, refused.",
		}, []string{"change"}),
		failedBeats: factory.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_leases_failed_beats_total",
			Help: "Heartbeats, one a second, that the registry did not take whole.",
		}),
	}
	for _, change := range []string{leaseAcquired, leaseAdopted, leaseReleased, leaseLost, leaseRefused} {
		m.changes.WithLabelValues(change)
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_leases_held", Help: "Streams that this node holds the lease of.",
	}, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(l.mu.held))
	})
	return m
}

func (m *leaseMetrics) count(change string, n int) {
	if m != nil {
		m.changes.WithLabelValues(change).Add(float64(n))
	}
}

func (m *leaseMetrics) failedBeat() {
	if m != nil {
		m.failedBeats.Inc()
	}
}
