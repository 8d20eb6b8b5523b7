package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
