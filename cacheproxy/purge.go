package cacheproxy

import (
	"maps"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// purgeAgain is when a purge is done once more: until then another edge, or a node, may have given what it had not
// purged yet.
const purgeAgain = 2 * time.Second

// Purge forgets what is cached, in memory and beyond it, of a publisher; if that is named, of one of its streams only;
// and so of one recording. What was asked for by then and is under way is not kept, and nobody joins it.
func (p *Proxy) Purge(publisher, stream string, id media.RecordingID) {
	scope := scopeOf(publisher, stream, id)
	n := p.purge(scope, time.Time{})
	p.logger.Info("purged", "publisher", publisher, "stream", stream, "recording", id, "dropped", n)
	time.AfterFunc(purgeAgain, func() { p.purge(scope, time.Time{}) })
}

// purge forgets what came by a time, or, if that is zero, by now, and says how many objects of memory that were.
func (p *Proxy) purge(scope string, until time.Time) int {
	// In this order: a fetch that found itself unmarked has put its object where it is found now.
	p.flights.purge(scope)
	if until.IsZero() {
		until = time.Now()
	}
	if !p.purges.note(scope, until) {
		return 0
	}
	p.config.OnPurge(scope, until)
	p.fronts.purge(scope)
	n := p.cache.purge(scope, until)
	p.metrics.purges.Inc()
	p.metrics.evictions.Add(float64(n))
	return n
}

// purge takes the objects out that a scope covers and that were received by then, and says how many they were.
func (c *cache) purge(scope string, until time.Time) int {
	n := 0
	for _, s := range c.shards {
		n += s.purge(scope, until)
	}
	return n
}

func (s *shard) purge(scope string, until time.Time) int {
	s.mu.Lock()
	before := s.bytesLocked()
	n := 0
	for _, name := range slices.Collect(maps.Keys(s.groups)) {
		if !covers(scope, name) {
			continue
		}
		for e := s.groups[name].first; e != nil; {
			next := e.after
			if !e.object.made().After(until) {
				s.removeLocked(e)
				n++
			}
			e = next
		}
	}
	bytes := before - s.bytesLocked()
	s.mu.Unlock()
	s.freed(bytes)
	return n
}

// purge has nobody join the fetches that a scope covers, and what they bring not kept.
func (fs *flights) purge(scope string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for k, f := range fs.live {
		if !covers(scope, k.path) {
			continue
		}
		delete(fs.live, k)
		for ; f != nil; f = f.next {
			f.purged.Store(true)
			fs.parted[f] = true
		}
	}
	for f := range fs.parted {
		if covers(scope, f.key.path) {
			f.purged.Store(true)
		}
	}
}

// purge forgets the newest versions that were seen: who purges means to begin anew.
func (f *fronts) purge(scope string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, lists := range []map[list]*front{f.lists.young, f.lists.old} {
		maps.DeleteFunc(lists, func(l list, _ *front) bool { return covers(scope, l.path) })
	}
}

// keepFlown puts what a fetch brought into the cache, unless it was purged meanwhile.
func (p *Proxy) keepFlown(f *flight, o *object, said time.Time) {
	late := o.way.peered() && p.spoilt(f.key.path, o.made()) // of an edge that had not purged yet
	if o.policy.lifetime > 0 && !f.purged.Load() && !late {
		p.cache.putIf(f.key, o.kept(), time.Now(), func() bool { return !f.purged.Load() })
		if !said.IsZero() {
			p.cache.vouch(f.key, said)
		}
		if f.shared.Load() {
			p.keep(f.key, o)
		}
	}
	if f.purged.Load() && o.kind.text() { // it was noted on its way here, and may have been put under another key too
		p.fronts.purge(f.key.path[1:])
		p.cache.drop(groupOf(f.key.path), true)
	}
}

// spoilt says whether what was received at that time was purged since.
func (p *Proxy) spoilt(path string, received time.Time) bool {
	at := p.purges.Since(path)
	return !at.IsZero() && !received.After(at)
}
