package blocks

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

var (
	// errChanged: bytes of another version may not follow those that were read.
	errChanged = fmt.Errorf("%w: the object was replaced or deleted while it was read", media.ErrUnavailable)
	// errCut: the run did not come to the block; another may.
	errCut = fmt.Errorf("%w: the reading ended before it", media.ErrUnavailable)
	// errStalled: the store gave nothing for too long.
	errStalled = fmt.Errorf("%w: storage does not answer", media.ErrUnavailable)
	errClosed  = errors.New("blocks are closed")
)

// maxObjects bounds the objects without blocks whose version is remembered.
const maxObjects = 16384

// Cache holds blocks of all stores of a process.
type Cache struct {
	cfg      Config
	metrics  *metrics
	seed     maphash.Seed
	manifest string // its file name
	running  sync.WaitGroup

	mu struct {
		sync.Mutex
		objects     map[objectKey]*object
		small, main queue
		ghosts      ghosts
		count       int
		ahead       int64 // bytes that were read ahead and are not wanted yet
		runs        map[*run]bool
		stores      map[string]bool // names
		freed       int64           // bytes since the arena was told
		closed      bool
	}
}

// New makes a cache.
func New(cfg Config, reg prometheus.Registerer) *Cache {
	c := &Cache{cfg: cfg.withDefaults(), seed: maphash.MakeSeed()}
	c.manifest = path.Base(reclog.ManifestName(media.StreamPath{}, ""))
	c.mu.objects, c.mu.runs = make(map[objectKey]*object), make(map[*run]bool)
	c.mu.ghosts.at = make(map[uint64]uint64)
	c.mu.stores = make(map[string]bool)
	c.metrics = newMetrics(reg, c)
	return c
}

// Close cuts the readings under way and waits for them. What readers have stays good.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	for r := range c.mu.runs {
		r.cancel(errClosed)
	}
	c.mu.Unlock()
	c.running.Wait()
	return nil
}

// Usage gives the bytes and the number of the blocks that are kept.
func (c *Cache) Usage() (bytes int64, count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heldLocked(), c.mu.count
}

// Drop forgets a recording in all stores. Readers under way are cut where they come to the next block.
func (c *Cache) Drop(stream media.StreamPath, id media.RecordingID) {
	group := stream.Publisher + "/" + stream.Stream + "/" + string(id)
	stores := c.Forget(group)
	if c.cfg.Tier == nil {
		return
	}
	for _, store := range stores { // of what is there this process may have nothing
		c.cfg.Tier.Drop(tierGroup(store, group))
	}
}

// Forget forgets what is in memory of a publisher, of "publisher/stream" or of "publisher/stream/recording", as Drop
// does, and gives the names of the stores. What the tier has stays.
func (c *Cache) Forget(scope string) []string {
	c.mu.Lock()
	for _, o := range c.mu.objects {
		rest, ok := strings.CutPrefix(o.group, scope)
		if ok && (rest == "" || rest[0] == '/') {
			if o.head != nil {
				o.head.dropped.Store(true)
			}
			c.forgetLocked(o)
		}
	}
	stores := slices.Collect(maps.Keys(c.mu.stores))
	c.mu.Unlock()
	c.collect()
	return stores
}

type objectKey struct{ store, name string }

// object is what is known of a file of a store, in one version. All but the first four fields belongs to the cache's
// lock; version and total are set once, with known.
type object struct {
	files *Files
	key   objectKey
	group string
	head  *head

	version   string
	total     int64
	known     bool
	suspect   bool // it may have been replaced
	confirmed time.Time
	gone      bool
	readers   int
	blocks    map[int64]*block
	trails    [maxTrails]trail
	turn      uint64 // counts uses of trails
	learning  *learning
}

// last is the number of the object's last block.
func (o *object) last() int64 { return (o.total - 1) / int64(o.files.cache.cfg.BlockBytes) }

// groupOf gives the recording of a name: its first three elements.
func groupOf(name string) string {
	at := 0
	for range 3 {
		i := strings.IndexByte(name[at:], '/')
		if i < 0 {
			return name
		}
		at += i + 1
	}
	return name[:at-1]
}

func (c *Cache) heldLocked() int64 { return c.mu.small.bytes + c.mu.main.bytes }

// objectLocked gives the object of a name, maybe a new one.
func (c *Cache) objectLocked(f *Files, name string) *object {
	key := objectKey{f.name, name}
	o := c.mu.objects[key]
	if o == nil {
		if len(c.mu.objects) >= maxObjects {
			c.sweepLocked()
		}
		key.name = strings.Clone(name)
		o = &object{files: f, key: key, group: groupOf(key.name), blocks: make(map[int64]*block)}
		c.mu.objects[key] = o
	}
	return o
}

// sweepLocked forgets objects of which there is nothing.
func (c *Cache) sweepLocked() {
	for key, o := range c.mu.objects {
		if o.readers == 0 && len(o.blocks) == 0 && o.learning == nil {
			delete(c.mu.objects, key)
		}
	}
}

// knowLocked notes what the store said of an object.
func (c *Cache) knowLocked(o *object, version string, total int64) {
	o.version, o.total, o.known, o.suspect, o.confirmed = version, total, true, false, time.Now()
	o.head = &head{key: headKey(o.key), text: headText(o)}
}

// forgetLocked takes an object out with its blocks: it is another by now, or none.
func (c *Cache) forgetLocked(o *object) {
	if o.gone {
		return
	}
	o.gone = true
	if c.mu.objects[o.key] == o {
		delete(c.mu.objects, o.key)
	}
	for _, b := range o.blocks {
		c.mu.freed += int64(b.size)
		c.removeLocked(b)
	}
}

// collectBytes are worth a collection when nothing comes in their place.
const collectBytes = 16 << 20

// collect tells the arena of what was forgotten.
func (c *Cache) collect() {
	c.mu.Lock()
	enough := c.mu.freed >= collectBytes
	if enough {
		c.mu.freed = 0
	}
	c.mu.Unlock()
	if enough {
		c.cfg.Arena.Collect()
	}
}

// forget is for a reading that found another object, or none.
func (c *Cache) forget(o *object) {
	c.mu.Lock()
	c.forgetLocked(o)
	c.mu.Unlock()
	c.collect()
}

// suspectGroup has all objects of a recording asked for their versions before they are used again.
func (c *Cache) suspectGroup(store, group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, o := range c.mu.objects {
		if key.store == store && o.group == group && o.known {
			o.suspect = true
		}
	}
}

// addLocked makes a block and keeps it, for as long as it is worth that.
func (c *Cache) addLocked(o *object, number int64) *block {
	size := int64(c.cfg.BlockBytes)
	b := &block{object: o, number: number, size: int(min(size, o.total-number*size))}
	b.hash = maphash.Comparable(c.seed, blockID{o.key, o.version, number})
	b.uses = &uses{tier: c.cfg.Tier, size: b.size, head: o.head}
	if c.cfg.Tier != nil {
		b.uses.key, b.uses.group = tierKey(o, number), tierGroup(o.key.store, o.group)
	}
	o.blocks[number] = b
	c.mu.count++
	known, lately := c.mu.ghosts.take(b.hash, c.ghostsLocked())
	b.again = known
	if lately {
		c.mu.main.push(b)
	} else {
		c.mu.small.push(b)
	}
	return b
}

type blockID struct {
	object  objectKey
	version string
	number  int64
}

// removeLocked drops a block. Who reads it still has it.
func (c *Cache) removeLocked(b *block) {
	b.queue.remove(b)
	c.mu.count--
	delete(b.object.blocks, b.number)
	if !b.ahead {
		return
	}
	b.ahead = false
	c.mu.ahead -= int64(b.size)
	c.metrics.wasted.Inc()
	b.trail.wasted()
}

// trimLocked drops blocks until what is kept is within its bound. Those that are being read stay.
func (c *Cache) trimLocked() {
	for tries := 2*c.mu.count*maxHits + 1; c.heldLocked() > c.cfg.MaxBytes && tries > 0; tries-- {
		small := c.mu.main.tail == nil || c.mu.small.tail != nil && c.mu.small.bytes > c.cfg.MaxBytes/smallShare
		q := &c.mu.main
		if small {
			q = &c.mu.small
		}
		b := q.tail
		r, _ := b.state()
		hits := b.uses.hits.Load()
		switch {
		case r != nil:
			q.remove(b)
			q.push(b)
		case hits > 0 && small:
			b.uses.hits.Store(0)
			q.remove(b)
			c.mu.main.push(b)
		case hits > 0:
			b.uses.hits.Add(-1)
			q.remove(b)
			q.push(b)
		default:
			c.removeLocked(b)
			if small {
				keep := c.ghostsLocked()
				if c.cfg.Tier != nil {
					keep = max(keep, tierGhosts)
				}
				c.mu.ghosts.add(b.hash, keep)
			}
		}
	}
}

// tierGhosts is how many dropped blocks are remembered for a tier: with blocks of 1 MiB, what comes again within 64 GiB
// is worth a place there, though not one in main.
const tierGhosts = 65536

func (c *Cache) ghostsLocked() uint64 { return uint64(max(1024, c.mu.count)) }

// smallShare is the part of the bytes that new blocks have. It is more than S3-FIFO's tenth: there are few blocks, and
// each is new to its readers for as long as they take to pass it.
const smallShare = 4

// learning is the asking of a store for an object's version.
type learning struct {
	done chan struct{}
	err  error
}

// startLocked has work done for nobody in particular: its context ends when the cache is closed. False is of a cache
// that is closed already.
func (c *Cache) startLocked(r *run, work func(ctx context.Context)) bool {
	if c.mu.closed {
		return false
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel = cancel
	c.mu.runs[r] = true
	c.running.Go(func() {
		defer cancel(nil)
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.mu.runs, r)
		}()
		work(ctx)
	})
	return true
}
