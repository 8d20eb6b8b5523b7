package upstream

import (
	"testing"
	"time"
)

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
