package cacheproxy

import "time"

// rotating is a bounded map that forgets what was not used for one to two periods: two generations, of which the older
// is dropped whole. Not safe for concurrent use.
type rotating[K comparable, V any] struct {
	limit      int
	period     time.Duration
	turned     time.Time
	young, old map[K]V
}

func newRotating[K comparable, V any](limit int, period time.Duration) *rotating[K, V] {
	return &rotating[K, V]{limit: limit, period: period, young: make(map[K]V)}
}

func (m *rotating[K, V]) get(k K, now time.Time) (V, bool) {
	if v, ok := m.young[k]; ok {
		return v, true
	}
	v, ok := m.old[k]
	if ok {
		m.put(k, v, now)
	}
	return v, ok
}

func (m *rotating[K, V]) put(k K, v V, now time.Time) {
	if m.turned.IsZero() {
		m.turned = now
	}
	if len(m.young) >= m.limit || now.Sub(m.turned) >= m.period {
		m.old, m.young, m.turned = m.young, make(map[K]V), now
	}
	m.young[k] = v
}

func (m *rotating[K, V]) len() int { return len(m.young) + len(m.old) }
