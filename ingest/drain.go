package ingest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// drainPoll is how often a publisher that was asked to leave is looked after.
const drainPoll = 100 * time.Millisecond

// drainSilence is how long a publisher that was asked to leave may be silent: its segment does not come to an end. A
// variable for tests, whose machine may stand still.
var drainSilence = time.Second

// hall is what the connections of one listener have in common.
type hall struct{ closing atomic.Bool }

// closing says that the listener of the connection is being closed.
func (v *visit) closing() bool { return v != nil && v.hall != nil && v.hall.closing.Load() }

// Drain has all publishers leave, and takes no more from then on. Standbys are sent away. RTMP clients that can be
// asked to connect again are, to tcURL if that is not empty, and have ReconnectWait to do so. All others, and those
// that did not, end with the segment that grows, or when they have been silent for a second; who is left after
// DrainTimeout is cut off. None of them has said goodbye: their shows are to go on on another node. Drain returns when
// nobody publishes any more, or ctx has ended, which is its error: then who is left stays.
func (s *Server) Drain(ctx context.Context, tcURL string) error {
	if !s.draining.Swap(true) {
		s.logger.Info("draining: no more publishers are taken", "publishers", len(s.seats.all(anySeat)))
	}
	return s.sendAway(ctx, tcURL, anySeat)
}

func anySeat(*seat) bool { return true }

// Draining says that Drain was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// empty has the publishers of a listener leave that is closed.
func (s *Server) empty(h *hall) {
	h.closing.Store(true)
	// It is bounded by DrainTimeout.
	_ = s.sendAway(context.Background(), "", func(held *seat) bool { return held.place != nil && held.place.hall == h })
}

// sendAway has those leave for whom the condition holds.
func (s *Server) sendAway(ctx context.Context, tcURL string, those func(*seat) bool) error {
	s.seats.dismissThose(errDraining, func(b *standby) bool { return those(&seat{place: b.place}) })
	for {
		all := s.seats.all(those)
		if len(all) == 0 {
			return nil
		}
		var parting sync.WaitGroup
		for _, held := range all {
			parting.Go(func() { s.seeOff(ctx, held, tcURL) })
		}
		parting.Wait()
		if ctx.Err() != nil {
			return fmt.Errorf("drain: %d publishers are left: %w", len(s.seats.all(those)), context.Cause(ctx))
		}
	}
}

// seeOff has one publisher leave, and returns when it has, or ctx has ended.
func (s *Server) seeOff(ctx context.Context, held *seat, tcURL string) {
	limit := time.NewTimer(s.cfg.DrainTimeout)
	defer limit.Stop()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	begun := time.Now()
	asked := s.callers.ask(held.pulse, tcURL, errDraining.Error())
	cut := limit.C
	for {
		patient := asked && time.Since(begun) < s.cfg.ReconnectWait
		if !patient {
			held.leaving.Store(true)
			if held.pulse.silent() >= drainSilence {
				held.stop(errDraining)
			}
		}
		select {
		case <-held.left:
			return
		case <-ctx.Done():
			return
		case <-cut:
			cut = nil
			held.stop(errDraining)
		case <-tick.C:
		}
	}
}

// dismissThose stops the standbys for whom the condition holds.
func (s *seats) dismissThose(cause error, those func(*standby) bool) (some bool) {
	s.mu.Lock()
	var going []*standby
	for _, b := range s.mu.standbys {
		if those(b) {
			going = append(going, b)
		}
	}
	s.mu.Unlock()
	for _, b := range going {
		b.stop(cause)
	}
	return len(going) > 0
}

// dismiss stops the standbys of a stream, and says whether there was any.
func (s *seats) dismiss(path media.StreamPath, cause error) bool {
	return s.dismissThose(cause, func(b *standby) bool { return b.path == path })
}
