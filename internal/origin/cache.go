package origin

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// maxFetches bounds how many things one cache fetches at a time, so that requests for a thousand unknown recordings do
// not become a thousand reads.
const maxFetches = 64

// cache holds what is fetched, errors too, for a while: bounded by cost, the least recently used goes first. Requests
// for the same key share one fetch, which is detached from them.
type cache[K comparable, V any] struct {
	// fetch gets the value of a key; had says that old is the value from before.
	fetch   func(ctx context.Context, key K, old V, had bool) fetched[V]
	timeout time.Duration
	max     int64
	slots   chan struct{} // bounds the fetches under way
	// queue bounds the fetches that are under way or wait for a slot; zero does not.
	queue int

	mu struct {
		sync.Mutex
		items map[K]*list.Element // of *item[K, V]
		order *list.List          // most recently used first
		used  int64
		// flights is the number of fetches under way or waiting.
		flights int
	}
}

type fetched[V any] struct {
	value V
	err   error
	cost  int64
	ttl   time.Duration
}

// item is one key's. Its fields are guarded by the cache's mu, also when it was evicted.
type item[K comparable, V any] struct {
	key    K
	got    fetched[V]
	until  time.Time
	flight chan struct{} // closed when the fetch under way ends; nil without one
	// expired: what the fetch under way brings is for those who wait for it, and for no one after.
	expired bool
}

func newCache[K comparable, V any](
	limit int64, timeout time.Duration, fetch func(ctx context.Context, key K, old V, had bool) fetched[V],
) *cache[K, V] {
	c := &cache[K, V]{fetch: fetch, timeout: timeout, max: limit, slots: make(chan struct{}, maxFetches)}
	c.mu.items = make(map[K]*list.Element)
	c.mu.order = list.New()
	return c
}

// get gives the value, fetching it if there is none or its time is over. errBusy: too many others wait to be fetched.
func (c *cache[K, V]) get(ctx context.Context, key K) (V, error) {
	c.mu.Lock()
	el, ok := c.mu.items[key]
	full := c.queue > 0 && c.mu.flights >= c.queue
	if !ok && full {
		c.mu.Unlock()
		var none V
		return none, errBusy
	}
	if !ok {
		el = c.mu.order.PushFront(&item[K, V]{key: key})
		c.mu.items[key] = el
	}
	c.mu.order.MoveToFront(el)
	it := el.Value.(*item[K, V])
	if it.flight == nil && time.Now().Before(it.until) {
		defer c.mu.Unlock()
		return it.got.value, it.got.err
	}
	if it.flight == nil && full {
		c.mu.Unlock()
		var none V
		return none, errBusy
	}
	if it.flight == nil {
		c.mu.flights++
		it.flight = make(chan struct{})
		had := !it.until.IsZero() && it.got.err == nil
		go c.run(context.WithoutCancel(ctx), it, it.got.value, had)
	}
	flight := it.flight
	c.mu.Unlock()

	select {
	case <-flight:
	case <-ctx.Done():
		var none V
		return none, errLeft
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return it.got.value, it.got.err
}

// peek gives the value that is there, however old.
func (c *cache[K, V]) peek(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.mu.items[key]
	if !ok {
		return value, false
	}
	it := el.Value.(*item[K, V])
	return it.got.value, !it.until.IsZero() && it.got.err == nil
}

// expire has the next request fetch the value anew. A fetch that is under way began before, so it is not believed.
func (c *cache[K, V]) expire(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.mu.items[key]; ok {
		it := el.Value.(*item[K, V])
		it.expired = it.flight != nil
		if !it.until.IsZero() {
			it.until = time.Unix(0, 0)
		}
	}
}

func (c *cache[K, V]) run(ctx context.Context, it *item[K, V], old V, had bool) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	got := fetched[V]{value: old, err: errBusy}
	select {
	case c.slots <- struct{}{}:
		done := make(chan fetched[V], 1)
		go func() {
			defer func() { <-c.slots }()
			done <- c.fetch(ctx, it.key, old, had)
		}()
		late := time.NewTimer(c.timeout + c.timeout/4)
		defer late.Stop()
		select {
		case got = <-done:
		case <-late.C: // it hangs in a call that knows no context
		}
	case <-ctx.Done():
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.mu.items[it.key]; ok && el.Value == any(it) {
		c.mu.used += got.cost - it.got.cost
	}
	it.got, it.until = got, time.Now().Add(got.ttl)
	if it.expired {
		it.until, it.expired = time.Unix(0, 0), false
	}
	close(it.flight)
	it.flight = nil
	c.mu.flights--
	c.evictLocked()
}

func (c *cache[K, V]) evictLocked() {
	for el := c.mu.order.Back(); el != nil && c.mu.used > c.max && c.mu.order.Len() > 1; {
		it, prev := el.Value.(*item[K, V]), el.Prev()
		if it.flight == nil {
			c.mu.used -= it.got.cost
			delete(c.mu.items, it.key)
			c.mu.order.Remove(el)
		}
		el = prev
	}
}
