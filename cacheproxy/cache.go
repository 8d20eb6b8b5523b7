package cacheproxy

import (
	"hash/maphash"
	"strings"
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
	// refused says of a path that nothing of it may be kept; nil refuses nothing.
	refused func(path string, now time.Time) bool
	// again is told of what is asked for a second time, and of what was and leaves: then with the shard's lock held. Nil
	// is told nothing.
	again func(k key, o *object)
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
			freed: func(int64) {},
			items: make(map[key]*entry), groups: make(map[string]*group), ghost: make(map[uint64]uint64),
		}
	}
	return c
}

// onFreed sets who is told of bytes that left without others in their place. Call it before the cache is used.
func (c *cache) onFreed(freed func(bytes int64)) {
	for _, s := range c.shards {
		s.freed = freed
	}
}

// tell sets who is told of what is asked for again. Call it before the cache is used.
func (c *cache) tell(again func(k key, o *object)) {
	c.again = again
	for _, s := range c.shards {
		s.again = again
	}
}

func (c *cache) hash(k key) uint64 { return maphash.Comparable(c.seed, k) }

// shard gives the key's by its path alone, which is most of it and quick to hash.
func (c *cache) shard(k key) *shard {
	if len(c.shards) == 1 {
		return c.shards[0]
	}
	return c.shards[maphash.String(c.seed, k.path)%uint64(len(c.shards))]
}

// get gives what is there, fresh or not.
func (c *cache) get(k key) *object {
	o, _ := c.look(k)
	return o
}

// look is get, and gives too when the object's group was vouched for last, if ever.
func (c *cache) look(k key) (o *object, vouched time.Time) {
	s := c.shard(k)
	s.mu.Lock()
	e := s.items[k]
	if e == nil {
		s.mu.Unlock()
		return nil, vouched
	}
	second := e.hits == 0
	e.hits = min(e.hits+1, 3)
	if o = e.object.found(); o == nil {
		s.removeLocked(e)
		s.mu.Unlock()
		return nil, vouched
	}
	vouched = e.group.vouched
	s.mu.Unlock()
	if second && c.again != nil {
		c.again(k, o)
	}
	return o, vouched
}

// vouch notes that what the key names was there at that time, for all objects of its group that are beside it.
func (c *cache) vouch(k key, at time.Time) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[groupOf(k.path)]; g != nil && g.vouched.Before(at) {
		g.vouched = at
	}
}

// drop takes a group's objects out, or only its playlists, and says how many they were. It looks at no others.
func (c *cache) drop(name string, playlists bool) int {
	n := 0
	for _, s := range c.shards {
		s.mu.Lock()
		before := s.bytesLocked()
		var next *entry
		if g := s.groups[name]; g != nil {
			next = g.first
		}
		for e := next; e != nil; e = next {
			next = e.after
			if !playlists || e.object.kind.text() {
				s.removeLocked(e)
				n++
			}
		}
		bytes := before - s.bytesLocked()
		s.mu.Unlock()
		s.freed(bytes)
	}
	return n
}

// put keeps the object, or not: one that would take more than an eighth of its shard is turned away, and what refused
// names. It is asked with the shard's lock held, so that nothing is put in behind a drop that follows the refusal.
func (c *cache) put(k key, o *object, now time.Time) { c.putIf(k, o, now, nil) }

// putIf is put, if with the shard's lock held something is so; nil is always so.
func (c *cache) putIf(k key, o *object, now time.Time, still func() bool) {
	hash := c.hash(k)
	s := c.shard(k)
	e := &entry{key: k, hash: hash, object: o, size: o.weight() + int64(len(k.path)), live: o.live()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if still != nil && !still() {
		return
	}
	var vouched time.Time
	if old := s.items[k]; old != nil {
		e.hits, vouched = old.hits, old.group.vouched
		s.removeLocked(old)
	}
	s.dropDeadLocked(now)
	if e.size > s.max/8 || c.refused != nil && c.refused(k.path, now) {
		return
	}
	s.items[k] = e
	s.joinLocked(e)
	if e.group.vouched.IsZero() { // the old object may have been all of the group
		e.group.vouched = vouched
	}
	switch {
	case e.live:
		s.live.push(e)
		s.sweepLaterLocked(now)
	case s.ghost[hash] != 0:
		delete(s.ghost, hash)
		s.main.push(e)
		s.tellLocked(e)
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

	group         *group
	before, after *entry // in the group
}

// group is a recording's entries in one shard, or those of a stream's own URL.
type group struct {
	name    string
	first   *entry
	vouched time.Time // when the recording was last known to be there
}

// groupOf gives the name of a path's group: its first three elements, or, of a stream's own URL, two.
func groupOf(path string) string {
	at := 0
	for n := 0; n < 3; n++ {
		i := strings.IndexByte(path[min(at+1, len(path)):], '/')
		if i < 0 {
			return path[:at]
		}
		at += 1 + i
	}
	return path[:at]
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
	freed   func(bytes int64)
	again   func(k key, o *object) // as the cache's

	mu                sync.Mutex
	sweeping          bool // a timer is set
	items             map[key]*entry
	groups            map[string]*group
	live, small, main queue
	// ghost maps a dropped hash to when it was dropped, in drops; the map is rebuilt when it holds twice the items.
	ghost map[uint64]uint64
	drops uint64
}

func (s *shard) bytesLocked() int64 { return s.live.bytes + s.small.bytes + s.main.bytes }

func (s *shard) joinLocked(e *entry) {
	name := groupOf(e.key.path)
	g := s.groups[name]
	if g == nil {
		g = &group{name: strings.Clone(name)}
		s.groups[g.name] = g
	}
	e.group, e.after = g, g.first
	if g.first != nil {
		g.first.before = e
	}
	g.first = e
}

func (s *shard) leaveLocked(e *entry) {
	g := e.group
	if e.before != nil {
		e.before.after = e.after
	} else {
		g.first = e.after
	}
	if e.after != nil {
		e.after.before = e.before
	}
	e.group, e.before, e.after = nil, nil, nil
	if g.first == nil {
		delete(s.groups, g.name)
	}
}

func (s *shard) removeLocked(e *entry) {
	e.queue.remove(e)
	s.leaveLocked(e)
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
		s.tellLocked(e)
	}
}

func (s *shard) tellLocked(e *entry) {
	if s.again != nil {
		s.again(e.key, e.object)
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
