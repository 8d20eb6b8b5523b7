package blocks

import (
	"sync"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// block is an aligned run of an object's bytes. It is filled from its begin on, by one run at a time; what is filled
// never changes.
type block struct {
	object *object
	number int64
	size   int
	uses   *uses

	// What follows belongs to the cache's lock.
	queue      *queue
	prev, next *block
	seen       int    // how far readers have come
	ahead      bool   // it was read ahead, and nobody wanted it yet
	again      bool   // it was here before
	trail      *trail // whose
	hash       uint64

	// Lock order: the cache's, then this. Run changes under both.
	mu struct {
		sync.Mutex
		buffer *slab.Buffer
		base   int // where the block begins in buffer
		filled int
		run    *run // what fills it
		opened bool // the store has answered the run
		err    error
		wake   chan struct{} // nil while nobody waits
	}
}

func (b *block) start() int64 { return b.number * int64(b.object.files.cache.cfg.BlockBytes) }

// pieceLocked gives the bytes from from to to, which are filled.
func (b *block) pieceLocked(from, to int) (slab.Piece, slab.Weak) {
	w := slab.MakeWeak(b.mu.buffer, b.mu.base+from, b.mu.base+to, b.uses)
	return w.In(b.mu.buffer), w
}

// waitLocked gives a channel that is closed when something changes.
func (b *block) waitLocked() <-chan struct{} {
	if b.mu.wake == nil {
		b.mu.wake = make(chan struct{})
	}
	return b.mu.wake
}

func (b *block) wakeLocked() {
	if b.mu.wake != nil {
		close(b.mu.wake)
		b.mu.wake = nil
	}
}

// wholeLocked is under the cache's lock or the block's.
func (b *block) wholeLocked() bool { return b.mu.filled == b.size }

// state gives what a demand must know.
func (b *block) state() (r *run, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.run, b.mu.filled == b.size
}

// room gives a run that still has the block the memory that is to be filled; nil if another run has it.
func (b *block) room(r *run) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.run != r {
		return nil
	}
	if b.mu.buffer == nil {
		b.mu.buffer = r.object.files.cache.cfg.Arena.Get(b.size)
	}
	b.mu.opened = true
	b.wakeLocked()
	return b.mu.buffer.Bytes()[b.mu.base+b.mu.filled : b.mu.base+b.size]
}

// adopt makes a piece from elsewhere the block, if the run still has it and the piece lies in a buffer. If it does not,
// the room is given to copy it to.
func (b *block) adopt(r *run, p slab.Piece) (room []byte, taken bool) {
	base, ok := baseOf(p)
	if !ok {
		return b.room(r), false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.run != r {
		return nil, false
	}
	b.mu.buffer, b.mu.base, b.mu.filled, b.mu.opened = p.Buffer, base, len(p.Data), true
	b.wakeLocked()
	return nil, true
}

// commit makes n more bytes readable. Only the run that has the block calls it.
func (b *block) commit(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.filled += n
	b.wakeLocked()
}

// uses counts how often a block's bytes were wanted again. It outlives the block in what names its bytes weakly, and
// holds none of them.
type uses struct {
	tier       Tier
	key, group string // in the tier
	size       int
	head       *head
	hits       atomic.Int32
	base       atomic.Int64 // where the block begins in its buffer, plus one; zero while it is not whole
	put        atomic.Bool
	offers     atomic.Uint32
}

// head is what the tier is told of an object with its first block.
type head struct {
	key, text string
	put       atomic.Bool
	dropped   atomic.Bool // with its recording
}

// maxHits is what a block's hits are counted to.
const maxHits = 3

// Used implements slab.Keeper. What is wanted twice is worth a place in the tier.
func (u *uses) Used(b *slab.Buffer) {
	if u.hits.Load() < maxHits {
		u.hits.Add(1)
	}
	u.offer(b)
}

// offer has the tier keep the block. One that it had no room for is offered again, ever more seldom.
func (u *uses) offer(b *slab.Buffer) {
	base := int(u.base.Load()) - 1
	if u.tier == nil || base < 0 || u.put.Load() {
		return
	}
	if n := u.offers.Add(1); n&(n-1) != 0 || !u.put.CompareAndSwap(false, true) {
		return
	}
	if u.head.put.CompareAndSwap(false, true) && !u.tier.Put(u.head.key, u.group, slab.Of([]byte(u.head.text))) {
		u.head.put.Store(false)
	}
	if !u.tier.Put(u.key, u.group, slab.Piece{Buffer: b, Data: b.Bytes()[base : base+u.size]}) {
		u.put.Store(false)
	}
	if u.head.dropped.Load() { // meanwhile
		u.tier.Drop(u.group)
	}
}
