package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inPool runs a test in a bubble, with a pool.
func inPool(t *testing.T, name string, config Config, f func(t *testing.T, p *Pool)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := New(config, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
			defer p.Close()
			f(t, p)
		})
	})
}

func begin(t testing.TB, p *Pool, name string) *Use {
	t.Helper()
	u, ok := p.Begin(name, false)
	if !ok {
		t.Fatalf("%s is full", name)
	}
	return u
}

// fail is a request that fails at once, answer one that is answered after d.
func fail(t testing.TB, p *Pool, name string, f Fault) {
	t.Helper()
	u := begin(t, p, name)
	u.Failed(f)
	u.Done()
}

func answer(t testing.TB, p *Pool, name string, d time.Duration) {
	t.Helper()
	u := begin(t, p, name)
	time.Sleep(d)
	u.Answered()
	u.Done()
}

func order(p *Pool, names ...string) string {
	return strings.Join(Order(p, names, func(s string) string { return s }, false), "")
}

func wantOrder(t testing.TB, p *Pool, want string) {
	t.Helper()
	names := strings.Split(want, "")
	slices.Sort(names)
	if got := order(p, names...); got != want {
		t.Fatalf("order %s, want %s", got, want)
	}
}

func TestPlaces(t *testing.T) {
	config := Config{Places: 2, Queue: 2}
	inPool(t, "are counted, and freed by Done", config, func(t *testing.T, p *Pool) {
		u, v := begin(t, p, "a"), begin(t, p, "a")
		if _, ok := p.Begin("a", false); ok {
			t.Error("a third place")
		}
		begin(t, p, "b").Done()
		for range 10 { // what waits needs none
			if w, ok := p.Begin("a", true); !ok {
				t.Error("full for what waits")
			} else {
				w.Done()
			}
		}
		u.Done()
		u.Done()
		begin(t, p, "a").Done()
		v.Done()
	})
	inPool(t, "go to those who wait, the first first", config, func(t *testing.T, p *Pool) {
		u, v := begin(t, p, "a"), begin(t, p, "a")
		got := make(chan int, 2)
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				w, err := p.Await(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				got <- i
				time.Sleep(time.Millisecond)
				w.Done()
			})
			synctest.Wait()
		}
		if _, err := p.Await(t.Context(), "a"); !errors.Is(err, ErrFull) {
			t.Errorf("a third waiter: %v", err)
		}
		u.Done()
		synctest.Wait()
		if _, ok := p.Begin("a", false); ok {
			t.Error("it overtook those who wait")
		}
		wg.Wait()
		if a, b := <-got, <-got; a != 0 || b != 1 {
			t.Errorf("%d, %d", a, b)
		}
		v.Done()
	})
	inPool(t, "are waited for a bounded time", config, func(t *testing.T, p *Pool) {
		u, v := begin(t, p, "a"), begin(t, p, "a")
		begun := time.Now()
		if _, err := p.Await(t.Context(), "a"); !errors.Is(err, ErrFull) || time.Since(begun) != p.config.QueueTime {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.Await(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		u.Done()
		v.Done()
		// None of them took a place with it.
		w, err := p.Await(t.Context(), "a")
		if err != nil || p.members["a"].places != 1 {
			t.Fatalf("%v, %d places", err, p.members["a"].places)
		}
		w.Done()
	})
}

func TestNamesAreBounded(t *testing.T) {
	inPool(t, "by number", Config{MaxNames: 20}, func(t *testing.T, p *Pool) {
		busy := begin(t, p, "busy")
		for i := range 1000 {
			fail(t, p, fmt.Sprint(i), Unreachable)
			time.Sleep(time.Millisecond)
		}
		if len(p.members) > 20 || p.members["busy"] == nil {
			t.Errorf("%d are remembered", len(p.members))
		}
		busy.Done()
	})
	inPool(t, "by number, all busy", Config{MaxNames: 2, Places: 1}, func(t *testing.T, p *Pool) {
		var uses []*Use
		for i := range 5 {
			uses = append(uses, begin(t, p, fmt.Sprint(i)))
		}
		for _, u := range uses {
			u.Failed(Late)
			u.Done()
		}
		if len(p.members) != 2 {
			t.Errorf("%d are remembered", len(p.members))
		}
	})
	inPool(t, "by time", Config{}, func(t *testing.T, p *Pool) {
		for i := range 20 {
			answer(t, p, fmt.Sprint(i), 0)
		}
		time.Sleep(idleTime)
		answer(t, p, "new", 0)
		if len(p.members) != 1 {
			t.Errorf("%d are remembered", len(p.members))
		}
	})
}

// All at once, for the race detector; the counts must come out even.
func TestConcurrentUse(t *testing.T) {
	config := Config{Places: 4, Queue: 1000, QueueTime: time.Minute, Check: func(context.Context, string) error { return nil }, CheckEvery: time.Millisecond}
	p := New(config, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	defer p.Close()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			for j := range 20 {
				p.Request()
				name := Order(p, []string{"a", "b", "c"}, func(s string) string { return s }, false)[0]
				u, ok := p.Begin(name, false)
				if !ok {
					var err error
					if u, err = p.Await(t.Context(), name); err != nil {
						t.Error(err)
						return
					}
				}
				if (i+j)%7 == 0 {
					u.Failed(Fault(j % int(faults)))
				} else {
					u.Answered()
				}
				p.HedgeAfter(name)
				p.Hedge()
				u.Done()
			}
		})
	}
	wg.Wait()
	for name, m := range p.members {
		if m.places != 0 || len(m.queue) != 0 {
			t.Errorf("%s: %d places, %d wait", name, m.places, len(m.queue))
		}
	}
}

func BenchmarkPool(b *testing.B) {
	p := New(Config{}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	defer p.Close()
	names := []string{"a", "b", "archive"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ups := slices.Clone(names)
		for pb.Next() {
			p.Request()
			Order(p, ups, func(s string) string { return s }, false)
			u, ok := p.Begin(ups[0], false)
			if !ok {
				b.Error("full")
				return
			}
			p.HedgeAfter(ups[0])
			u.Answered()
			u.Done()
		}
	})
}
