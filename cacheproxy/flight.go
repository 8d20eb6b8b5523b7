package cacheproxy

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

const (
	// gatherTime is how long at least bytes that came are kept back for more, so that waiters are woken once per object
	// if it comes at line speed, and not once per read. It is wakeTime for each waiter per core if that is more, up to
	// maxGather. To wake one and send it a part of the body takes half of wakeTime, most of it whatever the part's size:
	// so parts take half of the time at the most, and the end of the body finds no queue of them before it.
	gatherTime = 2 * time.Millisecond
	wakeTime   = 25 * time.Microsecond
	maxGather  = 100 * time.Millisecond
	// firstChunk is the first of a body whose length is unknown; every other is twice the one before, up to maxChunk. A
	// body of known length that is no longer than that has one chunk only, so that it is sent by one call.
	firstChunk = 16 << 10
	maxChunk   = 1 << 20
)

// errAbandoned cuts a fetch that nobody waits for.
var errAbandoned = errors.New("all viewers left")

// flight is an answer under way: its head, and a list of shared chunks that only grows. One goroutine, the leader's,
// fills it; any number of viewers read it, each at its own pace. Chunks are never modified below what was committed.
type flight struct {
	key    key
	arena  *slab.Arena
	cancel context.CancelCauseFunc
	linger time.Duration
	// shared says that a second request came for it.
	shared atomic.Bool
	// purged says that what it brings is not kept.
	purged atomic.Bool
	// plan is which other edges it asks first; asks is what of that is still to come, and next another flight of the same
	// key that asks others. The flights' mu guards both.
	plan plan
	asks asks
	next *flight

	mu struct {
		sync.Mutex
		head    *object // set with open
		open    bool    // viewers may read: from now on a failure can't be hidden
		chunks  []slab.Piece
		lent    int   // the first of chunks, which are others': nothing is read into their buffers
		size    int64 // committed bytes
		shown   int64 // size at the last wake-up
		turn    int   // counts bodies begun, so that a late gather timer knows its own
		done    bool
		result  *object // the complete object, after success
		err     error
		wake    chan struct{}
		waiters int
		gone    bool // given up by all
		idle    *time.Timer
	}
}

func newFlight(k key, arena *slab.Arena, cancel context.CancelCauseFunc, linger time.Duration) *flight {
	f := &flight{key: k, arena: arena, cancel: cancel, linger: linger}
	f.mu.wake = make(chan struct{})
	return f
}

// join adds a waiter. It is false once the flight has been given up, and once it has ended: between its end and its
// landing its playlist may be overtaken (SEQ-9), and what may be kept is in the cache by then.
func (f *flight) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.gone || f.mu.done {
		return false
	}
	f.mu.waiters++
	if f.mu.idle != nil {
		f.mu.idle.Stop()
		f.mu.idle = nil
	}
	return true
}

// leave takes a waiter away. When the last one leaves, the fetch has the linger time to end: a viewer who aborts often
// comes back at once, and most fetches end sooner than that; but a blocking reload of nobody is not held for long.
func (f *flight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.waiters--
	if f.mu.waiters > 0 || f.mu.done {
		return
	}
	f.mu.idle = time.AfterFunc(f.linger, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.mu.waiters == 0 && !f.mu.done {
			f.mu.gone = true
			f.cancel(errAbandoned)
		}
	})
}

// view is what a reader sees of a flight at one moment.
type view struct {
	head   *object
	piece  slab.Piece // next bytes for the reader
	done   bool       // and there are no more
	result *object
}

// cursor is a reader's place.
type cursor struct {
	chunk, offset int
	position      int64
}

// wait blocks until there is a head.
func (f *flight) wait(ctx context.Context) (view, error) {
	return f.await(ctx, func() (view, bool) {
		return view{head: f.mu.head, done: f.mu.done, result: f.mu.result}, f.mu.open || f.mu.done
	})
}

// complete blocks until the object is complete.
func (f *flight) complete(ctx context.Context) (*object, error) {
	v, err := f.await(ctx, func() (view, bool) { return view{result: f.mu.result}, f.mu.done })
	return v.result, err
}

// read blocks until there are bytes past the cursor, or the end, and gives a run of them.
func (f *flight) read(ctx context.Context, c *cursor) (view, error) {
	return f.await(ctx, func() (view, bool) {
		for c.chunk < len(f.mu.chunks)-1 && c.offset == len(f.mu.chunks[c.chunk].Data) {
			c.chunk, c.offset = c.chunk+1, 0
		}
		var v view
		if f.mu.open && c.position < f.mu.size {
			v.piece = f.mu.chunks[c.chunk]
			v.piece.Data = v.piece.Data[c.offset:]
			c.offset += len(v.piece.Data)
			c.position += int64(len(v.piece.Data))
		}
		v.done = f.mu.done && f.mu.err == nil && c.position == f.mu.size
		return v, len(v.piece.Data) > 0 || f.mu.done
	})
}

// await calls look, with mu held, at every wake-up until it is content.
func (f *flight) await(ctx context.Context, look func() (view, bool)) (view, error) {
	for {
		f.mu.Lock()
		v, ok := look()
		err, wake := f.mu.err, f.mu.wake
		f.mu.Unlock()
		if ok {
			if len(v.piece.Data) > 0 {
				err = nil // what came before the failure is good; the next read tells
			}
			return v, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return view{}, ctx.Err()
		}
	}
}

// begin starts a body, over whatever an upstream that failed has left. It is false once viewers have read that.
func (f *flight) begin(head *object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.open {
		return false
	}
	f.mu.head, f.mu.chunks, f.mu.size, f.mu.shown, f.mu.lent = head, nil, 0, 0, 0
	f.mu.turn++
	return true
}

// space gives room for the next bytes. More says how many are to come, negative if unknown.
func (f *flight) space(more int64) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.mu.chunks)
	if n > f.mu.lent {
		if last := f.mu.chunks[n-1]; len(last.Data) < len(last.Buffer.Bytes()) {
			return last.Buffer.Bytes()[len(last.Data):]
		}
	}
	size := min(firstChunk<<min(n, 6), maxChunk)
	if more >= 0 {
		size = int(min(more, maxChunk))
	}
	chunk := f.bufferLocked(size)
	f.mu.chunks = append(f.mu.chunks, slab.Piece{Buffer: chunk, Data: chunk.Bytes()[:0]})
	return chunk.Bytes()
}

// bufferLocked gives ordinary memory for what is read as a whole (object.bytes), and the arena's for what is only sent.
func (f *flight) bufferLocked(size int) *slab.Buffer {
	if h := f.mu.head; h != nil && (h.kind.text() || h.status != http.StatusOK) {
		return slab.Heap(size)
	}
	return f.arena.Get(size)
}

// commit makes the first n bytes of the last space part of the body. Shown says that viewers may have them before the
// rest is there.
func (f *flight) commit(n int, shown bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := &f.mu.chunks[len(f.mu.chunks)-1]
	last.Data = last.Buffer.Bytes()[:len(last.Data)+n]
	first := f.mu.size == f.mu.shown
	f.mu.size += int64(n)
	if shown && first {
		f.gatherLocked()
	}
}

// gatherLocked has the waiters woken after a while, unless the flight ends before.
func (f *flight) gatherLocked() {
	turn := f.mu.turn
	perCore := f.mu.waiters / runtime.GOMAXPROCS(0)
	after := min(max(gatherTime, time.Duration(perCore)*wakeTime), maxGather)
	time.AfterFunc(after, func() { f.show(turn) })
}

// show wakes the waiters with what there is.
func (f *flight) show(turn int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.done || f.mu.turn != turn {
		return
	}
	f.mu.open = true
	f.mu.shown = f.mu.size
	close(f.mu.wake)
	f.mu.wake = make(chan struct{})
}

// body gives what was committed.
func (f *flight) body() ([]slab.Piece, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.chunks), f.mu.size
}

// opened says whether viewers may have read of the body.
func (f *flight) opened() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.open
}

// finish ends the flight with its object, whose chunks are the committed ones or, if nothing was shown, any.
func (f *flight) finish(o *object) { f.end(o, nil) }

// fail ends the flight: viewers who wait get the error, those who have a part of the body are cut off.
func (f *flight) fail(err error) { f.end(nil, err) }

func (f *flight) end(o *object, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.result, f.mu.err, f.mu.done = o, err, true
	if o != nil && !f.mu.open {
		f.mu.open, f.mu.head, f.mu.chunks, f.mu.size = true, o, o.chunks, 0
		for _, c := range o.chunks {
			f.mu.size += int64(len(c.Data))
		}
	}
	if f.mu.idle != nil {
		f.mu.idle.Stop()
		f.mu.idle = nil
	}
	close(f.mu.wake)
}
