package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readBatch is the most events that one Read gives.
const readBatch = 256

// eventLog is the newest events, as a ring, and a channel that is closed and replaced when one is added.
type eventLog struct {
	mu struct {
		sync.Mutex
		ring []media.Event // event n of this log is at n modulo its length
		size int
		next int // number of events ever added
		// last is the id of the newest event, and lost that of the newest that is no longer here: the ids before a restart
		// are lost too.
		last, lost int64
		added      chan struct{}
	}
}

func (l *eventLog) start(size int, now time.Time) {
	l.mu.size = size
	l.mu.added = make(chan struct{})
	// Counting on from the microsecond, the ids of the next process are above those of this one, and a JSON number
	// still holds them exactly.
	l.mu.last = now.UnixMicro()
	l.mu.lost = l.mu.last
}

func (l *eventLog) add(e media.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.last++
	e.ID = l.mu.last
	if len(l.mu.ring) < l.mu.size {
		l.mu.ring = append(l.mu.ring, e)
	} else {
		slot := &l.mu.ring[l.mu.next%l.mu.size]
		l.mu.lost = slot.ID
		*slot = e
	}
	l.mu.next++
	close(l.mu.added)
	l.mu.added = make(chan struct{})
}

// read gives the events after an id, or a channel that is closed when there may be some.
func (l *eventLog) read(after int64) ([]media.Event, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after < l.mu.lost || after > l.mu.last { // from before a restart, or from another registry
		return nil, nil, &LostError{After: after, First: l.mu.lost}
	}
	n := min(int(l.mu.last-after), readBatch)
	if n == 0 {
		return nil, l.mu.added, nil
	}
	events := make([]media.Event, 0, n)
	first := l.mu.next - int(l.mu.last-after)
	for i := range n {
		events = append(events, l.mu.ring[(first+i)%l.mu.size])
	}
	return events, nil, nil
}

// Publish implements Registry.
func (m *Memory) Publish(ctx context.Context, e media.Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	m.log.add(e)
	return nil
}

// Tail implements Registry.
func (m *Memory) Tail(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("tail of events: %w", err)
	}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	return m.log.mu.last, nil
}

// Read implements Registry.
func (m *Memory) Read(ctx context.Context, after int64) ([]media.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		events, added, err := m.log.read(after)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
		}
	}
}
