package slab

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// least is the smallest body that is worth pages of its own: below, the runtime's allocator has classes that waste
	// less, and is quicker.
	least = 32 << 10
	// slack is what may be in use beyond what is alive before a collection, at the least; above that it is an eighth.
	slack = 4 << 20
	// share is the part of the time that forced collections may take,
	share = 5
	// urgent unless so much more is in use than should be, or a quarter of that: how fast bodies come and go must not say
	// how much memory they take.
	urgent = 16 << 20
	// quarantine is how many bytes a strict arena keeps overwritten before it gives them out again.
	quarantine = 64 << 20
)

// Arena gives buffers. It needs no Close: its file goes when neither it nor a buffer of it is reachable.
type Arena struct {
	least  int
	strict bool

	open      sync.Once
	memory    atomic.Pointer[memory] // nil before the first use, and if there is none to have
	fallbacks atomic.Int64
}

// New makes an arena, which takes no memory before it is asked for some.
func New() *Arena { return &Arena{least: least} }

// NewStrict makes an arena for tests: all sizes are from the memory file, and what is freed is overwritten at once and
// for long, so that who reads without holding the buffer reads nonsense.
func NewStrict() *Arena { return &Arena{least: 1, strict: true} }

// Get gives a buffer of at least size bytes, whose content is undefined.
func (a *Arena) Get(size int) *Buffer {
	if size < a.least {
		return Heap(size)
	}
	a.open.Do(func() { a.memory.Store(newMemory(a.strict)) })
	if m := a.memory.Load(); m != nil {
		if b := m.get(size); b != nil {
			return b
		}
	}
	a.fallbacks.Add(1)
	return Heap(size)
}

// Stats is what an arena did and has.
type Stats struct {
	// Used is the bytes of the memory file that buffers have, those included that nobody holds but the collector has not
	// found yet. Idle is those that wait for another buffer. Together they are the file's resident memory.
	Used, Idle int64
	// Buffers is how many have Used.
	Buffers int64
	// Collections is how often the collector was made to run. Fallbacks is how many buffers are ordinary memory because
	// there was no other.
	Collections, Fallbacks int64
}

// Stats gives the arena's.
func (a *Arena) Stats() Stats {
	s := Stats{Fallbacks: a.fallbacks.Load()}
	if m := a.memory.Load(); m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		s.Used, s.Idle, s.Buffers = m.mu.used, m.mu.idleBytes, m.mu.buffers
		s.Collections = m.mu.collections
	}
	return s
}

// Collect says that much of what the arena gave was let go just now, and has the collector run soon. Without it that
// memory is free when the next collection comes, which of a program at rest may be minutes away.
func (a *Arena) Collect() {
	if m := a.memory.Load(); m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.again = m.mu.collecting
		m.collectLocked()
	}
}

// memory is what an arena and its buffers share.
type memory struct {
	file   *file
	strict bool

	hurry chan struct{} // ends the rest before a collection

	mu struct {
		sync.Mutex
		places      *extents
		idle        map[int][]idleRun // by pages, the oldest first
		idleBytes   int64
		turn        int64 // counts runs that became idle
		used        int64
		buffers     int64
		trigger     int64 // of used, to collect
		collecting  bool
		again       bool          // what was let go meanwhile may have been missed
		rest        time.Duration // before the next collection
		ended       time.Time     // when the last one did
		collections int64
		jailed      []run // strict: overwritten
		jailedBytes int64
	}

	dead struct {
		sync.Mutex
		places  []*place
		freeing bool
	}
}

// run is a run of pages of the file.
type run struct{ at, pages int }

// place is a buffer's.
type place struct {
	run
	exposed atomic.Bool // the kernel may have pages of it
}

func (r run) bytes() int64 { return int64(r.pages) * pageBytes }

type idleRun struct {
	at   int
	turn int64
}

func newMemory(strict bool) *memory {
	f, err := openFile()
	if err != nil {
		return nil // said by Stats: all is fallbacks
	}
	m := &memory{file: f, strict: strict, hurry: make(chan struct{}, 1)}
	m.mu.places = newExtents(len(f.mapping) / pageBytes)
	m.mu.idle = make(map[int][]idleRun)
	m.mu.trigger = slack
	runtime.AddCleanup(m, (*file).close, f)
	return m
}

// get gives a buffer, or nil: there is no memory to have.
func (m *memory) get(size int) *Buffer {
	r := &place{run: run{pages: classOf((size + pageBytes - 1) / pageBytes)}}
	m.mu.Lock()
	kept := m.mu.idle[r.pages]
	if n := len(kept); n > 0 {
		r.at = kept[n-1].at
		m.mu.idle[r.pages] = kept[:n-1]
		m.mu.idleBytes -= r.bytes()
	} else if !m.takeLocked(&r.run) {
		m.mu.Unlock()
		return nil
	} else if evicted := m.evictLocked(r.bytes()); !m.commitUnlock(r.run, evicted) {
		return nil
	}
	m.mu.used += r.bytes()
	m.mu.buffers++
	if m.mu.used > m.mu.trigger {
		m.collectLocked()
	}
	if m.mu.used > m.mu.trigger+max(urgent, m.mu.trigger/4) {
		select {
		case m.hurry <- struct{}{}:
		default:
		}
	}
	m.mu.Unlock()
	from, to := r.at*pageBytes, (r.at+r.pages)*pageBytes
	b := &Buffer{bytes: m.file.mapping[from:to:to], memory: m, place: r}
	runtime.AddCleanup(b, m.free, r)
	return b
}

func (m *memory) takeLocked(r *run) (ok bool) {
	r.at, ok = m.mu.places.take(r.pages)
	return ok
}

// commitUnlock gives what was evicted back and the run its pages, without the lock meanwhile. When it fails the lock is
// not held any more.
func (m *memory) commitUnlock(r run, evicted []run) bool {
	m.mu.Unlock()
	m.punch(evicted)
	err := m.file.commit(int64(r.at)*pageBytes, r.bytes())
	m.mu.Lock()
	if err == nil {
		return true
	}
	m.mu.places.give(r.at, r.pages) // a commit that fails leaves nothing
	m.collectLocked()
	m.mu.Unlock()
	return false
}

// evictLocked takes idle runs out, the oldest first, until there is room for more bytes under the trigger.
func (m *memory) evictLocked(more int64) []run {
	var evicted []run
	for m.mu.idleBytes > 0 && m.mu.used+m.mu.idleBytes+more > m.mu.trigger {
		oldest := 0
		for pages, kept := range m.mu.idle {
			if len(kept) == 0 {
				delete(m.mu.idle, pages)
			} else if oldest == 0 || kept[0].turn < m.mu.idle[oldest][0].turn {
				oldest = pages
			}
		}
		kept := m.mu.idle[oldest]
		m.mu.idle[oldest] = kept[1:]
		m.mu.idleBytes -= int64(oldest) * pageBytes
		evicted = append(evicted, run{at: kept[0].at, pages: oldest})
	}
	return evicted
}

// free is told of a run whose buffer is unreachable. It is called where it must not block.
func (m *memory) free(r *place) {
	m.dead.Lock()
	defer m.dead.Unlock()
	m.dead.places = append(m.dead.places, r)
	if !m.dead.freeing {
		m.dead.freeing = true
		go m.freeAll()
	}
}

// freeAll frees what there is, and ends.
func (m *memory) freeAll() {
	for {
		m.dead.Lock()
		places := m.dead.places
		m.dead.places = nil
		if len(places) == 0 {
			m.dead.freeing = false
			m.dead.Unlock()
			return
		}
		m.dead.Unlock()
		m.bury(places)
	}
}

// bury keeps the runs of buffers that are gone as idle, or punches them.
func (m *memory) bury(places []*place) {
	var gone []run
	m.mu.Lock()
	for _, r := range places {
		m.mu.used -= r.bytes()
		m.mu.buffers--
	}
	m.mu.trigger = min(m.mu.trigger, triggerOf(m.mu.used))
	for _, r := range places {
		if r.exposed.Load() || m.strict || m.mu.used+m.mu.idleBytes+r.bytes() > m.mu.trigger {
			gone = append(gone, r.run)
			continue
		}
		m.mu.turn++
		m.mu.idle[r.pages] = append(m.mu.idle[r.pages], idleRun{r.at, m.mu.turn})
		m.mu.idleBytes += r.bytes()
	}
	gone = append(gone, m.evictLocked(0)...)
	m.mu.Unlock()
	if m.strict {
		gone = m.jail(gone)
	}
	m.punch(gone)
}

// triggerOf gives at which bytes in use there is a collection, when so many are alive.
func triggerOf(alive int64) int64 { return alive + max(slack, alive/8) }

// punch takes runs' pages away, neighbours' at once, and gives their places back. Where that fails the place is lost,
// for the pages may be the kernel's.
func (m *memory) punch(runs []run) {
	slices.SortFunc(runs, func(a, b run) int { return a.at - b.at })
	for i := 0; i < len(runs); {
		at, pages := runs[i].at, 0
		for ; i < len(runs) && runs[i].at == at+pages; i++ {
			pages += runs[i].pages
		}
		if err := m.file.punch(int64(at)*pageBytes, int64(pages)*pageBytes); err != nil {
			continue
		}
		m.mu.Lock()
		m.mu.places.give(at, pages)
		m.mu.Unlock()
	}
}

// jail overwrites runs with new pages, and gives those back that were so for long.
func (m *memory) jail(runs []run) (old []run) {
	for _, r := range runs {
		from, n := r.at*pageBytes, r.pages*pageBytes
		if m.file.punch(int64(from), int64(n)) == nil {
			for i := range m.file.mapping[from : from+n] {
				m.file.mapping[from+i] = 0xdb
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.jailed = append(m.mu.jailed, runs...)
	for _, r := range runs {
		m.mu.jailedBytes += r.bytes()
	}
	for m.mu.jailedBytes > quarantine {
		old = append(old, m.mu.jailed[0])
		m.mu.jailedBytes -= m.mu.jailed[0].bytes()
		m.mu.jailed = m.mu.jailed[1:]
	}
	return old
}

// collectLocked has the collector run, unless it is about to.
func (m *memory) collectLocked() {
	if !m.mu.collecting {
		m.mu.collecting = true
		go m.collect(m.mu.rest - time.Since(m.mu.ended))
	}
}

// collect runs the collector after a rest. What it frees lowers the trigger again (bury).
func (m *memory) collect(rest time.Duration) {
	select {
	case <-time.After(rest):
	case <-m.hurry:
	}
	began := time.Now()
	runtime.GC()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.ended = time.Now()
	m.mu.rest = (share - 1) * m.mu.ended.Sub(began)
	m.mu.collecting = false
	m.mu.collections++
	m.mu.trigger = triggerOf(m.mu.used)
	select {
	case <-m.hurry: // it was for this one
	default:
	}
	if m.mu.again {
		m.mu.again = false
		m.collectLocked()
	}
}
