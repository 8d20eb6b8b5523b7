package cacheproxy

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxTurns   = 4096
	turnPeriod = 10 * time.Minute
)

// turns remembers when playlists of a recording were dropped because it ended or was archived. Another edge may learn
// that a moment later, and until then gives what it had before: that is not kept.
type turns struct {
	mu *sync.Mutex
	at *rotating[string, time.Time]
}

func newTurns() turns {
	return turns{mu: new(sync.Mutex), at: newRotating[string, time.Time](maxTurns, turnPeriod)}
}

func (t turns) turn(group string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at.put(strings.Clone(group), now, now)
}

// judge gives the object, or of what another edge had from before its recording's turn a copy that is not kept.
func (t turns) judge(k key, o *object) *object {
	if !o.way.peered() || o.status != http.StatusOK || !o.kind.text() {
		return o
	}
	t.mu.Lock()
	at, ok := t.at.get(groupOf(k.path), o.received)
	t.mu.Unlock()
	if ok && o.made().Before(at) {
		return o.unstored()
	}
	return o
}

// made is when the object was an upstream's answer first: another edge that gave it may have had it for a while.
func (o *object) made() time.Time {
	if o.way.peered() {
		return o.received.Add(-o.age)
	}
	return o.received
}

// came notes how an object came, before it is shown. Hit is what the edge says of a hit.
func (o *object) came(w way, hit string) {
	o.way = w
	if w.peered() {
		o.age = max(w.age, 0)
	}
	if o.passed != "" {
		o.hit = o.passed + ", " + hit
	}
}

// hopsTo is how many edges the object came through for this answer.
func (o *object) hopsTo(res result) int {
	if res == resultMiss || res == resultCollapsed {
		return o.way.hops
	}
	return 0
}

// circles says that a viewer's request comes from this edge itself: another's public port stands where its port for
// edges should, or a network in front of it asks back.
func (p *Proxy) circles(a asker) bool {
	if p.config.ID == "" {
		return false
	}
	lines := a.values(chainField)
	if len(lines) == 0 {
		return false
	}
	for _, line := range lines {
		if strings.Contains(line, `oxbow;edge="`+p.config.ID+`"`) {
			p.metrics.peers.loops.Inc()
			return true
		}
	}
	return false
}
