package upstream

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ErrFull says that an upstream has all the requests that it may have, and that as many wait for it.
var ErrFull = errors.New("upstream has too many requests under way")

// idleTime is after what time an upstream that nobody asks is forgotten.
const idleTime = 10 * time.Minute

// Pool is what one proxy knows of its upstreams. It is safe for concurrent use.
type Pool struct {
	config  Config
	logger  *slog.Logger
	metrics *metrics
	running sync.WaitGroup

	mu       sync.Mutex
	members  map[string]*member
	budget   budget
	checking int
	closed   bool
}

// member is one upstream. The pool's mu guards it.
type member struct {
	health
	latency
	look   look
	name   string
	used   time.Time // when a request could have asked it last
	places int       // taken
	queue  []*waiter // for a place, the longest first
	timer  *time.Timer
	cancel func() // of the check under way
}

// New makes a pool that knows nothing yet.
func New(config Config, logger *slog.Logger, registerer prometheus.Registerer) *Pool {
	p := &Pool{config: config.withDefaults(), logger: logger, members: make(map[string]*member)}
	p.budget = newBudget(p.config, time.Now())
	p.metrics = newMetrics(registerer, p)
	return p
}

// Close ends the checks.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	for _, m := range p.members {
		m.stopLocked()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (m *member) stopLocked() {
	if m.timer != nil {
		m.timer.Stop()
	}
	if m.cancel != nil {
		m.cancel()
	}
	if m.look.done != nil {
		m.look.end()
	}
}

// Order sorts the upstreams that a request may ask, in place: those that are well in their order, then those that must
// not have more requests just now, then the ejected ones. Waits says that the request waits by its nature.
func Order[T any](p *Pool, ups []T, name func(T) string, waits bool) []T {
	if len(ups) == 0 {
		return ups
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	ranks := make([]int, len(ups))
	first := true // nobody before it comes first
	plain := true
	for i, up := range ups {
		m := p.members[name(up)]
		if m == nil {
			first = false
			continue
		}
		m.used = now
		ranks[i] = m.rank(&p.config, now, waits, first && len(ups) > 1)
		if ranks[i] == 0 {
			first = false
			continue
		}
		plain = false
		if ranks[i] == 1 {
			p.metrics.spared.Inc()
		}
	}
	if plain {
		return ups
	}
	type ranked struct {
		up   T
		rank int
	}
	all := make([]ranked, len(ups))
	for i := range ups {
		all[i] = ranked{ups[i], ranks[i]}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	for i := range all {
		ups[i] = all[i].up
	}
	return ups
}

// Well says that an upstream is not ejected, and on trial by nobody else, so that a request may be spent on it without
// need.
func (p *Pool) Well(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[name]
	if m == nil {
		return true
	}
	now := time.Now()
	s := m.now(&p.config, now)
	return s != ejected && (s != onTrial || !m.tried(now))
}

// Request counts a request, of which retries and hedges are a share. One that asks several upstreams is one.
func (p *Pool) Request() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget.earn()
}

// Retry asks whether another upstream may be asked after one whose fault loads (Fault.Loads).
func (p *Pool) Retry() bool {
	p.mu.Lock()
	ok := p.budget.spend(0, time.Now())
	p.mu.Unlock()
	p.metrics.retries[ok].Inc()
	return ok
}

// Hedge asks whether another upstream may be asked beside one that is late.
func (p *Pool) Hedge() bool {
	p.mu.Lock()
	ok := p.budget.spend(p.budget.burst/2, time.Now())
	p.mu.Unlock()
	p.metrics.hedges[ok].Inc()
	return ok
}

// HedgeAfter gives how long an upstream's answer may take until another one is asked too: what it needs for all but the
// slowest twentieth of its answers.
func (p *Pool) HedgeAfter(name string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[name]; m != nil {
		if d, ok := m.percentile95(); ok {
			return max(d, p.config.HedgeFloor)
		}
	}
	return p.config.HedgeUnknown
}

// memberLocked gives the upstream of that name. When there are too many, one that is idle is forgotten; if none is, the
// new one is known to its request only.
func (p *Pool) memberLocked(name string, now time.Time) *member {
	if m := p.members[name]; m != nil {
		m.used = now
		return m
	}
	m := &member{name: name, used: now}
	m.since, m.half = now, now
	p.forgetLocked(now)
	if len(p.members) < p.config.MaxNames {
		p.members[name] = m
	}
	return m
}

// forgetLocked makes room for one more, looking at a few that the map's order happens to give.
func (p *Pool) forgetLocked(now time.Time) {
	const looks = 32
	var oldest *member
	n := 0
	for _, m := range p.members {
		if n++; n > looks {
			break
		}
		switch {
		case m.places > 0 || len(m.queue) > 0 || m.cancel != nil || m.look.done != nil:
		case now.Sub(m.used) >= idleTime:
			p.dropLocked(m)
		case oldest == nil || m.used.Before(oldest.used):
			oldest = m
		}
	}
	if len(p.members) >= p.config.MaxNames && oldest != nil {
		p.dropLocked(oldest)
	}
}

func (p *Pool) dropLocked(m *member) {
	m.stopLocked()
	m.turn++ // its timers are nobody's
	delete(p.members, m.name)
}
