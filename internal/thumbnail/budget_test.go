package thumbnail

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetHoldsTheShareOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.1, 10*time.Second)
		begun := time.Now()
		var spent time.Duration
		for time.Since(begun) < 1000*time.Second {
			leave, err := b.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			b.spend(700*time.Millisecond, time.Now())
			spent += 700 * time.Millisecond
			leave()
		}
		if limit := 10*time.Second + time.Since(begun)/10 + 700*time.Millisecond; spent > limit {
			t.Errorf("%s were spent in %s, at most %s were to be", spent, time.Since(begun), limit)
		}
		if spent < 100*time.Second {
			t.Errorf("only %s were spent", spent)
		}
	})
}

func TestBudgetSaysAtOnceWhatCanNotBeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.1, time.Second)
		b.spend(2*time.Second, time.Now()) // ten seconds of debt
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		if _, err := b.enter(ctx); !errors.Is(err, ErrBusy) || time.Since(begun) > 0 {
			t.Errorf("got %v after %s, want ErrBusy at once", err, time.Since(begun))
		}
		ctx, cancel = context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		leave, err := b.enter(ctx)
		if err != nil || time.Since(begun) != 10*time.Second {
			t.Fatalf("got %v after %s, want a turn after 10s", err, time.Since(begun))
		}
		waiting, stop := context.WithCancel(t.Context())
		go stop()
		if _, err := b.enter(waiting); !errors.Is(err, context.Canceled) {
			t.Errorf("beside another: %v", err)
		}
		leave()
	})
}
