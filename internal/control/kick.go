package control

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
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

// Kick ends the stream's connection, because its stream is gone. It does not wait: a node that can't
// be reached is tried again for a while, since a publisher must not stay for a lost packet.
func (c *Client) Kick(path media.StreamPath) {
	c.background(path, func(ctx context.Context) error {
		err := c.EndSession(ctx, path, "")
		if errors.Is(err, media.ErrNotFound) {
			return nil
		}
		return err
	})
}

// RevokeKey drops whoever publishes a stream with the key of an id, live or standing by, on whichever node. It does not
// wait, and tries again as Kick does. A node that is not reached finds out by asking the catalog.
func (c *Client) RevokeKey(path media.StreamPath, id string) {
	told := map[string]bool{}
	c.background(path, func(ctx context.Context) error {
		nodes, err := c.directory.Nodes(ctx)
		if err != nil {
			return err
		}
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(n media.Node) bool {
			return n.Role != media.RoleIngest || told[n.ID]
		})
		failures := make([]error, len(nodes))
		c.each(nodes, func(i int) {
			failures[i] = c.ask(ctx, nodes[i], http.MethodDelete,
				"streams/"+path.String()+"/keys/"+url.PathEscape(id)+"/session", nil, nil)
		})
		for i, n := range nodes {
			told[n.ID] = failures[i] == nil
		}
		return errors.Join(failures...)
	})
}

// background tries to end sessions of a stream until that succeeds.
func (c *Client) background(path media.StreamPath, try func(ctx context.Context) error) {
	select {
	case c.kicks.slots <- struct{}{}:
	default:
		c.logger.Error("kick dropped: too many are under way", "publisher", path.Publisher, "stream", path.Stream)
		return
	}
	c.kicks.run(func(ctx context.Context) {
		defer func() { <-c.kicks.slots }()
		c.kick(ctx, path, try)
	})
}

func (c *Client) kick(ctx context.Context, path media.StreamPath, try func(ctx context.Context) error) {
	for tries := 1; ; tries++ {
		err := try(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if tries >= c.cfg.KickTries {
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
