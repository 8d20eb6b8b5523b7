package fastlane

import "time"

// mark is a connection's state now.
func (s *Server) mark(at phase) uint64 { return s.tick.Load()<<phaseBits | uint64(at) }

func phaseOf(state uint64) phase { return phase(state & (1<<phaseBits - 1)) }

// cut closes a connection that is still in that state.
func (c *conn) cut(was uint64) bool {
	if !c.state.CompareAndSwap(was, uint64(over)) {
		return false
	}
	_ = c.outer.Close() // its goroutine finds it closed
	return true
}

func (s *Server) sweepUntilStop() {
	ticker := time.NewTicker(s.cfg.Period)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.tick.Add(1)
			s.sweep()
		case <-s.stop:
			return
		}
	}
}

// sweep looks at all connections once.
func (s *Server) sweep() {
	now := s.tick.Load()
	for _, c := range s.all() {
		was := c.state.Load()
		since := s.cfg.Period * time.Duration(now-was>>phaseBits)
		switch phaseOf(was) {
		case idle:
			if since > s.cfg.IdleTimeout && c.cut(was) {
				s.count.cut[cutIdle].Add(1)
			}
		case heading:
			if since > s.cfg.HeadTimeout && c.cut(was) {
				s.count.cut[cutHead].Add(1)
			}
		case waiting:
			if since > 0 && c.hasLeft() {
				s.count.cut[cutLeft].Add(1)
				c.presence.Load().leave()
			}
		case waitingOn: // the end of what it sent may well be behind us, and is no sign
		case busy, over:
		}
	}
}

// hasLeft says whether a viewer who waits has closed the connection, or its half of it: who does that wants no answer,
// as http.Server sees it too. It is the sweeper's.
func (c *conn) hasLeft() bool {
	if p := c.presence.Load(); p == nil || p.left.Load() {
		return false
	}
	c.peeked = false
	return c.raw.Control(c.peek) == nil && c.peeked
}
