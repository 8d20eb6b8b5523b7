package blocks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

const (
	// maxTries is how often a block whose reading failed is asked for by one reader that got nothing in between, and
	// maxCuts how often it may be left over by runs that had other things to do.
	maxTries = 3
	maxCuts  = 16
)

// Reader is a range of an object. It is for one goroutine.
type Reader struct {
	files  *Files
	name   string
	object *object // nil when closed
	trail  *trail
	block  *block // what is read, if any

	first, pos, end int64
	tries, cuts     int
}

// open waits until the first bytes are on their way, so that what is wrong with the store is found before anything is
// answered.
func (r *Reader) open(ctx context.Context) error {
	for tries := 0; ; tries++ {
		o, err := r.files.object(ctx, r.name, r.first, r.end-r.first)
		if err != nil {
			return err
		}
		r.object = o
		if r.end > o.total {
			return fmt.Errorf("read object %s: range %d+%d of %d: %w", r.name, r.first, r.end-r.first, o.total,
				io.ErrUnexpectedEOF)
		}
		c := r.files.cache
		c.mu.Lock()
		r.trail = o.follow(r.first, r.end, int64(c.cfg.BlockBytes/4))
		c.mu.Unlock()
		_, _, err = r.await(ctx, true)
		if !errors.Is(err, errChanged) || tries > 0 {
			return err
		}
		o.leave()
		r.object = nil
	}
}

// Size is the number of bytes of the range.
func (r *Reader) Size() int64 { return r.end - r.first }

// NextPiece gives what there is of the bytes that follow, at least one and never of two blocks, by reference, and how
// they may be found again. It waits for them.
func (r *Reader) NextPiece(ctx context.Context) (slab.Piece, slab.Weak, error) {
	if r.object == nil {
		return slab.Piece{}, slab.Weak{}, fs.ErrClosed
	}
	if r.pos == r.end {
		return slab.Piece{}, slab.Weak{}, io.EOF
	}
	p, again, err := r.await(ctx, false)
	if err != nil {
		return slab.Piece{}, slab.Weak{}, err
	}
	r.advance(len(p.Data))
	return p, again, nil
}

func (r *Reader) advance(n int) {
	r.pos += int64(n)
	if r.block != nil && r.pos >= r.block.start()+int64(r.block.size) {
		r.block = nil
	}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.object == nil {
		return 0, fs.ErrClosed
	}
	if r.pos == r.end {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	piece, _, err := r.await(context.Background(), false)
	if err != nil {
		return 0, err
	}
	n := copy(p, piece.Data)
	runtime.KeepAlive(piece.Buffer)
	r.advance(n)
	return n, nil
}

// WriteTo writes the rest of the range, to a slab.PieceWriter without a copy.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	pieces, _ := w.(slab.PieceWriter)
	for {
		p, again, err := r.NextPiece(context.Background())
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n := len(p.Data)
		if pieces != nil {
			err = pieces.WritePiece(p, again)
		} else {
			n, err = w.Write(p.Data)
			runtime.KeepAlive(p.Buffer)
		}
		if err != nil {
			return written, err
		}
		written += int64(n)
	}
}

// Close ends the reading. Pieces stay good.
func (r *Reader) Close() error {
	if r.object == nil {
		return nil
	}
	r.object.leave()
	r.object, r.block = nil, nil
	return nil
}

// await gives what there is at the reader's place once there is something, or, to see that it comes, once the store has
// answered.
func (r *Reader) await(ctx context.Context, opened bool) (slab.Piece, slab.Weak, error) {
	stall := r.files.cache.cfg.StallTimeout
	var late *time.Timer
	var begun time.Time
	for {
		if r.block == nil {
			b, err := r.files.cache.demand(r)
			if err != nil {
				return slab.Piece{}, slab.Weak{}, err
			}
			r.block = b
		}
		b := r.block
		at := int(r.pos - b.start())
		b.mu.Lock()
		if to := int(min(int64(b.mu.filled), r.end-b.start())); to > at {
			p, again := b.pieceLocked(at, to)
			b.mu.Unlock()
			r.tries, r.cuts = 0, 0
			return p, again, nil
		}
		run, err := b.mu.run, b.mu.err
		if run != nil && opened && b.mu.opened {
			b.mu.Unlock()
			return slab.Piece{}, slab.Weak{}, nil
		}
		var wake <-chan struct{}
		if run != nil {
			wake = b.waitLocked()
		}
		b.mu.Unlock()
		if run == nil {
			r.block = nil
			if errors.Is(err, errStalled) && late != nil && time.Since(begun) >= stall || !r.again(err) {
				return slab.Piece{}, slab.Weak{}, err
			}
			continue
		}
		if late == nil {
			begun, late = time.Now(), time.NewTimer(stall)
			defer late.Stop()
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return slab.Piece{}, slab.Weak{}, ctx.Err()
		case <-late.C:
			if run.stalled(stall) {
				return slab.Piece{}, slab.Weak{}, fmt.Errorf("read object %s: %w", r.name, errStalled)
			}
			late.Reset(stall)
		}
	}
}

// again says whether a reading that failed is to be followed by another.
func (r *Reader) again(err error) bool {
	switch {
	case err == nil: // its run ended as we came
		return true
	case errors.Is(err, errCut):
		r.cuts++
		return r.cuts <= maxCuts
	case lasting(err), errors.Is(err, errChanged), errors.Is(err, errClosed):
		return false
	}
	r.tries++
	return r.tries < maxTries
}

// demand gives the block at a reader's place, which is there or on its way, and sees to those that follow.
func (c *Cache) demand(r *Reader) (*block, error) {
	size := int64(c.cfg.BlockBytes)
	number, last := r.pos/size, (r.end-1)/size
	c.mu.Lock()
	defer c.mu.Unlock()
	o := r.object
	switch {
	case c.mu.closed:
		return nil, errClosed
	case o.gone:
		return nil, fmt.Errorf("read object %s: %w", r.name, errChanged)
	}
	var other *run
	b, whole := o.blocks[number], false
	if b != nil {
		other, whole = b.state()
	}
	switch {
	case whole:
		c.metrics.hits.Inc()
	case other != nil && number <= other.at.Load()+1:
		c.metrics.joined.Inc()
	default:
		c.metrics.misses.Inc()
		b = c.missLocked(r, number, last, other)
	}
	c.useLocked(b, r)
	c.aheadLocked(r, number, last)
	return b, nil
}

// missLocked has a block read, with those that the reader wants behind it. Other is a run that is far from it.
func (c *Cache) missLocked(r *Reader, number, last int64, other *run) *block {
	o := r.object
	next := newRun(o)
	c.gatherLocked(next, number, min(last, o.last()), other)
	if b := o.blocks[number]; len(next.blocks) == 0 { // the other run came meanwhile
		return b
	}
	next.slots = int64(len(next.blocks))
	acquired := false
	if end := next.blocks[len(next.blocks)-1].number; end == last && len(next.blocks) < maxRun {
		acquired = c.extendLocked(next, r, end+1, last)
	}
	c.trimLocked()
	c.startLocked(next, func(ctx context.Context) { next.fill(ctx, acquired) })
	return next.blocks[0]
}

// useLocked notes that a reader came to a block.
func (c *Cache) useLocked(b *block, r *Reader) {
	at, to := int(r.pos-b.start()), int(min(int64(b.size), r.end-b.start()))
	switch {
	case b.ahead:
		b.ahead = false
		c.mu.ahead -= int64(b.size)
		c.metrics.used.Inc()
		b.trail.used(int64(c.cfg.MaxAhead))
	case at < b.seen: // the same bytes again, and not the next ones
		b.mu.Lock()
		buffer := b.mu.buffer
		b.mu.Unlock()
		b.uses.Used(buffer)
	}
	b.seen = max(b.seen, to)
}

// goalLocked gives the last block that is worth reading by now: the next of the reader's own range, and as far behind
// its end as its trail has earned.
func (c *Cache) goalLocked(r *Reader, number, last int64) int64 {
	goal := min(last, number+int64(c.cfg.MaxAhead))
	if reach := r.trail.reach(); reach > 0 {
		goal = max(goal, number+min(reach, int64(c.cfg.MaxAhead)))
	}
	return min(goal, r.object.last())
}

// aheadLocked has what follows a reader's place read, if nothing else waits for the room.
func (c *Cache) aheadLocked(r *Reader, number, last int64) {
	goal := c.goalLocked(r, number, last)
	from := number + 1
	for from <= goal && r.object.blocks[from] != nil {
		from++
	}
	if from > goal || from > number+1 && 2*(goal-from+1) < goal-number {
		return // nothing, or so little that the next reading has it, too
	}
	next := newRun(r.object)
	if !c.extendLocked(next, r, from, last) {
		return
	}
	c.trimLocked()
	c.startLocked(next, func(ctx context.Context) { next.fill(ctx, true) })
}

// aheadShare is the part of the bytes that blocks may have that were read ahead and are not wanted yet.
const aheadShare = 8

// extendLocked adds missing blocks from from on to a run, as far as they are worth reading and all the run's slots are
// free: it then has them. What lies behind last nobody has asked for.
func (c *Cache) extendLocked(next *run, r *Reader, from, last int64) bool {
	o, size := r.object, int64(c.cfg.BlockBytes)
	goal := c.goalLocked(r, from-1, last)
	n := int64(0)
	room := c.cfg.MaxBytes/aheadShare - c.mu.ahead
	for at := from; at <= goal && next.slots+n < maxRun && o.blocks[at] == nil; at++ {
		if at > last {
			if room -= size; room < 0 {
				break
			}
		}
		n++
	}
	if n == 0 || !o.files.slots.TryAcquire(next.slots+n) { // not some now and some later: runs would wait for each other
		return false
	}
	next.slots += n
	had := len(next.blocks)
	c.gatherLocked(next, from, from+n-1, nil)
	for _, b := range next.blocks[had:] {
		if b.number > last {
			b.ahead, b.trail = true, r.trail
			c.mu.ahead += int64(b.size)
			c.metrics.ahead.Inc()
		}
	}
	return true
}
