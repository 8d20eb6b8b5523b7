package blocks

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	hits, joined, misses, tier prometheus.Counter
	requests, bytes, failures  prometheus.Counter
	ahead, used, wasted        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, c *Cache) *metrics {
	factory := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Name: "oxbow_blocks_" + name, Help: help})
	}
	lookups := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_blocks_lookups_total",
		Help: "Blocks that readers came to, by result: hit, joined (on its way for another), miss.",
	}, []string{"result"})
	m := &metrics{
		hits: lookups.WithLabelValues("hit"), joined: lookups.WithLabelValues("joined"),
		misses:   lookups.WithLabelValues("miss"),
		tier:     counter("tier_hits_total", "Missing blocks that the second tier had."),
		requests: counter("upstream_requests_total", "Readings that the archive's stores were asked for."),
		bytes:    counter("upstream_bytes_total", "Bytes that the archive's stores gave."),
		failures: counter("upstream_errors_total", "Readings of the archive's stores that failed or broke off."),
		ahead:    counter("ahead_total", "Blocks that were read ahead."),
		used:     counter("ahead_used_total", "Blocks that were read ahead and then wanted."),
		wasted:   counter("ahead_wasted_total", "Blocks that were read ahead and dropped before anybody wanted them."),
	}
	gauge := func(name, help string, value func() float64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: "oxbow_blocks_" + name, Help: help}, value)
	}
	gauge("held_bytes", "Memory of the blocks that are kept.", func() float64 { n, _ := c.Usage(); return float64(n) })
	gauge("held", "Blocks that are kept.", func() float64 { _, n := c.Usage(); return float64(n) })
	return m
}
