package cacheproxy

import (
	stdlist "container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// ref is a request of a trace: for an object that is so large.
type ref struct {
	id   int
	kind kind
	size int
}

// traces are loads that an edge sees, for a cache of 32 MiB.
func traces() map[string][]ref {
	r := rand.New(rand.NewPCG(1, 2))
	popular := func(n int) func() int { // Zipf with an exponent of 0.9, which rand.Zipf does not have
		sums := make([]float64, n)
		sum := 0.0
		for i := range sums {
			sum += math.Pow(float64(i+1), -0.9)
			sums[i] = sum
		}
		return func() int {
			want, lo, hi := r.Float64()*sum, 0, n-1
			for lo < hi {
				if mid := (lo + hi) / 2; sums[mid] < want {
					lo = mid + 1
				} else {
					hi = mid
				}
			}
			return lo
		}
	}
	mixed := func(id int) int { return 1 << 10 << (uint(id) * 2654435761 >> 7 % 11) } // 1 KiB to 1 MiB
	const n = 16_000
	all := make(map[string][]ref)
	// Two of three requests are for a catalogue of 240 MB, the third for what nobody asks for again.
	hot := popular(4000)
	for i := range n {
		if i%3 == 2 {
			all["scan"] = append(all["scan"], ref{1_000_000 + i, kindSegment, 60_000})
		} else {
			all["scan"] = append(all["scan"], ref{hot(), kindSegment, 60_000})
		}
	}
	// A live stream, each part by ten viewers, and as many requests for recordings.
	for i := range n {
		if i%2 == 0 {
			all["live and recordings"] = append(all["live and recordings"], ref{2_000_000 + i/20, kindPart, 100_000})
		} else {
			all["live and recordings"] = append(all["live and recordings"], ref{hot(), kindSegment, 60_000})
		}
	}
	for range n {
		id := hot()
		all["sizes"] = append(all["sizes"], ref{id, kindSegment, mixed(id)})
	}
	return all
}

// lru is the plain cache that others are held against.
type lru struct {
	max, bytes int64
	order      stdlist.List
	items      map[int]*stdlist.Element
}

func (l *lru) ask(r ref) bool {
	if e := l.items[r.id]; e != nil {
		l.order.MoveToFront(e)
		return true
	}
	l.items[r.id] = l.order.PushFront(r)
	for l.bytes += int64(r.size); l.bytes > l.max; {
		old := l.order.Remove(l.order.Back()).(ref)
		delete(l.items, old.id)
		l.bytes -= int64(old.size)
	}
	return false
}

// ideal gives the hits of who knows the future: it drops what is needed latest (Belady), or does not take it.
func ideal(trace []ref, limit int64) (hits int) {
	next := make([]int, len(trace))
	later := make(map[int]int)
	for i := len(trace) - 1; i >= 0; i-- {
		next[i] = len(trace)
		if at, ok := later[trace[i].id]; ok {
			next[i] = at
		}
		later[trace[i].id] = i
	}
	type held struct{ at, size int }
	items := make(map[int]held)
	bytes := int64(0)
	for i, r := range trace {
		if h, ok := items[r.id]; ok {
			hits++
			bytes -= int64(h.size)
		}
		items[r.id] = held{next[i], r.size}
		bytes += int64(r.size)
		for bytes > limit {
			worst := r.id
			for id, h := range items {
				if h.at > items[worst].at {
					worst = id
				}
			}
			bytes -= int64(items[worst].size)
			delete(items, worst)
		}
	}
	return hits
}

// Of each load, most hits that are to be had are hits, and more than of an LRU where much is asked for once.
func TestAdmissionOverTraces(t *testing.T) {
	const limit = 32 << 20
	blank := make([]byte, 1<<20)
	for name, trace := range traces() {
		c := newCache(limit, 30*time.Second)
		l := &lru{max: limit, items: make(map[int]*stdlist.Element)}
		now := time.Unix(1e9, 0)
		var own, simple int
		for _, r := range trace {
			now = now.Add(time.Millisecond)
			k := mediaKey(fmt.Sprintf("/a/b/c/%d", r.id))
			if c.get(k) != nil {
				own++
			} else {
				o := testObject(r.kind, 0, time.Hour, now)
				o.chunks[0].Data = blank[:r.size:r.size]
				c.put(k, o, now)
			}
			if l.ask(r) {
				simple++
			}
		}
		c.check(t)
		best := ideal(trace, limit)
		rate := func(hits int) float64 { return 100 * float64(hits) / float64(len(trace)) }
		t.Logf("%s: %.1f %% hits, an LRU %.1f %%, the ideal %.1f %%", name, rate(own), rate(simple), rate(best))
		if own < best*3/4 {
			t.Errorf("%s: %.1f %% hits of the %.1f %% that are to be had", name, rate(own), rate(best))
		}
		if own < simple || strings.HasPrefix(name, "scan") && own < simple*11/10 {
			t.Errorf("%s: %.1f %% hits, an LRU has %.1f %%", name, rate(own), rate(simple))
		}
	}
}
