package main

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// Keys in use are asked for in one question; while nobody answers nothing becomes of them.
func TestLiveKeysFollowTheCatalog(t *testing.T) {
	var live []string
	var away error
	asked, applied := 0, 0
	known := map[string]time.Time{"a": {}}
	began := time.Now()
	born := began.Add(-time.Hour)
	answered := func() []string { return live }
	l := &liveKeys{
		began: began, born: func(context.Context) (time.Time, error) { return born, nil },
		expiries: func(context.Context, []string) (map[string]time.Time, error) {
			asked++
			return known, away
		},
		live: func() []string { return live },
		apply: func(ids []string, expiries map[string]time.Time) {
			applied++
			if !reflect.DeepEqual(ids, answered()) || !reflect.DeepEqual(expiries, known) {
				t.Errorf("told %v of %v", expiries, ids)
			}
		},
		logger: slog.New(slog.DiscardHandler),
	}
	step := func(wantAsked, wantApplied int) {
		t.Helper()
		if err := l.Step(t.Context()); !errors.Is(err, away) || asked != wantAsked || applied != wantApplied {
			t.Errorf("asked %d times and applied %d (%v), want %d and %d", asked, applied, err, wantAsked, wantApplied)
		}
	}
	step(0, 0)
	live = []string{"a", "b"}
	step(1, 1)
	away = errors.New("away")
	step(2, 1)
	away = nil
	step(3, 2)
	// A catalog that is younger than the process lacks keys that were never revoked.
	born, answered = began.Add(time.Minute), func() []string { return []string{"a"} }
	step(4, 3)
}

func TestLiveKeysAreAskedForEveryOtherSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		ctx, stop := context.WithCancel(t.Context())
		l := &liveKeys{
			live: func() []string {
				if at = append(at, time.Since(began)); len(at) == 3 {
					stop()
				}
				return nil
			},
			logger: slog.New(slog.DiscardHandler),
		}
		if err := l.Run(ctx); err != nil || !reflect.DeepEqual(at, []time.Duration{2e9, 4e9, 6e9}) {
			t.Errorf("asked at %v, %v", at, err)
		}
	})
}
