package upstream

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	faults, ejections       [faults]prometheus.Counter
	recoveries, spared      prometheus.Counter
	checks, retries, hedges map[bool]prometheus.Counter
	full, turnedAway        prometheus.Counter
	queued                  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, p *Pool) *metrics {
	factory := promauto.With(reg)
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Name: "oxbow_upstream_" + name, Help: help})
	}
	byFault := func(to *[faults]prometheus.Counter, name, help string) {
		vec := factory.NewCounterVec(prometheus.CounterOpts{Name: "oxbow_upstream_" + name, Help: help}, []string{"fault"})
		for f := range faults {
			to[f] = vec.WithLabelValues(f.String())
		}
	}
	either := func(name, label, help string) map[bool]prometheus.Counter {
		vec := factory.NewCounterVec(prometheus.CounterOpts{Name: "oxbow_upstream_" + name, Help: help}, []string{label})
		to := make(map[bool]prometheus.Counter)
		for _, ok := range []bool{false, true} {
			to[ok] = vec.WithLabelValues(strconv.FormatBool(ok))
		}
		return to
	}
	byFault(&m.faults, "faults_total", "Requests to upstreams that went wrong, by how.")
	byFault(&m.ejections, "ejections_total",
		"Times that an upstream was put behind all others for a while, by the last fault.")
	m.recoveries = counter("recoveries_total", "Times that an upstream which was out answered again.")
	m.spared = counter("spared_total", "Requests that passed over an upstream because it recovers.")
	m.checks = either("checks_total", "passed", "Active checks of upstreams that are out, or that are waited for.")
	m.retries = either("retries_total", "allowed", "Retries on another upstream, by whether the budget allowed them.")
	m.hedges = either("hedges_total", "allowed",
		"Requests whose upstream was late, by whether the budget allowed to ask another one too.")
	m.full = counter("full_total", "Times that an upstream had no place for a request.")
	m.turnedAway = counter("turned_away_total", "Requests that no upstream had a place for in time.")
	m.queued = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_upstream_queued", Help: "Requests that wait for a place with an upstream.",
	})
	gauge := func(name, help string, of func(m *member) int) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: "oxbow_upstream_" + name, Help: help}, func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			n := 0
			for _, m := range p.members {
				n += of(m)
			}
			return float64(n)
		})
	}
	gauge("requests", "Requests under way that take a place with an upstream.", func(m *member) int { return m.places })
	gauge("ejected", "Upstreams that are out.", func(m *member) int {
		if m.now(&p.config, time.Now()) == ejected {
			return 1
		}
		return 0
	})
	return m
}
