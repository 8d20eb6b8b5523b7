package ingest

import (
	"sync"
	"time"
)

// srtQueue holds what came from an SRT connection until the packager takes it. SRT's own queues drop without a word
// when they are not drained at once; this one has a limit in bytes, and says what it dropped.
type srtQueue struct {
	limit int
	ready chan struct{} // holds one token when there is something to take

	mu struct {
		sync.Mutex
		batch   srtBatch
		gap     bool // bytes are missing before the next piece
		dropped int64
		end     error
	}
}

// srtBatch is what came since the last one was taken: the pieces lie behind each other in data.
type srtBatch struct {
	data   []byte
	pieces []srtPiece
}

type srtPiece struct {
	size int
	gap  bool // bytes are missing before it
	wall time.Time
}

const pieceOverhead = 48 // so that tiny pieces count

func newSRTQueue(limit int) *srtQueue {
	return &srtQueue{limit: limit, ready: make(chan struct{}, 1)}
}

// put adds a datagram; gap says that some are missing before it. Past the limit it is dropped.
func (q *srtQueue) put(data []byte, gap bool, wall time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.gap = q.mu.gap || gap
	if len(data) == 0 {
		return
	}
	b := &q.mu.batch
	if len(b.data)+len(data)+(len(b.pieces)+1)*pieceOverhead > q.limit {
		q.mu.gap = true
		q.mu.dropped++
		return
	}
	b.data = append(b.data, data...)
	b.pieces = append(b.pieces, srtPiece{size: len(data), gap: q.mu.gap, wall: wall})
	q.mu.gap = false
	q.wake()
}

// close says that nothing follows, and why.
func (q *srtQueue) close(end error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.end = end
	q.wake()
}

func (q *srtQueue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take gives what has come, for the empty batch that is used next. end is set once nothing follows.
func (q *srtQueue) take(empty srtBatch) (full srtBatch, end error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	full = q.mu.batch
	q.mu.batch = srtBatch{data: empty.data[:0], pieces: empty.pieces[:0]}
	return full, q.mu.end
}

// drops gives the number of datagrams dropped.
func (q *srtQueue) drops() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.dropped
}
