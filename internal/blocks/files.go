package blocks

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Store is an archive.
type Store interface {
	// ReadFile reads a small object.
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// OpenVersion reads up to size bytes from offset on, fewer if the object ends before, and tells the object's version
	// and size. With a size of zero it only tells. Two readings of one version are of the same bytes.
	OpenVersion(ctx context.Context, name string, offset, size int64) (
		in io.ReadCloser, version string, total int64, err error)
}

// changedReader is a Store that can tell, without sending it, that an object is what it was.
type changedReader interface {
	ReadChanged(ctx context.Context, name, tag string) (data []byte, now string, changed bool, err error)
}

// Storage is a Store read through blocks. It has the shape of reclog.Files, and has ReadChanged if the Store does.
type Storage interface {
	ReadFile(ctx context.Context, name string) ([]byte, error)
	OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error)
}

// Files is a Storage. Its ranges are *Reader.
type Files struct {
	cache *Cache
	store Store
	name  string
	// slots bound the blocks that are being read.
	slots *semaphore.Weighted

	mu struct {
		sync.Mutex
		manifests map[string]uint64 // hashes by recording
	}
}

// minSlots is the least number of blocks that a store's readings may fill at a time.
const minSlots = 2 * maxRun

// Storage reads a store through the cache. The name tells it from other stores.
func (c *Cache) Storage(name string, store Store) Storage {
	f := &Files{cache: c, store: store, name: name}
	f.slots = semaphore.NewWeighted(max(minSlots, c.cfg.MaxBytes/2/int64(c.cfg.BlockBytes)))
	f.mu.manifests = make(map[string]uint64)
	c.mu.Lock()
	c.mu.stores[name] = true
	c.mu.Unlock()
	if changed, ok := store.(changedReader); ok {
		return &changedFiles{Files: f, changed: changed}
	}
	return f
}

// ReadFile reads a whole object. It is not cached here.
func (f *Files) ReadFile(ctx context.Context, name string) ([]byte, error) {
	data, err := f.store.ReadFile(ctx, name)
	if err == nil {
		f.look(name, data)
	}
	return data, err
}

// changedFiles are those of a store that tells of changes.
type changedFiles struct {
	*Files
	changed changedReader
}

// ReadChanged is the store's.
func (f *changedFiles) ReadChanged(
	ctx context.Context, name, tag string,
) (data []byte, now string, changed bool, err error) {
	data, now, changed, err = f.changed.ReadChanged(ctx, name, tag)
	if err == nil && changed {
		f.look(name, data)
	}
	return data, now, changed, err
}

// maxManifests bounds the manifests that are remembered.
const maxManifests = 16384

// look sees whether a recording's manifest is another than it was: its media may be others', too.
func (f *Files) look(name string, data []byte) {
	if path.Base(name) != f.cache.manifest {
		return
	}
	group := groupOf(name)
	hash := maphash.Bytes(f.cache.seed, data)
	f.mu.Lock()
	old, known := f.mu.manifests[group]
	if !known && len(f.mu.manifests) >= maxManifests {
		clear(f.mu.manifests)
	}
	f.mu.manifests[strings.Clone(group)] = hash
	f.mu.Unlock()
	if !known || old != hash {
		f.cache.suspectGroup(f.name, group)
	}
}

// OpenRange opens a range, of which the first bytes are on their way. What it gives is a *Reader.
func (f *Files) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	if offset < 0 || size < 0 || offset > math.MaxInt64-size {
		return nil, fmt.Errorf("read object %s: %w: range %d+%d", name, media.ErrInvalid, offset, size)
	}
	if size == 0 {
		f.cache.metrics.requests.Inc()
		in, _, _, err := f.store.OpenVersion(ctx, name, offset, 0)
		return in, err
	}
	r := &Reader{files: f, name: name, pos: offset, first: offset, end: offset + size}
	if err := r.open(ctx); err != nil {
		_ = r.Close() // it holds nothing but counts
		return nil, err
	}
	return r, nil
}

// object gives the object of a name, in a version that is believed, with a reader more.
func (f *Files) object(ctx context.Context, name string, offset, size int64) (*object, error) {
	c := f.cache
	for asked := false; ; asked = true {
		c.mu.Lock()
		o := c.objectLocked(f, name)
		if o.known && !o.suspect && (asked || time.Since(o.confirmed) < c.cfg.Believe) {
			o.readers++
			c.mu.Unlock()
			return o, nil
		}
		l, r := o.learning, newRun(o)
		if l == nil {
			l = &learning{done: make(chan struct{})}
			if !c.startLocked(r, func(ctx context.Context) { r.learn(ctx, l, offset, size) }) {
				c.mu.Unlock()
				return nil, errClosed
			}
			o.learning = l
		}
		c.mu.Unlock()
		if err := l.wait(ctx, c.cfg.StallTimeout); err != nil {
			return nil, err
		}
	}
}

func (l *learning) wait(ctx context.Context, most time.Duration) error {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-l.done:
		return l.err
	case <-late.C:
		return errStalled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// learn asks the store which object has the name by now. Of one of which nothing is known the answer has the first
// bytes that are wanted.
func (r *run) learn(ctx context.Context, l *learning, offset, size int64) {
	r.guard()
	defer r.watch.Stop()
	c, block := r.files.cache, int64(r.files.cache.cfg.BlockBytes)
	c.mu.Lock()
	known := r.object.known
	c.mu.Unlock()
	if known || r.hinted(ctx) {
		r.learnt(l, r.confirm(ctx))
		return
	}
	first := offset / block
	r.slots = min(maxRun, (offset+size-1)/block-first+1)
	if err := r.files.slots.Acquire(ctx, r.slots); err != nil {
		r.learnt(l, context.Cause(ctx))
		return
	}
	defer r.files.slots.Release(r.slots)
	in, version, total, err := r.open(ctx, first*block, r.slots*block)
	if err != nil {
		r.learnt(l, err)
		return
	}
	c.mu.Lock()
	if r.object.gone { // dropped meanwhile: whoever waits asks anew
		c.mu.Unlock()
		_ = in.Close() // nothing was read
		r.learnt(l, nil)
		return
	}
	c.knowLocked(r.object, version, total)
	c.gatherLocked(r, first, min(first+r.slots-1, r.object.last()), nil)
	c.trimLocked()
	r.object.readers++ // until those who wait had the time to be
	c.mu.Unlock()
	c.metrics.misses.Inc()
	r.learnt(l, nil)
	if err := r.pour(ctx, r.blocks, in); err != nil {
		r.fail(err)
	}
	r.object.leave()
}

// hinted says whether the tier may have blocks of the object.
func (r *run) hinted(ctx context.Context) bool {
	tier := r.files.cache.cfg.Tier
	if tier == nil {
		return false
	}
	p, ok := tier.Get(ctx, headKey(r.object.key), maxHead)
	if !ok {
		return false
	}
	_, _, ok = parseHead(string(p.Data))
	return ok
}

// graceTime is how long a version that could not be confirmed is believed: a store that is away takes nothing from
// viewers that memory has.
const graceTime = 10 * time.Second

// confirm asks for the version alone.
func (r *run) confirm(ctx context.Context) error {
	in, version, total, err := r.open(ctx, 0, 0)
	if err == nil {
		_ = in.Close() // it is empty
	}
	c, o := r.files.cache, r.object
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && o.known && !o.suspect && !lasting(err):
		o.confirmed = time.Now().Add(graceTime - c.cfg.Believe)
		return nil
	case err != nil:
		return err
	case !o.known, o.version == version && o.total == total:
		c.knowLocked(o, version, total)
	default:
		c.forgetLocked(o)
		c.knowLocked(c.objectLocked(r.files, o.key.name), version, total)
	}
	return nil
}

// learnt tells those who wait.
func (r *run) learnt(l *learning, err error) {
	c := r.files.cache
	c.mu.Lock()
	r.object.learning = nil
	if err != nil && !r.object.known {
		c.forgetLocked(r.object)
	}
	c.mu.Unlock()
	c.collect()
	l.err = err
	close(l.done)
}

// leave takes a reader away.
func (o *object) leave() {
	c := o.files.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	o.readers--
}
