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
	"github.com/prometheus/client_golang/prometheus/testutil"
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

func TestFaultsEject(t *testing.T) {
	for _, f := range []Fault{Unreachable, Late, Down} {
		inPool(t, f.String()+" at once", Config{}, func(t *testing.T, p *Pool) {
			wantOrder(t, p, "abc")
			fail(t, p, "a", f)
			wantOrder(t, p, "bca")
			if p.Well("a") || !p.Well("b") {
				t.Error("a is well, or b is not")
			}
			time.Sleep(p.config.EjectTime)
			wantOrder(t, p, "abc")
		})
	}
	for _, f := range []Fault{Bad, Broken, Outrun} {
		inPool(t, f.String()+" after five in a row", Config{}, func(t *testing.T, p *Pool) {
			for range 4 {
				fail(t, p, "a", f)
			}
			answer(t, p, "a", 0)
			for range 4 {
				fail(t, p, "a", f)
			}
			wantOrder(t, p, "ab")
			fail(t, p, "a", f)
			wantOrder(t, p, "ba")
		})
	}
	inPool(t, "half of all, never many in a row", Config{}, func(t *testing.T, p *Pool) {
		for range 4 {
			answer(t, p, "a", 0)
			fail(t, p, "a", Bad)
		}
		wantOrder(t, p, "ab")
		answer(t, p, "a", 0)
		fail(t, p, "a", Bad)
		wantOrder(t, p, "ba")
	})
	inPool(t, "not half of those that are long past", Config{}, func(t *testing.T, p *Pool) {
		for range 20 {
			answer(t, p, "a", 0)
			fail(t, p, "a", Bad)
			time.Sleep(p.config.RateTime / 5)
		}
		wantOrder(t, p, "ab")
	})
	inPool(t, "not a body's end that came after the answer was counted", Config{}, func(t *testing.T, p *Pool) {
		for range 9 {
			u := begin(t, p, "a")
			u.Answered()
			u.Done()
			u.Done()
		}
		u := begin(t, p, "a")
		u.Answered()
		u.Failed(Broken)
		u.Failed(Unreachable) // the first counts
		u.Done()
		wantOrder(t, p, "ab")
	})
	inPool(t, "never all: who has no other asks them in its own order", Config{}, func(t *testing.T, p *Pool) {
		for _, name := range []string{"a", "b", "c"} {
			fail(t, p, name, Late)
		}
		wantOrder(t, p, "abc")
	})
	inPool(t, "an answer of one that is out brings it back", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Unreachable)
		answer(t, p, "a", 0)
		wantOrder(t, p, "ab")
	})
	inPool(t, "an answer to what was asked before does not", Config{}, func(t *testing.T, p *Pool) {
		old := begin(t, p, "a")
		time.Sleep(time.Millisecond)
		fail(t, p, "a", Unreachable)
		old.Answered()
		old.Done()
		wantOrder(t, p, "ba")
	})
}

func TestEjectionsGrowWithRepeatsAndAreBounded(t *testing.T) {
	// ejectedFor gives how long a is behind b.
	ejectedFor := func(p *Pool) time.Duration {
		begun := time.Now()
		for order(p, "a", "b") == "ba" {
			time.Sleep(100 * time.Millisecond)
		}
		return time.Since(begun)
	}
	inPool(t, "doubling", Config{}, func(t *testing.T, p *Pool) {
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			fail(t, p, "a", Unreachable)
			if d := ejectedFor(p); d != want*time.Second {
				t.Errorf("ejection %d was %v long, want %v", i, d, want*time.Second)
			}
		}
		// Well for a long time, it is forgiven.
		answer(t, p, "a", 0)
		time.Sleep(p.config.SlowStart)
		wantOrder(t, p, "ab")
		time.Sleep(2 * p.config.MaxEjectTime)
		fail(t, p, "a", Unreachable)
		if d := ejectedFor(p); d != time.Second {
			t.Errorf("%v", d)
		}
	})
	inPool(t, "a crowd that fails at once is one failure", Config{}, func(t *testing.T, p *Pool) {
		var crowd []*Use
		for range 200 {
			crowd = append(crowd, begin(t, p, "a"))
			time.Sleep(time.Millisecond)
		}
		for _, u := range crowd {
			u.Failed(Late)
			u.Done()
			time.Sleep(10 * time.Millisecond) // the last ones after the ejection's end
		}
		if n := testutil.ToFloat64(p.metrics.ejections[Late]); n != 1 {
			t.Errorf("%v ejections", n)
		}
		wantOrder(t, p, "ab")
	})
}

func TestRecovery(t *testing.T) {
	inPool(t, "one request at a time until one is answered", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime)
		wantOrder(t, p, "ab")
		trial := begin(t, p, "a")
		for range 100 {
			wantOrder(t, p, "ba")
		}
		trial.Answered()
		trial.Done()
		wantOrder(t, p, "ab")
	})
	inPool(t, "a trial that fails ejects for longer", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime)
		wantOrder(t, p, "ab")
		fail(t, p, "a", Bad)
		time.Sleep(p.config.EjectTime)
		wantOrder(t, p, "ba")
		time.Sleep(p.config.EjectTime)
		wantOrder(t, p, "ab")
	})
	inPool(t, "a trial that comes to nothing, or is lost, is followed by another", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime)
		wantOrder(t, p, "ab")
		u := begin(t, p, "a")
		u.Done() // its viewer left
		wantOrder(t, p, "ab")
		wantOrder(t, p, "ba")
		time.Sleep(trialTime)
		wantOrder(t, p, "ab")
	})
	inPool(t, "who is never first is tried when there is a request to spare", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "b", Late)
		if p.Well("b") {
			t.Error("well while it is out")
		}
		time.Sleep(p.config.EjectTime)
		wantOrder(t, p, "ab")
		if !p.Well("b") {
			t.Error("it may not be tried")
		}
		u := begin(t, p, "b")
		if p.Well("b") {
			t.Error("it may be tried by two")
		}
		u.Answered()
		u.Done()
		if !p.Well("b") {
			t.Error("it recovers, and is not well")
		}
	})
	inPool(t, "a trial whose body breaks off is a failure", Config{Failures: 1}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime)
		u := begin(t, p, "a")
		time.Sleep(time.Millisecond)
		u.Answered()
		time.Sleep(time.Millisecond)
		u.Failed(Broken)
		u.Done()
		wantOrder(t, p, "ba")
	})
	inPool(t, "then a share that grows", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime)
		answer(t, p, "a", 0)
		var shares []int
		for range 10 {
			n := 0
			for range 100 {
				if order(p, "a", "b") == "ab" {
					n++
				}
				time.Sleep(p.config.SlowStart / 1000)
			}
			shares = append(shares, n)
		}
		if !slices.IsSorted(shares) || shares[0] > 15 || shares[4] < 35 || shares[4] > 55 || shares[9] < 90 {
			t.Errorf("of each hundred requests it got %v", shares)
		}
		for range 100 {
			wantOrder(t, p, "ab")
		}
	})
	inPool(t, "but all that wait by their nature", Config{}, func(t *testing.T, p *Pool) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime)
		answer(t, p, "a", 0)
		for range 100 {
			if got := Order(p, []string{"a", "b"}, func(s string) string { return s }, true); got[0] != "a" {
				t.Fatal(got)
			}
		}
	})
	inPool(t, "two that recover share what there is", Config{}, func(t *testing.T, p *Pool) {
		for _, name := range []string{"a", "b"} {
			fail(t, p, name, Late)
		}
		time.Sleep(p.config.EjectTime)
		for _, name := range []string{"a", "b"} {
			answer(t, p, name, 0)
		}
		seen := make(map[byte]int)
		for range 100 {
			seen[order(p, "a", "b")[0]]++
		}
		if seen['a'] == 0 || seen['b'] == 0 {
			t.Errorf("%v", seen)
		}
	})
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

func TestRetryBudget(t *testing.T) {
	config := Config{RetryBurst: 10, RetryFloor: 2, RetryRatio: 0.2}
	spend := func(p *Pool) (n int) {
		for p.Retry() {
			n++
		}
		return n
	}
	inPool(t, "a burst, a share of the requests, a floor", config, func(t *testing.T, p *Pool) {
		if n := spend(p); n != 10 {
			t.Errorf("%d at once", n)
		}
		for range 25 {
			p.Request()
		}
		if n := spend(p); n != 5 {
			t.Errorf("%d of 25 requests", n)
		}
		time.Sleep(2 * time.Second)
		if n := spend(p); n != 4 {
			t.Errorf("%d in two seconds", n)
		}
		time.Sleep(time.Hour)
		if n := spend(p); n != 10 {
			t.Errorf("%d after an hour", n)
		}
	})
	inPool(t, "hedges leave half to retries", config, func(t *testing.T, p *Pool) {
		n := 0
		for p.Hedge() {
			n++
		}
		if n != 5 || spend(p) != 5 {
			t.Errorf("%d hedges", n)
		}
	})
}

func TestHedgesBeginWhereAnswersUsuallyAreThere(t *testing.T) {
	inPool(t, "by what is known", Config{}, func(t *testing.T, p *Pool) {
		if d := p.HedgeAfter("a"); d != p.config.HedgeUnknown {
			t.Errorf("nothing known: %v", d)
		}
		for range fewSamples {
			answer(t, p, "a", time.Millisecond)
		}
		if d := p.HedgeAfter("a"); d != p.config.HedgeFloor {
			t.Errorf("fast: %v", d)
		}
		for i := range samples {
			answer(t, p, "a", time.Duration(i)*10*time.Millisecond)
		}
		if d := p.HedgeAfter("a"); d != 600*time.Millisecond {
			t.Errorf("95th percentile: %v", d)
		}
		u, _ := p.Begin("b", true)
		time.Sleep(time.Hour)
		u.Answered()
		u.Done()
		if n := p.members["b"].n; n != 0 {
			t.Errorf("%d times of what waits", n)
		}
	})
	inPool(t, "who is outrun is slower than known", Config{}, func(t *testing.T, p *Pool) {
		for range samples {
			answer(t, p, "a", 200*time.Millisecond)
		}
		u := begin(t, p, "a")
		time.Sleep(300 * time.Millisecond)
		u.Failed(Outrun)
		u.Done()
		if p.members["a"].n != samples+1 || !p.Well("a") {
			t.Errorf("%d samples", p.members["a"].n)
		}
		u = begin(t, p, "a")
		time.Sleep(time.Second) // as long as no answer of its ever took
		u.Failed(Outrun)
		u.Done()
		if p.Well("a") {
			t.Error("it does not count as late")
		}
	})
}

// checked is an upstream that a test lets pass checks or not.
type checked struct {
	mu   sync.Mutex
	err  error
	hang bool
	n    int
}

func (c *checked) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *checked) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *checked) check(ctx context.Context, _ string) error {
	c.mu.Lock()
	c.n++
	err, hang := c.err, c.hang
	c.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func TestChecks(t *testing.T) {
	away := errors.New("connection refused")
	in := func(name string, err error, f func(t *testing.T, p *Pool, c *checked)) {
		c := &checked{err: err}
		inPool(t, name, Config{Check: c.check, EjectTime: 4 * time.Second}, func(t *testing.T, p *Pool) { f(t, p, c) })
	}
	in("end an ejection of what could not be reached", nil, func(t *testing.T, p *Pool, c *checked) {
		time.Sleep(time.Minute)
		if c.count() != 0 {
			t.Error("what is well was checked")
		}
		fail(t, p, "a", Unreachable)
		time.Sleep(p.config.CheckEvery)
		synctest.Wait()
		wantOrder(t, p, "ab") // one may try
		wantOrder(t, p, "ba")
	})
	in("not that of who is late for requests", nil, func(t *testing.T, p *Pool, c *checked) {
		fail(t, p, "a", Late)
		time.Sleep(p.config.EjectTime - time.Millisecond)
		wantOrder(t, p, "ba")
		time.Sleep(time.Millisecond)
		wantOrder(t, p, "ab")
	})
	in("but if it has failed one since", away, func(t *testing.T, p *Pool, c *checked) {
		fail(t, p, "a", Late)
		time.Sleep(time.Second)
		c.set(nil)
		time.Sleep(p.config.CheckEvery)
		synctest.Wait()
		wantOrder(t, p, "ab")
	})
	in("that fail prolong it, up to its bound", away, func(t *testing.T, p *Pool, c *checked) {
		fail(t, p, "a", Unreachable)
		begun := time.Now()
		for order(p, "a", "b") == "ba" {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(begun); d != p.config.MaxEjectTime {
			t.Errorf("out for %v", d)
		}
	})
	in("are given up when nobody asks for it any more", away, func(t *testing.T, p *Pool, c *checked) {
		p.config.MaxEjectTime = time.Hour
		fail(t, p, "a", Unreachable)
		time.Sleep(p.config.CheckFor + time.Second)
		n := c.count()
		time.Sleep(time.Minute)
		if c.count() != n || n > int(p.config.CheckFor/p.config.CheckEvery)+1 {
			t.Errorf("%d checks, then %d", n, c.count())
		}
	})
	in("that hang are bounded", nil, func(t *testing.T, p *Pool, c *checked) {
		c.hang = true
		for i := range 3 * maxChecks {
			fail(t, p, fmt.Sprint(i), Unreachable)
		}
		time.Sleep(p.config.CheckEvery)
		synctest.Wait()
		if c.count() != maxChecks {
			t.Errorf("%d at once", c.count())
		}
		time.Sleep(10 * time.Second)
		if c.count() < 3*maxChecks {
			t.Errorf("%d in all", c.count())
		}
	})
	in("are not of what can't be checked", ErrNoCheck, func(t *testing.T, p *Pool, c *checked) {
		fail(t, p, "a", Unreachable)
		time.Sleep(p.config.EjectTime - time.Millisecond)
		wantOrder(t, p, "ba")
		if c.count() != 1 {
			t.Errorf("%d checks", c.count())
		}
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
