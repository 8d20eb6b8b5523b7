package cacheproxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// addMemory tells of the arena that bodies are in.
func addMemory(factory promauto.Factory, arena *slab.Arena) {
	gauge := func(name, help string, of func(slab.Stats) int64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(of(arena.Stats())) })
	}
	counter := func(name, help string, of func(slab.Stats) int64) {
		factory.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of(arena.Stats())) })
	}
	gauge("oxbow_cacheproxy_arena_bytes",
		"Memory outside the heap that bodies have, those included that are free but not found to be yet.",
		func(s slab.Stats) int64 { return s.Used })
	gauge("oxbow_cacheproxy_arena_idle_bytes", "Memory outside the heap that waits for the next body.",
		func(s slab.Stats) int64 { return s.Idle })
	counter("oxbow_cacheproxy_arena_collections_total",
		"Garbage collections that were made to run since bodies took an eighth more than what was alive.",
		func(s slab.Stats) int64 { return s.Collections })
	counter("oxbow_cacheproxy_arena_fallbacks_total",
		"Bodies on the heap because there was no memory outside: no memory file, or a machine that is full.",
		func(s slab.Stats) int64 { return s.Fallbacks })
}
