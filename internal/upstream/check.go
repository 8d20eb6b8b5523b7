package upstream

import (
	"context"
	"errors"
	"time"
)

// ErrNoCheck is for Config.Check to say that an upstream can't be checked: then time alone ends its ejection.
var ErrNoCheck = errors.New("upstream can't be checked")

// maxChecks bounds the checks under way.
const maxChecks = 16

// checkLaterLocked has an ejected upstream checked, again and again, until its ejection ends.
func (p *Pool) checkLaterLocked(m *member) {
	if p.config.Check == nil || p.closed {
		return
	}
	turn := m.turn
	m.timer = time.AfterFunc(p.config.CheckEvery, func() { p.check(m, turn) })
}

func (p *Pool) check(m *member, turn int) {
	p.mu.Lock()
	now := time.Now()
	if p.closed || m.turn != turn || m.now(&p.config, now) != ejected || now.Sub(m.used) > p.config.CheckFor {
		p.mu.Unlock()
		return
	}
	if p.checking >= maxChecks {
		p.checkLaterLocked(m)
		p.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.config.CheckTimeout)
	defer cancel()
	m.cancel = cancel
	p.checking++
	p.running.Add(1)
	p.mu.Unlock()
	defer p.running.Done()

	err := p.config.Check(ctx, m.name)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.checking--
	m.cancel = nil
	if errors.Is(err, ErrNoCheck) {
		return
	}
	p.metrics.checks[err == nil].Inc()
	now = time.Now()
	if p.closed || m.turn != turn || m.state != ejected {
		return
	}
	m.checked(&p.config, now, err == nil)
	if m.now(&p.config, now) == ejected {
		p.checkLaterLocked(m)
	}
}
