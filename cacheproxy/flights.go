package cacheproxy

import (
	"context"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// flights are the fetches under way: one per key, and where edges ask each other one more for those that ask fewer.
type flights struct {
	mu     sync.Mutex
	live   map[key]*flight
	max    int
	arena  *slab.Arena
	parted map[*flight]bool // that nobody joins any more
}

// join joins a flight of the key's that asks nobody but whom its caller may ask, if there is one.
func (fs *flights) join(k key, may asks) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.joinLocked(k, may)
}

func (fs *flights) joinLocked(k key, may asks) *flight {
	for f := fs.live[k]; f != nil; f = f.next {
		if f.asks&^may == 0 && f.join() {
			return f
		}
	}
	return nil
}

func newFlights(most int, arena *slab.Arena) flights {
	return flights{live: make(map[key]*flight), parted: make(map[*flight]bool), max: most, arena: arena}
}

// take joins the key's flight or makes one, which cancel cuts and which the caller must then fly. May is whom the
// caller may ask, and way whom the flight would. Second looks into the cache again before a flight is made, since one
// may have ended after the first look: what it finds is given back.
func (fs *flights) take(
	k key, may asks, way plan, cancel context.CancelCauseFunc, linger time.Duration, second func() *object,
) (f *flight, made bool, o *object, err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.joinLocked(k, may); f != nil {
		return f, false, nil, nil
	}
	if o = second(); o != nil {
		return nil, false, o, nil
	}
	if len(fs.live) >= fs.max {
		return nil, false, nil, errBusy
	}
	f = newFlight(k, fs.arena, cancel, linger)
	f.join()
	f.plan, f.asks, f.next = way, way.asks, fs.live[k]
	fs.live[k] = f
	return f, true, nil, nil
}

// narrow notes that a flight asks nobody else any more. If there is one of its key already that does not either, the
// caller has joined that, and is to wait for it instead.
func (fs *flights) narrow(f *flight, to asks) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.asks&^to == 0 {
		return nil
	}
	for other := fs.live[f.key]; other != nil; other = other.next {
		if other != f && other.asks&^to == 0 && other.join() {
			return other
		}
	}
	f.asks &= to
	return nil
}

// part has nobody join the fetches of a URI that are under way any more.
func (fs *flights) part(uri string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for k, f := range fs.live {
		if uriOf(k) == uri {
			delete(fs.live, k)
			for ; f != nil; f = f.next {
				fs.parted[f] = true
			}
		}
	}
}

// land takes a flight that has ended, and whose object is in the cache, out of the map.
func (fs *flights) land(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.parted, f)
	first := fs.live[f.key]
	switch {
	case first == nil:
	case first != f:
		for ; first.next != nil; first = first.next {
			if first.next == f {
				first.next = f.next
				return
			}
		}
	case f.next == nil:
		delete(fs.live, f.key)
	default:
		fs.live[f.key] = f.next
	}
}

func (fs *flights) all() []*flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	all := make([]*flight, 0, len(fs.live))
	for _, f := range fs.live {
		for ; f != nil; f = f.next {
			all = append(all, f)
		}
	}
	for f := range fs.parted {
		all = append(all, f)
	}
	return all
}
