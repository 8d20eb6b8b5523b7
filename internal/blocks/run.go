package blocks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxRun is how many blocks one reading of a store covers at the most.
const maxRun = 8

// run is one reading that fills blocks, one behind the other. It belongs to no reader.
type run struct {
	files  *Files
	object *object
	blocks []*block
	slots  int64 // of its files', that it holds or is to get
	cancel context.CancelCauseFunc
	watch  *time.Timer
	// at is the number of the block that is being filled, moved when bytes came last, in Unix nanoseconds.
	at, moved atomic.Int64
}

func newRun(o *object) *run {
	r := &run{files: o.files, object: o}
	r.progress()
	return r
}

func (r *run) progress() { r.moved.Store(time.Now().UnixNano()) }

// stalled says that nothing came for that long.
func (r *run) stalled(d time.Duration) bool { return time.Since(time.Unix(0, r.moved.Load())) >= d }

// gatherLocked makes missing blocks from first to last the run's, up to the first that is not missing. It may take them
// from a run that has not come near them.
func (c *Cache) gatherLocked(r *run, first, last int64, from *run) {
	o := r.object
	for n := first; n <= last && len(r.blocks) < maxRun; n++ {
		b := o.blocks[n]
		if b == nil {
			b = c.addLocked(o, n)
		}
		b.mu.Lock()
		free := b.mu.run == nil && (n == first || b.mu.filled == 0) && !b.wholeLocked()
		free = free || b.mu.run != nil && b.mu.run == from && b.mu.buffer == nil
		if free {
			b.mu.run, b.mu.opened, b.mu.err = r, false, nil
		}
		b.mu.Unlock()
		if !free {
			break
		}
		r.blocks = append(r.blocks, b)
	}
	if len(r.blocks) > 0 {
		r.at.Store(r.blocks[0].number)
	}
}

// fill brings the run to its end. Acquired says that it has its slots.
func (r *run) fill(ctx context.Context, acquired bool) {
	if !acquired && r.files.slots.Acquire(ctx, r.slots) != nil {
		r.fail(context.Cause(ctx))
		return
	}
	defer r.files.slots.Release(r.slots)
	r.guard()
	defer r.watch.Stop()
	for i := 0; i < len(r.blocks); {
		r.at.Store(r.blocks[i].number)
		if r.fromTier(ctx, r.blocks[i]) {
			i++
			continue
		}
		j := i + 1
		for j < len(r.blocks) && !r.fromTier(ctx, r.blocks[j]) {
			j++
		}
		if err := r.read(ctx, r.blocks[i:j]); err != nil {
			r.fail(err)
			return
		}
		i = j
	}
}

// guard has the run cut when nothing comes for too long.
func (r *run) guard() {
	r.watch = time.AfterFunc(r.files.cache.cfg.StallTimeout, func() { r.cancel(errStalled) })
}

// fromTier fills a block from the second tier, or says that it is whole.
func (r *run) fromTier(ctx context.Context, b *block) bool {
	tier := r.files.cache.cfg.Tier
	b.mu.Lock()
	whole, begun := b.wholeLocked(), b.mu.filled > 0
	b.mu.Unlock()
	if whole || tier == nil || begun {
		return whole
	}
	p, ok := tier.Get(ctx, b.uses.key, b.size)
	r.watch.Reset(r.files.cache.cfg.StallTimeout)
	if !ok || len(p.Data) != b.size {
		return false
	}
	r.progress()
	buf, taken := b.adopt(r, p)
	if !taken && buf == nil {
		return false // another run has it
	}
	if !taken {
		b.commit(copy(buf, p.Data))
	}
	r.files.cache.metrics.tier.Inc()
	b.uses.put.Store(true)
	b.uses.head.put.Store(true)
	r.finish(b)
	return true
}

// read reads missing blocks from the store.
func (r *run) read(ctx context.Context, blocks []*block) error {
	first, last := blocks[0], blocks[len(blocks)-1]
	first.mu.Lock()
	from := first.start() + int64(first.mu.filled)
	first.mu.Unlock()
	in, version, total, err := r.open(ctx, from, last.start()+int64(last.size)-from)
	if err != nil {
		return err
	}
	if version != r.object.version || total != r.object.total {
		_ = in.Close() // nothing was read
		r.files.cache.forget(r.object)
		return errChanged
	}
	return r.pour(ctx, blocks, in)
}

// open asks the store.
func (r *run) open(ctx context.Context, from, size int64) (in io.ReadCloser, version string, total int64, err error) {
	r.files.cache.metrics.requests.Inc()
	r.watch.Reset(r.files.cache.cfg.StallTimeout)
	in, version, total, err = r.files.store.OpenVersion(ctx, r.object.key.name, from, size)
	if err == nil {
		r.progress()
		return in, version, total, nil
	}
	r.files.cache.metrics.failures.Inc()
	if cause := context.Cause(ctx); cause != nil {
		return nil, "", 0, cause
	}
	if lasting(err) {
		r.files.cache.forget(r.object)
	}
	return nil, "", 0, err
}

// lasting says that asking again gives the same.
func lasting(err error) bool {
	return errors.Is(err, media.ErrNotFound) || errors.Is(err, media.ErrGone) || errors.Is(err, media.ErrDenied) ||
		errors.Is(err, media.ErrBadName) || errors.Is(err, media.ErrInvalid)
}

// pour fills blocks from a reading that begins where the first of them is to be filled, and closes it.
func (r *run) pour(ctx context.Context, blocks []*block, in io.ReadCloser) error {
	defer func() { _ = in.Close() }() // it was only read
	c := r.files.cache
	for _, b := range blocks {
		r.at.Store(b.number)
		for {
			buf := b.room(r)
			if buf == nil {
				return errCut // another run took it
			}
			if len(buf) == 0 {
				break
			}
			r.watch.Reset(c.cfg.StallTimeout)
			n, err := in.Read(buf)
			if n > 0 {
				c.metrics.bytes.Add(float64(n))
				r.progress()
				b.commit(n)
			}
			if err != nil && n < len(buf) {
				c.metrics.failures.Inc()
				return r.broken(ctx, err)
			}
		}
		if !r.finish(b) {
			return errCut
		}
	}
	return nil
}

func (r *run) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read object %s: %w", r.object.key.name, err)
}

// finish notes that a block is whole. It is false if nobody wants those behind it any more.
func (r *run) finish(b *block) bool {
	c := r.files.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	b.mu.Lock()
	b.mu.run = nil
	b.uses.base.Store(int64(b.mu.base) + 1)
	if b.again {
		b.uses.offer(b.mu.buffer)
	}
	b.wakeLocked()
	b.mu.Unlock()
	c.trimLocked() // it could not be dropped so far
	if r.object.readers > 0 {
		return true
	}
	next := r.object.blocks[b.number+1]
	return next == nil || next.ahead
}

// fail gives what is left of the run back: the next who asks has another begin where it ended.
func (r *run) fail(err error) {
	c := r.files.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range r.blocks {
		b.mu.Lock()
		mine, empty := b.mu.run == r, b.mu.filled == 0
		if mine {
			b.mu.run, b.mu.err = nil, err
			b.wakeLocked()
		}
		b.mu.Unlock()
		if mine && empty && b.queue != nil {
			c.removeLocked(b)
		}
	}
}
