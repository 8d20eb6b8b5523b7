package upstream

import (
	"context"
	"errors"
	"time"
)

// look is a check of an upstream for those who wait for its answer. The pool's mu guards it.
type look struct {
	at    time.Time // when the last one ended
	alive bool
	done  chan struct{} // closed when the one under way ends; nil without one
	end   func()        // ends that one before its time
}

// Alive says whether an upstream passes a check: for who waits for an answer that may be held back, and can't tell that
// from silence. All who ask at one time share a check, which is believed for Config.CheckEvery. What can't be checked
// is alive, and so is all that ctx leaves no time for.
func (p *Pool) Alive(ctx context.Context, name string) bool {
	p.mu.Lock()
	now := time.Now()
	m := p.memberLocked(name, now)
	l := &m.look
	switch {
	case p.config.Check == nil || p.closed:
		p.mu.Unlock()
		return true
	case l.done != nil:
	case !l.at.IsZero() && now.Sub(l.at) < p.config.CheckEvery:
		defer p.mu.Unlock()
		return l.alive
	case p.checking >= maxChecks:
		p.mu.Unlock()
		return true
	default:
		l.done = make(chan struct{})
		looking, end := context.WithTimeout(context.Background(), p.config.CheckTimeout)
		l.end = end
		p.checking++
		p.running.Go(func() { p.look(looking, m) })
	}
	done := l.done
	p.mu.Unlock()
	select {
	case <-done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return l.alive
	case <-ctx.Done():
		return true
	}
}

func (p *Pool) look(ctx context.Context, m *member) {
	defer m.look.end()
	err := p.config.Check(ctx, m.name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checking--
	m.look.alive, m.look.at = err == nil || errors.Is(err, ErrNoCheck), time.Now()
	close(m.look.done)
	m.look.done = nil
	if !errors.Is(err, ErrNoCheck) {
		p.metrics.checks[err == nil].Inc()
	}
}
