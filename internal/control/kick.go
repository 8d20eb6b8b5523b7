package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	kickSpacing = time.Second
	maxKicks    = 1024 // under way; beyond that they are dropped, and logged
)

// kicks are the ends of sessions that go on in the background.
type kicks struct {
	run   func(kick func(ctx context.Context)) // in a goroutine, with a context that stop ends
	stop  func()                               // and waits for them
	slots chan struct{}
}

func (k *kicks) start() {
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	k.slots = make(chan struct{}, maxKicks)
	k.run = func(kick func(ctx context.Context)) { running.Go(func() { kick(ctx) }) }
	k.stop = func() {
		cancel()
		running.Wait()
	}
}

// Kick ends the stream's connection, because the key that it came with may be void. It does not wait: a node that can't
// be reached is tried again for a while, since a publisher must not stay for a lost packet.
func (c *Client) Kick(path media.StreamPath) {
	select {
	case c.kicks.slots <- struct{}{}:
	default:
		c.logger.Error("kick dropped: too many are under way", "publisher", path.Publisher, "stream", path.Stream)
		return
	}
	c.kicks.run(func(ctx context.Context) {
		defer func() { <-c.kicks.slots }()
		c.kick(ctx, path)
	})
}

func (c *Client) kick(ctx context.Context, path media.StreamPath) {
	for try := 1; ; try++ {
		err := c.EndSession(ctx, path, "")
		if err == nil || errors.Is(err, media.ErrNotFound) || ctx.Err() != nil {
			return
		}
		if try >= c.cfg.KickTries {
			c.logger.ErrorContext(ctx, "kick failed: the publisher may still be connected",
				"publisher", path.Publisher, "stream", path.Stream, "err", err)
			return
		}
		timer := time.NewTimer(kickSpacing)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
