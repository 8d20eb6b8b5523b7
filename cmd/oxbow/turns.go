package main

import (
	"context"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// turns are mutexes, one for each stream, that a context bounds the wait for. The zero value is ready.
type turns struct {
	mu sync.Mutex
	of map[media.StreamPath]*turn
}

// turn is a stream's, while somebody has it or waits for it.
type turn struct {
	free  chan struct{}
	users int // turns.mu guards it
}

// take waits for a stream's turn, which is over when done is called.
func (t *turns) take(ctx context.Context, path media.StreamPath) (done func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = make(map[media.StreamPath]*turn)
	}
	mine := t.of[path]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		t.of[path] = mine
	}
	mine.users++
	t.mu.Unlock()
	select {
	case mine.free <- struct{}{}:
	case <-ctx.Done():
		t.leave(path, mine)
		return nil, context.Cause(ctx)
	}
	return func() {
		<-mine.free
		t.leave(path, mine)
	}, nil
}

func (t *turns) leave(path media.StreamPath, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(t.of, path)
	}
}
