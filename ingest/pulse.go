package ingest

import (
	"sync/atomic"
	"time"
)

// pulse tells for how long a publisher has brought nothing. The time that its frames are being taken does not count:
// then the server is held up, not the publisher. One goroutine beats; any may ask.
type pulse struct {
	start time.Time
	taken atomic.Int64 // when the last frame was taken, or the session began, since start
	busy  atomic.Bool  // a frame is being taken
}

func newPulse() *pulse { return &pulse{start: time.Now()} }

// begin says that a frame came, and end that it was taken.
func (p *pulse) begin() { p.busy.Store(true) }

func (p *pulse) end() {
	p.taken.Store(int64(time.Since(p.start)))
	p.busy.Store(false)
}

func (p *pulse) silent() time.Duration {
	if p.busy.Load() {
		return 0
	}
	return max(time.Since(p.start)-time.Duration(p.taken.Load()), 0)
}

// last is when the last frame was taken.
func (p *pulse) last() time.Time { return p.start.Add(time.Duration(p.taken.Load())) }
