package upstream

import (
	"testing"
	"time"
)

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
