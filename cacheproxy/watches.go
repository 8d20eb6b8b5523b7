package cacheproxy

import (
	"sync"
	"time"
)

// watches are the timers of requests that wait for a node's answer, by what they ask for: an event of that has them
// look at once who its owner is.
type watches struct {
	mu     sync.Mutex
	timers map[locationKey]map[*time.Timer]bool
}

func (w *watches) add(k locationKey, t *time.Timer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timers == nil {
		w.timers = make(map[locationKey]map[*time.Timer]bool)
	}
	if w.timers[k] == nil {
		w.timers[k] = make(map[*time.Timer]bool)
	}
	w.timers[k][t] = true
}

func (w *watches) remove(k locationKey, t *time.Timer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.timers[k], t); len(w.timers[k]) == 0 {
		delete(w.timers, k)
	}
}

// stir has those that have not fired do so now.
func (w *watches) stir(k locationKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.timers[k] {
		if t.Stop() {
			t.Reset(0)
		}
	}
}
