package control

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// kicked runs a kick whose stream's owner is what the directory says at each look, without any node to be reached.
func kicked(t *testing.T, owner func(look int) (media.Lease, bool, error)) (looks int) {
	t.Helper()
	var mu sync.Mutex
	c := NewClient(Config{KickTries: 4}, Directory{
		Nodes: func(context.Context) ([]media.Node, error) { return nil, nil },
		Owner: func(context.Context, media.StreamPath) (media.Lease, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			looks++
			return owner(looks)
		},
	}, slog.New(slog.DiscardHandler))
	began := time.Now()
	c.Kick(show)
	if d := time.Since(began); d != 0 {
		t.Errorf("Kick waited %s", d)
	}
	synctest.Wait()
	time.Sleep(time.Minute)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return looks
}

func TestKicksAreTriedAgain(t *testing.T) {
	away := func(int) (media.Lease, bool, error) { return media.Lease{Node: "gone"}, true, nil }
	synctest.Test(t, func(t *testing.T) {
		if looks := kicked(t, away); looks != 4 {
			t.Errorf("tried %d times", looks)
		}
		looks := kicked(t, func(look int) (media.Lease, bool, error) {
			if look < 3 {
				return away(look)
			}
			return media.Lease{}, false, nil // it left by itself
		})
		if looks != 3 {
			t.Errorf("looked %d times", looks)
		}
	})
}

func TestCloseEndsKicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient(Config{}, Directory{
			Nodes: func(context.Context) ([]media.Node, error) { return nil, nil },
			Owner: func(context.Context, media.StreamPath) (media.Lease, bool, error) {
				return media.Lease{}, false, media.ErrUnavailable
			},
		}, slog.New(slog.DiscardHandler))
		for range maxKicks + 10 {
			c.Kick(show)
		}
		synctest.Wait()
		began := time.Now()
		if err := c.Close(); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
