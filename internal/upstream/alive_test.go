package upstream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAlive(t *testing.T) {
	c := &checked{}
	config := Config{Check: c.check}
	inPool(t, "is asked once by all, and believed for a while", config, func(t *testing.T, p *Pool) {
		ask := func(want bool, checks int) {
			t.Helper()
			before := c.count()
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if got := p.Alive(t.Context(), "a"); got != want {
						t.Errorf("alive: %v, want %v", got, want)
					}
				})
			}
			all.Wait()
			if n := c.count() - before; n != checks {
				t.Errorf("%d checks, want %d", n, checks)
			}
		}
		ask(true, 1)
		c.set(errors.New("connection refused"))
		ask(true, 0)
		time.Sleep(p.config.CheckEvery)
		ask(false, 1)
		c.set(ErrNoCheck)
		time.Sleep(p.config.CheckEvery)
		ask(true, 1)
	})
	inPool(t, "waits for nobody longer than the check may take", Config{Check: (&checked{hang: true}).check},
		func(t *testing.T, p *Pool) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if !p.Alive(ctx, "a") || time.Since(begun) != 100*time.Millisecond {
				t.Errorf("without time to find out: after %v", time.Since(begun))
			}
			if p.Alive(t.Context(), "a") || time.Since(begun) != p.config.CheckTimeout {
				t.Errorf("what is silent: after %v", time.Since(begun))
			}
			synctest.Wait()
		})
	inPool(t, "is what can't be checked", Config{}, func(t *testing.T, p *Pool) {
		if !p.Alive(t.Context(), "a") {
			t.Error("dead")
		}
	})
}
