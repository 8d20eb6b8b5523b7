package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// seats holds who publishes which stream on this node, so that a newcomer can take over.
type seats struct {
	mu struct {
		sync.Mutex
		taken map[media.StreamPath]*seat
		// reserved counts those that are about to take a place.
		reserved map[media.StreamPath]int
	}
}

// reserve counts the other streams of the publisher that are taken or reserved, and reserves this one until settled is
// called.
func (s *seats) reserve(path media.StreamPath) (others int, settled func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.mu.taken {
		if other.Publisher == path.Publisher && other != path {
			others++
		}
	}
	for other := range s.mu.reserved {
		if _, counted := s.mu.taken[other]; other.Publisher == path.Publisher && other != path && !counted {
			others++
		}
	}
	if s.mu.reserved == nil {
		s.mu.reserved = make(map[media.StreamPath]int)
	}
	s.mu.reserved[path]++
	return others, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.mu.reserved[path]--; s.mu.reserved[path] == 0 {
			delete(s.mu.reserved, path)
		}
	}
}

// seat is one publisher's place.
type seat struct {
	epoch uint64
	stop  context.CancelCauseFunc
	left  chan struct{} // closed when its holder has left
	// before is who held the place and was not seen leaving. Written by the holder before left is closed, and read by
	// others after.
	before *seat
}

// take claims a stream's place: the highest epoch wins. Whoever sits there is stopped with media.ErrTakenOver and
// waited for, as are those that it was itself still waiting for. After the timeout the place is taken all the same:
// the holder that does not leave is fenced by its epoch.
func (s *seats) take(
	ctx context.Context, path media.StreamPath, epoch uint64, timeout time.Duration, stop context.CancelCauseFunc,
) (*seat, error) {
	mine := &seat{epoch: epoch, stop: stop, left: make(chan struct{})}
	s.mu.Lock()
	if s.mu.taken == nil {
		s.mu.taken = make(map[media.StreamPath]*seat)
	}
	mine.before = s.mu.taken[path]
	if mine.before != nil && mine.before.epoch > epoch {
		s.mu.Unlock()
		return nil, fmt.Errorf("publish %s: %w", path, media.ErrTakenOver)
	}
	s.mu.taken[path] = mine
	s.mu.Unlock()

	if mine.before == nil {
		return mine, nil
	}
	mine.before.stop(fmt.Errorf("publish %s: %w", path, media.ErrTakenOver))
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for mine.before != nil {
		select {
		case <-mine.before.left:
			mine.before = mine.before.before
		case <-timer.C:
			return mine, nil
		case <-ctx.Done():
			s.leave(path, mine)
			return nil, fmt.Errorf("wait for the former publisher of %s: %w", path, context.Cause(ctx))
		}
	}
	return mine, nil
}

// leave gives the place up. If its holder never saw the one before it leave, that one is put back: a newcomer must
// still wait for it.
func (s *seats) leave(path media.StreamPath, mine *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(mine.left)
	if s.mu.taken[path] != mine {
		return
	}
	delete(s.mu.taken, path)
	for p := mine.before; p != nil; p = p.before {
		select {
		case <-p.left:
			continue
		default:
			s.mu.taken[path] = p
			return
		}
	}
}

// occupied says whether somebody publishes the stream here.
func (s *seats) occupied(path media.StreamPath) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.taken[path] != nil
}

// stop sends the publisher of a stream away, if there is one.
func (s *seats) stop(path media.StreamPath, cause error) bool {
	s.mu.Lock()
	held := s.mu.taken[path]
	s.mu.Unlock()
	if held == nil {
		return false
	}
	held.stop(cause)
	return true
}
