package registry

import (
	"context"
	"fmt"
	"iter"
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

// Publish adds an event to the log. Its id is given here, and its time too if it has none.
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

// Tail gives the id of the newest event. Who takes it first and looks at the state of things after, and then reads
// from there, misses nothing.
func (m *Memory) Tail(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("tail of events: %w", err)
	}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	return m.log.mu.last, nil
}

// Read gives the events after the one with the given id, which comes from Tail or from an event: oldest first, a batch
// at a time. When there is none it waits until there is, or until the context ends, whose error it then gives. A
// *LostError says that some are gone.
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

// Events goes through the events after the one with the given id, as they come, until the context ends. The last thing
// it yields is the error that ended it: the context's, or a *LostError for a reader that fell too far behind.
func (m *Memory) Events(ctx context.Context, after int64) iter.Seq2[media.Event, error] {
	return func(yield func(media.Event, error) bool) {
		for {
			events, err := m.Read(ctx, after)
			if err != nil {
				yield(media.Event{}, err)
				return
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
				after = e.ID
			}
		}
	}
}
