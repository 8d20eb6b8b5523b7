package main

import (
	"context"
	"errors"
	"slices"
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
	// adoptRetry is how long a recording is left alone that could not be resumed; each time twice as long, up to
	// adoptRetryMost.
	adoptRetry     = 10 * time.Second
	adoptRetryMost = 10 * time.Minute
)

// adopter takes recordings over that grow by their manifest and that nobody owns: their node is gone, and the
// publisher has not come back to any other. Players are then told by this node that the show waits, and it ends when
// its reconnect window is over.
type adopter struct {
	*takeover
	leases  *leases
	orphans *reclog.Orphans
	// failed are recordings that could not be resumed.
	failed map[reclog.Ref]failure
}

// failure is of a recording that could not be resumed.
type failure struct {
	until time.Time // before which it is not tried again
	pause time.Duration
}

// resumeOwn takes up again what this node left when it stopped. Another node may have it by now.
func (a *adopter) resumeOwn(ctx context.Context) error {
	unfinished, err := a.root.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, ref := range slices.Backward(unfinished) { // of a stream's the newest goes on, and the others end
		owner, owned, err := a.leases.registry.Owner(ctx, ref.Path)
		if err != nil {
			// Whoever has it goes on. If that was this node, nobody can take it over before the registry is back, and Run
			// adopts it then, as its lease from before has run out.
			a.logger.Warn("recording is left alone until the registry answers", "publisher", ref.Path.Publisher,
				"stream", ref.Path.Stream, "recording", ref.ID, "err", err)
			continue
		}
		switch {
		case owned && owner.Node == a.leases.node.ID:
			a.adopt(ctx, ref, owner.Epoch)
		case !owned && a.alone():
			a.adopt(ctx, ref, 0)
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
	found, err := a.orphans.Step(ctx, time.Now(), func(ctx context.Context, ref reclog.Ref) (bool, error) {
		_, owned, err := a.leases.registry.Owner(ctx, ref.Path)
		return owned, err
	})
	if err != nil {
		return err
	}
	for _, o := range found {
		_, here := a.packager.Show(o.Path, o.ID) // it has ended here, and storage is late to tell
		if here || o.Idle < adoptIdle || time.Now().Before(a.failed[o.Ref].until) {
			continue
		}
		a.adopt(ctx, o.Ref, 0)
	}
	return nil
}

// adopt makes a recording this node's. before is the epoch of the lease that this node had on its stream before it
// stopped; zero is none.
func (a *adopter) adopt(ctx context.Context, ref reclog.Ref, before uint64) {
	lease := a.leases.lease(ref.Path, 0)
	lease.Recording, lease.Feed = ref.ID, media.FeedNone
	logger := a.logger.With("publisher", ref.Path.Publisher, "stream", ref.Path.Stream, "recording", ref.ID)
	_, floor := a.stored(ctx, ref.Path)
	epoch, err := a.leases.claim(ctx, lease, floor, before)
	switch {
	case errors.Is(err, media.ErrConflict), errors.Is(err, media.ErrUnavailable):
		logger.Debug("recording is not adopted", "err", err)
		return
	case err != nil:
		logger.Warn("recording is not adopted", "err", err)
		return
	}
	// A publisher that comes now waits for it.
	err = a.look(ctx, ref.Path, func() error { return a.resume(ctx, ref, epoch) })
	switch {
	case err == nil:
		delete(a.failed, ref)
		logger.Info("recording adopted", "epoch", epoch)
		if a.leases.draining.Load() { // since it was looked for
			if err := a.packager.HandOver(ctx, ref.Path); err != nil {
				logger.Warn("hand over", "err", err)
			}
		}
	case errors.Is(err, media.ErrFenced), errors.Is(err, media.ErrConflict), errors.Is(err, media.ErrNotFound):
		// Its publisher is back, or it has ended.
		logger.Info("recording is not adopted: another was first", "epoch", epoch, "err", err)
	default:
		// One damaged recording must not keep the others, and new ones, from being served.
		f := a.failed[ref]
		f.pause = min(max(adoptRetry, 2*f.pause), adoptRetryMost)
		f.until = time.Now().Add(f.pause)
		if a.failed == nil {
			a.failed = make(map[reclog.Ref]failure)
		}
		a.failed[ref] = f
		logger.Error("resume recording", "again", f.pause, "err", err)
	}
	if err := a.leases.Release(ctx, ref.Path, epoch); err != nil { // the show keeps it, if it has come
		logger.Warn("release lease", "err", err)
	}
}
