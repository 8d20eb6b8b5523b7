package ingest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// seats holds who publishes which stream on this node, so that a newcomer can take over, and who stands by.
type seats struct {
	mu struct {
		sync.Mutex
		taken map[media.StreamPath]*seat
		// reserved counts those that are about to take a place, and standbys: they keep their stream's.
		reserved map[media.StreamPath]int
		// coming counts those that are about to go live.
		coming   map[feedOf]int
		standbys map[feedOf]*standby
	}
}

// feedOf names a feed of a stream.
type feedOf struct {
	path media.StreamPath
	feed string
}

// other is the stream's other feed.
func (f feedOf) other() feedOf {
	if f.feed == media.FeedBackup {
		return feedOf{f.path, media.FeedPrimary}
	}
	return feedOf{f.path, media.FeedBackup}
}

// reserve gives the other streams of the publisher that are taken or reserved, and reserves this one until settled is
// called.
func (s *seats) reserve(path media.StreamPath) (others map[media.StreamPath]bool, settled func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	others = make(map[media.StreamPath]bool)
	for other := range s.mu.taken {
		if other.Publisher == path.Publisher && other != path {
			others[other] = true
		}
	}
	for other := range s.mu.reserved {
		if other.Publisher == path.Publisher && other != path {
			others[other] = true
		}
	}
	if s.mu.reserved == nil {
		s.mu.reserved = make(map[media.StreamPath]int)
	}
	s.mu.reserved[path]++
	return others, func() { countDown(&s.mu.Mutex, s.mu.reserved, path) }
}

// claim says whether a feed may go live as far as this node knows: the other one is not, nor about to. Then it is about
// to itself, until settled is called.
func (s *seats) claim(mine feedOf) (settled func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if live := s.mu.taken[mine.path]; live != nil && live.feed != mine.feed || s.mu.coming[mine.other()] > 0 {
		return nil, false
	}
	return s.arriveLocked(mine), true
}

// arrive says that a feed is about to go live, whoever is, until settled is called.
func (s *seats) arrive(mine feedOf) (settled func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arriveLocked(mine)
}

func (s *seats) arriveLocked(mine feedOf) (settled func()) {
	if s.mu.coming == nil {
		s.mu.coming = make(map[feedOf]int)
	}
	s.mu.coming[mine]++
	return func() { countDown(&s.mu.Mutex, s.mu.coming, mine) }
}

func countDown[K comparable](mu *sync.Mutex, counts map[K]int, key K) {
	mu.Lock()
	defer mu.Unlock()
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// awaits says that the other feed is about to go live.
func (s *seats) awaits(other feedOf) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.coming[other] > 0
}

// standBy enters a standby, and gives the one of the same feed that it replaces.
func (s *seats) standBy(b *standby) (replaced *standby) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.standbys == nil {
		s.mu.standbys = make(map[feedOf]*standby)
	}
	replaced = s.mu.standbys[b.feedOf]
	s.mu.standbys[b.feedOf] = b
	return replaced
}

// standDown takes a standby out.
func (s *seats) standDown(b *standby) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.standbys[b.feedOf] == b {
		delete(s.mu.standbys, b.feedOf)
	}
}

// standby gives a feed's; nil if there is none.
func (s *seats) standby(of feedOf) *standby {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.standbys[of]
}

// live gives who publishes a stream; nil if nobody does.
func (s *seats) live(path media.StreamPath) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.taken[path]
}

// all gives those who publish and whom a condition holds for.
func (s *seats) all(those func(*seat) bool) []*seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*seat
	for _, held := range s.mu.taken {
		if those(held) {
			all = append(all, held)
		}
	}
	return all
}

// seat is one publisher's place.
type seat struct {
	epoch uint64
	feed  string
	stop  context.CancelCauseFunc
	pulse *pulse
	place *visit // of its holder's connection; nil if it came by no listener
	// leaving asks the holder to end with the segment; lost says that its lease is another node's.
	leaving, lost atomic.Bool
	left          chan struct{} // closed when its holder has left
	// before is who held the place and was not seen leaving. Written by the holder before left is closed, and read by
	// others after.
	before *seat
}

// take claims a stream's place: the highest epoch wins. Whoever sits there is stopped with media.ErrTakenOver and
// waited for, as are those that it was itself still waiting for. After the timeout the place is taken all the same:
// the holder that does not leave is fenced by its epoch.
func (s *seats) take(
	ctx context.Context, path media.StreamPath, mine *seat, timeout time.Duration,
) error {
	mine.left = make(chan struct{})
	s.mu.Lock()
	if s.mu.taken == nil {
		s.mu.taken = make(map[media.StreamPath]*seat)
	}
	mine.before = s.mu.taken[path]
	if mine.before != nil && mine.before.epoch > mine.epoch {
		s.mu.Unlock()
		return fmt.Errorf("publish %s: %w", path, media.ErrTakenOver)
	}
	s.mu.taken[path] = mine
	s.mu.Unlock()

	if mine.before == nil {
		return nil
	}
	mine.before.stop(fmt.Errorf("publish %s: %w", path, media.ErrTakenOver))
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for mine.before != nil {
		select {
		case <-mine.before.left:
			mine.before = mine.before.before
		case <-timer.C:
			return nil
		case <-ctx.Done():
			s.leave(path, mine)
			return fmt.Errorf("wait for the former publisher of %s: %w", path, context.Cause(ctx))
		}
	}
	return nil
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
func (s *seats) occupied(path media.StreamPath) bool { return s.live(path) != nil }

// stop sends the publisher of a stream away, if there is one.
func (s *seats) stop(path media.StreamPath, cause error) bool {
	held := s.live(path)
	if held == nil {
		return false
	}
	held.stop(cause)
	return true
}
