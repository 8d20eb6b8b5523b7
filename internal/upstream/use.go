package upstream

import (
	"context"
	"fmt"
	"time"
)

// Use is a request under way with one upstream. Its methods may be called from any goroutine.
type Use struct {
	pool   *Pool
	member *member
	begun  time.Time
	waits  bool
	placed bool

	// The pool's mu guards these.
	answered, failed, done bool
}

// waiter waits for a place.
type waiter struct {
	ready chan *Use // of one, so that who gives the place need not wait
	begun time.Time
}

// Begin takes a place with an upstream; false says that it is full. Waits says that the request waits by its nature, as
// for what does not exist yet: it needs no place, and its time tells nothing.
func (p *Pool) Begin(name string, waits bool) (*Use, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	m := p.memberLocked(name, now)
	if !waits && (m.places >= p.config.Places || len(m.queue) > 0) {
		p.metrics.full.Inc()
		return nil, false
	}
	return p.useLocked(m, now, waits), true
}

func (p *Pool) useLocked(m *member, now time.Time, waits bool) *Use {
	if !waits {
		m.places++
	}
	if m.now(&p.config, now) == onTrial {
		m.trial = now
	}
	return &Use{pool: p, member: m, begun: now, waits: waits, placed: !waits}
}

// Await is Begin for who has no other upstream left: it waits in a line, up to Config.QueueTime. Errors are ErrFull,
// and the context's.
func (p *Pool) Await(ctx context.Context, name string) (*Use, error) {
	p.mu.Lock()
	now := time.Now()
	m := p.memberLocked(name, now)
	if m.places < p.config.Places && len(m.queue) == 0 {
		defer p.mu.Unlock()
		return p.useLocked(m, now, false), nil
	}
	if len(m.queue) >= p.config.Queue {
		p.mu.Unlock()
		p.metrics.turnedAway.Inc()
		return nil, fmt.Errorf("%s: %w", name, ErrFull)
	}
	w := &waiter{ready: make(chan *Use, 1), begun: now}
	m.queue = append(m.queue, w)
	p.mu.Unlock()
	p.metrics.queued.Inc()
	defer p.metrics.queued.Dec()
	timer := time.NewTimer(p.config.QueueTime)
	defer timer.Stop()
	var err error
	select {
	case use := <-w.ready:
		return use, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		p.metrics.turnedAway.Inc()
		err = fmt.Errorf("%s: no place within %s: %w", name, p.config.QueueTime, ErrFull)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range m.queue {
		if other == w {
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
			return nil, err
		}
	}
	return <-w.ready, nil // it came at the same moment
}

// Answered says that the header of a usable answer has come.
func (u *Use) Answered() {
	p, m := u.pool, u.member
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.answered {
		return
	}
	u.answered = true
	now := time.Now()
	if !u.waits {
		m.add(now.Sub(u.begun))
	}
	switch m.now(&p.config, now) {
	case ejected, onTrial:
		if !u.begun.Before(m.out) {
			m.comeBack(now)
			p.metrics.recoveries.Inc()
			p.logger.Info("upstream is back", "upstream", m.name)
		}
	case well, recovering:
	}
}

// Failed says what was wrong; of several calls the first counts. It may follow Answered.
func (u *Use) Failed(f Fault) {
	p, m := u.pool, u.member
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.failed {
		return
	}
	u.failed = true
	now := time.Now()
	if f == Outrun && !u.answered {
		f = u.outrunLocked(now.Sub(u.begun))
	}
	p.metrics.faults[f].Inc()
	s := m.now(&p.config, now)
	if s == ejected || u.begun.Before(m.out) {
		return
	}
	m.count(&p.config, now, false)
	if m.ill(&p.config, f) {
		p.ejectLocked(m, now, f)
	}
}

// outrunLocked gives what it means that another upstream was faster than one that has not answered for that long. It
// counts as an answer then, for it would have needed longer; beyond all that it ever needs it is as good as none.
func (u *Use) outrunLocked(d time.Duration) Fault {
	p95, known := u.member.percentile95()
	u.member.add(d)
	if d >= u.pool.config.HedgeUnknown && (!known || d >= 4*p95) {
		return Late
	}
	return Outrun
}

func (p *Pool) ejectLocked(m *member, now time.Time, f Fault) {
	again := m.times
	d := m.eject(&p.config, now, f)
	p.metrics.ejections[f].Inc()
	if again == 0 || m.times == 1 {
		p.logger.Warn("upstream is out", "upstream", m.name, "fault", f.String(), "dur", d)
	} else {
		p.logger.Debug("upstream is out again", "upstream", m.name, "fault", f.String(), "dur", d, "times", m.times)
	}
	p.checkLaterLocked(m)
}

// Done ends the use, with its answer's body. It may be called again.
func (u *Use) Done() {
	p, m := u.pool, u.member
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.done {
		return
	}
	u.done = true
	now := time.Now()
	switch {
	case u.failed:
	case u.answered:
		m.count(&p.config, now, true)
	case m.state == onTrial:
		m.trial = time.Time{} // it came to nothing: another may try
	}
	u.freeLocked(now)
}

func (u *Use) freeLocked(now time.Time) {
	m := u.member
	if !u.placed {
		return
	}
	u.placed = false
	m.places--
	if len(m.queue) > 0 {
		w := m.queue[0]
		m.queue = m.queue[1:]
		w.ready <- u.pool.useLocked(m, now, false)
	}
}
