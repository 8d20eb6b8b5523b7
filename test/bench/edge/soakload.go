//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// The clients of a soak, by kind, and how many there are of each.
const (
	soakHot     = 200
	soakLive    = 500
	soakCold    = 16
	soakSlow    = 100
	soakBroken  = 16
	soakLeaving = 16
)

// soakKinds are what is counted.
var soakKinds = []string{
	"answers from the cache", "live parts", "cold objects", "bytes read slowly", "objects read slowly to their end",
	"broken clients", "clients that left",
}

// count is one kind's, in figures that many clients add to.
type count struct{ atomic.Int64 }

// soakLoad is all clients of a soak.
type soakLoad struct {
	port   int
	until  time.Time
	ticks  int
	copies bool

	mu       sync.Mutex
	counts   map[string]*count
	failures map[string]int
	delays   []int64
}

func (l *soakLoad) count(kind string) *count {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[kind] == nil {
		l.counts[kind] = new(count)
	}
	return l.counts[kind]
}

// answers are the good ones of all who count them.
func (l *soakLoad) answers() int64 {
	return l.count(soakKinds[0]).Load() + l.count(soakKinds[1]).Load() + l.count(soakKinds[2]).Load()
}

func (l *soakLoad) fail(kind string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) < 100 {
		l.failures[kind+": "+err.Error()]++
	}
}

func (l *soakLoad) tell(r *soakResult) {
	for _, kind := range soakKinds {
		r.Clients[kind] = l.count(kind).Load()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Failures = l.failures
	r.LiveP50, r.LiveP99, r.LiveMax = percentiles(l.delays)
}

// run has all clients at work until the time is up.
func (l *soakLoad) run(ctx context.Context) error {
	var group sync.WaitGroup
	errs := make(chan error, 3)
	for kind, start := range map[string]func(context.Context) error{"hot": l.hot, "live": l.live, "cold": l.cold} {
		group.Go(func() {
			if err := start(ctx); err != nil {
				errs <- fmt.Errorf("%s clients: %w", kind, err)
			}
		})
	}
	for n, f := range map[int]func(context.Context, *rand.Rand){1: l.slow, 2: l.broken, 3: l.leave} {
		for i := range map[int]int{1: soakSlow, 2: soakBroken, 3: soakLeaving}[n] {
			group.Go(func() {
				random := rand.New(rand.NewPCG(uint64(n), uint64(i)))
				for ctx.Err() == nil && time.Now().Before(l.until) {
					f(ctx, random)
				}
			})
		}
	}
	group.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// loop runs connections of one kind and takes down what failed.
func (l *soakLoad) loop(ctx context.Context, kind string, n int, first func(int) request,
	next func(int, reply) request) error {
	client, err := dial(ctx, l.port, n, l.copies)
	if err != nil {
		return err
	}
	defer client.close()
	err = client.run(ctx, l.until, first, next)
	for what, times := range client.failures {
		for range times {
			l.fail(kind, errors.New(what))
		}
	}
	return err
}

// hot asks for objects that are in the cache, most of them again and again.
func (l *soakLoad) hot(ctx context.Context) error {
	const objects = 64
	random := rand.New(rand.NewPCG(4, 4))
	good := l.count("answers from the cache")
	pick := func() request {
		class, n := 1, 1+random.IntN(objects)
		switch random.IntN(16) {
		case 0:
			class, n = 2, 1+random.IntN(8)
		case 1, 2, 3, 4:
			class = 0
		}
		r := newRequest(staticPath(class, n), uint64(class*classOf+n), sizes[class])
		r.whole = random.IntN(16) == 0
		return r
	}
	return l.loop(ctx, "hot", soakHot, func(int) request { return pick() }, func(int, reply) request {
		good.Add(1)
		return pick()
	})
}

// live waits for each part of the live stream.
func (l *soakLoad) live(ctx context.Context) error {
	good := l.count("live parts")
	seen := make([]int, soakLive)
	delays := make([]int64, 0, soakLive*l.ticks)
	requests := tickRequests("part", l.ticks)
	err := l.loop(ctx, "live", soakLive, func(int) request { return requests[0] }, func(i int, r reply) request {
		good.Add(1)
		delays = append(delays, r.at-r.released)
		if seen[i]++; seen[i] == l.ticks {
			return request{}
		}
		following := requests[seen[i]]
		following.whole = (i+seen[i])%16 == 0
		return following
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = delays
	return err
}

// cold asks for objects that nobody asked for yet, and for those of some time ago, so that all tiers have to let go.
func (l *soakLoad) cold(ctx context.Context) error {
	const back = 400 // that many objects ago
	good := l.count("cold objects")
	random := rand.New(rand.NewPCG(5, 5))
	newest := 1_000_000
	pick := func(int) request {
		n := newest
		if newest++; random.IntN(2) == 0 && newest > 1_000_000+back {
			n = newest - random.IntN(back)
		}
		class := n % 3 // so that a number is always of the same size
		r := newRequest(staticPath(class, n), uint64(class*classOf+n), sizes[class])
		r.whole = true
		return r
	}
	return l.loop(ctx, "cold", soakCold, pick, func(i int, _ reply) request {
		good.Add(1)
		return pick(i)
	})
}
