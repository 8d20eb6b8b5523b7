package diskcache

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Why writes are dropped.
const (
	shedQueue = iota
	shedPaused
	shedSize
	sheds
)

// What failed.
const (
	actRead = iota
	actWrite
	acts
)

type metrics struct {
	hits, misses          prometheus.Counter
	writes                prometheus.Counter
	readBytes, writeBytes prometheus.Counter
	shed                  [sheds]prometheus.Counter
	errors                [acts]prometheus.Counter
	corrupt               prometheus.Counter
	evictions, readmitted prometheus.Counter
}

// evicted counts entries; before there are metrics, while a store opens, it counts nothing.
func (m *metrics) evicted(n int) {
	if m != nil {
		m.evictions.Add(float64(n))
	}
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	factory := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Name: "oxbow_diskcache_" + name + "_total", Help: help})
	}
	m := &metrics{
		hits:       counter("hits", "Entries that were found and verified."),
		misses:     counter("misses", "Keys that had no entry, or none that could be read."),
		writes:     counter("writes", "Entries written."),
		readBytes:  counter("read_bytes", "Bytes of bodies read."),
		writeBytes: counter("written_bytes", "Bytes written, what was written again included."),
		corrupt:    counter("corrupt_entries", "Entries dropped because they did not verify."),
		evictions:  counter("evictions", "Entries that left with the oldest segment."),
		readmitted: counter("readmissions", "Entries written again because they were in use when their segment left."),
	}
	shed := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_diskcache_dropped_writes_total",
		Help: "Writes that were dropped: the queue was full, the directory at fault, the body too large.",
	}, []string{"reason"})
	for i, reason := range [sheds]string{"queue", "fault", "size"} {
		m.shed[i] = shed.WithLabelValues(reason)
	}
	failed := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_diskcache_errors_total", Help: "Reads and writes of files that failed.",
	}, []string{"act"})
	for i, act := range [acts]string{"read", "write"} {
		m.errors[i] = failed.WithLabelValues(act)
	}
	gauge := func(name, help string, value func() float64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: "oxbow_diskcache_" + name, Help: help}, value)
	}
	gauge("bytes", "Bytes that segments take, the newest one's room included.", func() float64 {
		bytes, _, _, _ := s.usage()
		return float64(bytes)
	})
	gauge("files", "Segments.", func() float64 {
		_, files, _, _ := s.usage()
		return float64(files)
	})
	gauge("entries", "Entries that can be read.", func() float64 {
		_, _, entries, _ := s.usage()
		return float64(entries)
	})
	gauge("queue_bytes", "Bytes that wait to be written.", func() float64 {
		_, _, _, queued := s.usage()
		return float64(queued)
	})
	gauge("faulty", "Whether writes are dropped because the directory is at fault.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.mu.paused {
			return 1
		}
		return 0
	})
	return m
}
