package upstream

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

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
