package packager

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// confirmPatience bounds the wait for an answer.
	confirmPatience = 2 * time.Second
	// stopLimit is how long this process may do nothing before it counts as having been stopped: others wait at least
	// five seconds before they take a stream over.
	stopLimit = time.Second
)

// pulse notices that the process was stopped, by the gap in its own ticks. Confirmations from before hold no longer.
type pulse struct {
	at    atomic.Pointer[time.Time]
	stops atomic.Int64
}

// beat is called at every tick, and before something is told of a stream while it is not sure to be this node's.
func (p *pulse) beat() {
	now := time.Now()
	before := p.at.Swap(&now)
	if before != nil && now.Sub(*before) > stopLimit {
		p.stops.Add(1)
	}
}

// confirmation is what is known of a stream's owner.
type confirmation struct {
	asking turn
	// stops is the pulse's, plus one, when the stream was last confirmed; zero if it must be asked for.
	stops atomic.Int64
}

// confirm holds back what is about to happen to a stream until it is known that the stream is still this node's:
// media.ErrFenced says that it is not, and that it was forgotten. While this process is awake it costs next to nothing;
// while it is not, one question for each stream. No lock is held by the caller.
func (p *Packager) confirm(path media.StreamPath) error {
	if p.cfg.Awake == nil || p.cfg.Confirm == nil {
		return nil
	}
	awake := p.cfg.Awake()
	s, _ := p.lookup(path, false)
	if s == nil {
		return nil
	}
	c := &s.confirmed
	if awake {
		if c.stops.Load() != 0 {
			c.stops.Store(0)
		}
		return nil
	}
	p.pulse.check()
	c.asking.Lock()
	defer c.asking.Unlock()
	stops := p.pulse.stops.Load() + 1
	if c.stops.Load() == stops {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmPatience)
	defer cancel()
	if err := p.cfg.Confirm(ctx, path); errors.Is(err, media.ErrFenced) {
		p.Forget(path)
		return fmt.Errorf("%s: %w", path, err)
	}
	c.stops.Store(stops)
	return nil
}

// check is beat where no ticks are: frames come before the next tick after a stop.
func (p *pulse) check() {
	if before := p.at.Load(); before != nil && time.Since(*before) > stopLimit {
		p.beat()
	}
}

// confirm is Packager.confirm of the publication's stream. Within a group the member has asked already.
func (p *Publication) confirm() error {
	if p.member {
		return nil
	}
	return p.stream.packager.confirm(p.stream.path)
}
