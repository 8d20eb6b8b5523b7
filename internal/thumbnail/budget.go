package thumbnail

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBusy says that no processor time is left within the time that the caller has.
var ErrBusy = errors.New("no processor time left for pictures")

// budget is a bucket of processor time. It may be in debt: what a run takes is known when it is over.
type budget struct {
	share float64 // of a core
	burst time.Duration
	slot  chan struct{} // held by the one that runs

	mu struct {
		sync.Mutex
		left time.Duration // at that time
		at   time.Time
	}
}

func newBudget(share float64, burst time.Duration) *budget {
	b := &budget{share: share, burst: burst, slot: make(chan struct{}, 1)}
	b.mu.left, b.mu.at = burst, time.Now()
	return b
}

// wait is how long it takes until there is something left.
func (b *budget) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(now)
	if b.mu.left >= 0 {
		return 0
	}
	return time.Duration(float64(-b.mu.left) / b.share)
}

func (b *budget) fillLocked(now time.Time) {
	if passed := now.Sub(b.mu.at); passed > 0 {
		b.mu.left = min(b.burst, b.mu.left+time.Duration(float64(passed)*b.share))
		b.mu.at = now
	}
}

// spend notes what was taken.
func (b *budget) spend(cpu time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(now)
	b.mu.left -= cpu
}

// enter waits for the slot and for something to be left: ErrBusy at once if that is past the context's deadline. Leave
// gives the slot back.
func (b *budget) enter(ctx context.Context) (leave func(), err error) {
	select {
	case b.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	leave = func() { <-b.slot }
	wait := b.wait(time.Now())
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		leave()
		return nil, fmt.Errorf("%w: there is some in %s", ErrBusy, wait.Round(100*time.Millisecond))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return leave, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
