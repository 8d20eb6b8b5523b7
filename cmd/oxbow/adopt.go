package main

import (
	"context"
	"errors"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// adoptEvery is how often a node looks for recordings that nobody owns.
	adoptEvery = time.Second
	// adoptIdle is how long a recording without an owner must have stood still: an owner that the registry does not
	// know of, because the two can't reach each other, still writes.
	adoptIdle = 5 * time.Second
)

// adopter takes recordings over that grow by their manifest and that nobody owns: their node is gone, and the
// publisher has not come back to any other. Players are then told by this node that the show waits, and it ends when its
// reconnect window is over.
type adopter struct {
	*takeover
	leases  *leases
	orphans *reclog.Orphans
}

// resumeOwn takes up again what this node left when it stopped. Another node may have it by now.
func (a *adopter) resumeOwn(ctx context.Context) error {
	unfinished, err := a.root.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, ref := range unfinished {
		owner, owned, err := a.leases.registry.Owner(ctx, ref.Path)
		if err != nil {
			// Whoever has it goes on, and if that was this node, nobody can take it over before the registry is back.
			a.logger.Warn("recording is left alone until the registry answers", "publisher", ref.Path.Publisher,
				"stream", ref.Path.Stream, "recording", ref.ID, "err", err)
			continue
		}
		switch {
		case owned && owner.Node == a.leases.node.ID:
			a.adopt(ctx, ref, true)
		case !owned && a.alone():
			a.adopt(ctx, ref, false)
		}
	}
	return nil
}

// alone says that no other process can own anything: the registry is this process's.
func (a *adopter) alone() bool { return a.leases.node.Cluster == "" }

// Run adopts what nobody owns until ctx ends.
func (a *adopter) Run(ctx context.Context) error {
	look := time.NewTicker(adoptEvery)
	defer look.Stop()
	for {
		if err := a.step(ctx); err != nil && ctx.Err() == nil {
			a.logger.Debug("look for recordings without an owner", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// step is one look.
func (a *adopter) step(ctx context.Context) error {
	if a.leases.draining.Load() {
		return nil
	}
	found, err := a.orphans.Step(ctx, time.Now(), func(ctx context.Context, path media.StreamPath) (bool, error) {
		_, owned, err := a.leases.registry.Owner(ctx, path)
		return owned, err
	})
	if err != nil {
		return err
	}
	for _, o := range found {
		if o.Idle >= adoptIdle {
			a.adopt(ctx, o.Ref, false)
		}
	}
	return nil
}

// adopt makes a recording this node's. ours says that the lease is this node's, from before it stopped.
func (a *adopter) adopt(ctx context.Context, ref reclog.Ref, ours bool) {
	lease := a.leases.lease(ref.Path, 0)
	lease.Recording = ref.ID
	take := a.leases.registry.Claim
	if ours {
		take = a.leases.registry.Acquire
	}
	logger := a.logger.With("publisher", ref.Path.Publisher, "stream", ref.Path.Stream, "recording", ref.ID)
	epoch, err := take(ctx, lease, a.floor(ctx, ref.Path))
	switch {
	case errors.Is(err, media.ErrConflict), errors.Is(err, media.ErrUnavailable):
		logger.Debug("recording is not adopted", "err", err)
		return
	case err != nil:
		logger.Warn("recording is not adopted", "err", err)
		return
	}
	defer a.leases.adopt(ref.Path, epoch)()
	// A publisher that comes now waits for it.
	if err := a.look(ctx, ref.Path, func() error { return a.resume(ctx, ref, epoch) }); err != nil {
		// One damaged recording must not keep the others, and new ones, from being served.
		logger.Error("resume recording", "err", err)
		if err := a.leases.giveUp(ctx, ref.Path); err != nil {
			logger.Warn("release lease", "err", err)
		}
		return
	}
	logger.Info("recording adopted", "epoch", epoch)
}
