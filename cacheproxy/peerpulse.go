package cacheproxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pulse tells whether a peer answers at all: one that hangs would hold what may be held back for long.
type pulse struct {
	alive atomic.Bool
	end   context.CancelFunc
	knock chan struct{} // of one: it was heard of

	mu   sync.Mutex
	life context.Context //nolint:containedctx // ends when the peer is silent
	die  context.CancelCauseFunc
}

const (
	// pulseEvery is how often a peer is asked whether it is there, and pulseTimeout how long for; twice without an answer
	// is silent.
	pulseEvery   = 500 * time.Millisecond
	pulseTimeout = 500 * time.Millisecond
)

func (u *pulse) begin(ps *peers, of *peer) {
	ctx, end := context.WithCancel(context.Background())
	u.end, u.knock = end, make(chan struct{}, 1)
	u.rise()
	ps.proxy.running.Go(func() { of.beat(ctx, ps) })
}

// stop ends the looks, but not what is under way with the peer: it may only have left the list.
func (u *pulse) stop() { u.end() }

func (u *pulse) rise() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.life, u.die = context.WithCancelCause(context.Background())
	u.alive.Store(true)
}

// living gives a context that ends when the peer is silent.
func (u *pulse) living() context.Context {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.life
}

// beat looks at the peer until ctx ends.
func (of *peer) beat(ctx context.Context, ps *peers) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-tick.C:
		case <-of.knock:
		case <-ctx.Done():
			return
		}
		call, cancel := context.WithTimeout(ctx, pulseTimeout)
		err := ps.proxy.check(call, of.up.base)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			missed = 0
			if of.cut.Swap(false) {
				if use, ok := ps.proxy.upstreams.Begin(of.up.id(), true); ok {
					use.Answered()
					use.Done()
				}
			}
			back := !of.alive.Load()
			if back {
				of.rise()
			}
			if ps.well(of); back {
				ps.proxy.logger.Info("edge answers again", "as", of.as.String(), "id", of.id)
			}
			continue
		}
		if missed++; missed < 2 || !of.alive.Load() {
			continue
		}
		of.alive.Store(false)
		of.mu.Lock()
		of.die(errNoPulse)
		of.mu.Unlock()
		ps.well(of)
		ps.proxy.logger.Warn("edge is silent", "as", of.as.String(), "id", of.id, "err", err)
	}
}
