package cacheproxy

import (
	"hash/maphash"
	"sync"
	"time"
)

// cache holds complete objects in memory, bounded by bytes at every moment. It is S3-FIFO (Yang et al., SOSP 2023) with
// a queue more, in shards that share nothing:
//
//	live   parts and short-lived playlists: first in, first out; up to a quarter of the bytes once others want them
//	small  what is new: first in, first out; up to a tenth; leaves for main if it was asked for again, else is dropped
//	main   what proved itself; gets another round per hit
//	ghost  hashes of what small dropped: if it comes again it goes to main at once
//
// Not otter (v2.4.0): its admission window is one per cent of the bytes, less than a segment in a small cache, so that
// a warm cache turns new live segments away while viewers want them: of 40 of 1 MiB put into a full 64 MiB it kept 20.
type cache struct {
	seed   maphash.Seed
	shards []*shard
}

// shardBytes is the least that a shard is worth having for.
const shardBytes = 64 << 20

func newCache(maxBytes int64, partTTL time.Duration) *cache {
	n := 1
	for n < 16 && maxBytes/int64(2*n) >= shardBytes {
		n *= 2
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]*shard, n)}
	for i := range c.shards {
		c.shards[i] = &shard{
			max: maxBytes / int64(n), partTTL: partTTL,
			items: make(map[key]*entry), ghost: make(map[uint64]uint64),
		}
	}
	return c
}

func (c *cache) hash(k key) uint64 { return maphash.Comparable(c.seed, k) }

func (c *cache) shard(k key) *shard {
	if len(c.shards) == 1 {
		return c.shards[0]
	}
	return c.shards[c.hash(k)%uint64(len(c.shards))]
}

// get gives what is there, fresh or not.
func (c *cache) get(k key) *object {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.items[k]
	if e == nil {
		return nil
	}
	e.hits = min(e.hits+1, 3)
	return e.object
}

// put keeps the object, or not: one that would take more than an eighth of its shard is turned away.
func (c *cache) put(k key, o *object, now time.Time) {
	hash := c.hash(k)
	s := c.shards[hash%uint64(len(c.shards))]
	e := &entry{key: k, hash: hash, object: o, size: o.weight() + int64(len(k.path)), live: o.live()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.items[k]; old != nil {
		e.hits = old.hits
		s.removeLocked(old)
	}
	s.dropDeadLocked(now)
	if e.size > s.max/8 {
		return
	}
	s.items[k] = e
	switch {
	case e.live:
		s.live.push(e)
	case s.ghost[hash] != 0:
		delete(s.ghost, hash)
		s.main.push(e)
	default:
		s.small.push(e)
	}
	for s.bytesLocked() > s.max {
		s.evictLocked()
	}
}

// usage gives the bytes and the number of objects held.
func (c *cache) usage() (bytes int64, objects int) {
	for _, s := range c.shards {
		s.mu.Lock()
		bytes += s.bytesLocked()
		objects += len(s.items)
		s.mu.Unlock()
	}
	return bytes, objects
}

type entry struct {
	key        key
	hash       uint64
	object     *object
	size       int64
	hits       uint8
	live       bool
	queue      *queue
	prev, next *entry // towards the tail, towards the head
}

// queue is a list of entries, in at the head and out at the tail.
type queue struct {
	head, tail *entry
	bytes      int64
}

func (q *queue) push(e *entry) {
	e.queue, e.prev, e.next = q, q.head, nil
	if q.head != nil {
		q.head.next = e
	} else {
		q.tail = e
	}
	q.head = e
	q.bytes += e.size
}

func (q *queue) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.tail = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.head = e.prev
	}
	e.queue, e.prev, e.next = nil, nil, nil
	q.bytes -= e.size
}

type shard struct {
	max     int64
	partTTL time.Duration

	mu                sync.Mutex
	items             map[key]*entry
	live, small, main queue
	// ghost maps a dropped hash to when it was dropped, in drops; the map is rebuilt when it holds twice the items.
	ghost map[uint64]uint64
	drops uint64
}

func (s *shard) bytesLocked() int64 { return s.live.bytes + s.small.bytes + s.main.bytes }

func (s *shard) removeLocked(e *entry) {
	e.queue.remove(e)
	delete(s.items, e.key)
}

// dropDeadLocked frees what is past its time at the tail of live. Entries there are about in order of their times.
func (s *shard) dropDeadLocked(now time.Time) {
	for e := s.live.tail; e != nil && !now.Before(e.object.deadAt(s.partTTL)); e = s.live.tail {
		s.removeLocked(e)
	}
}

func (s *shard) evictLocked() {
	switch {
	case s.live.bytes > s.max/4:
		s.removeLocked(s.live.tail)
	case s.small.bytes > s.max/10 || s.main.tail == nil:
		e := s.small.tail
		if e.hits > 0 {
			e.hits = 0
			s.small.remove(e)
			s.main.push(e)
			return
		}
		s.removeLocked(e)
		s.rememberLocked(e.hash)
	default:
		e := s.main.tail
		if e.hits > 0 {
			e.hits--
			s.main.remove(e)
			s.main.push(e)
			return
		}
		s.removeLocked(e)
	}
}

func (s *shard) rememberLocked(hash uint64) {
	s.drops++
	s.ghost[hash] = s.drops
	keep := uint64(max(1024, len(s.items)))
	if uint64(len(s.ghost)) < 2*keep {
		return
	}
	for h, at := range s.ghost {
		if at+keep < s.drops {
			delete(s.ghost, h)
		}
	}
}
