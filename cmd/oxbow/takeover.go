package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/packager"
)

// floorPatience bounds the look at storage for an epoch: without it the publish is refused soon after, for the
// recording that it would continue can't be read either.
const floorPatience = 2 * time.Second

// takeover brings shows that other processes began to this one: what a publisher comes back to, what nobody owns any
// more, and what this node itself left when it stopped.
type takeover struct {
	root     *reclog.Root
	packager *packager.Packager
	logger   *slog.Logger
}

// prepare has the stream's growing recording continued here, if storage has one. The caller owns the stream's lease. A
// recording that can't be read does not keep its publisher from beginning another; a volume that does not answer does.
func (t *takeover) prepare(ctx context.Context, path media.StreamPath, epoch uint64) error {
	if _, here := t.packager.Current(path); here {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- t.resumeNewest(ctx, path, epoch) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: the recordings' volume does not answer", media.ErrUnavailable)
	}
}

func (t *takeover) resumeNewest(ctx context.Context, path media.StreamPath, epoch uint64) error {
	ref, _, err := t.root.Growing(ctx, path)
	if err == nil {
		err = t.resume(ctx, ref, epoch)
	}
	switch {
	case errors.Is(err, media.ErrNotFound):
	case errors.Is(err, media.ErrUnavailable), errors.Is(err, media.ErrFenced):
		return err
	case err != nil:
		t.logger.Error("the stream's recording can't be continued: the next begins",
			"publisher", path.Publisher, "stream", path.Stream, "recording", ref.ID, "err", err)
	}
	return nil
}

// resume takes a recording over under a lease's epoch: whoever wrote it is fenced.
func (t *takeover) resume(ctx context.Context, ref reclog.Ref, epoch uint64) error {
	recording, writer, err := t.root.ReopenAs(ctx, ref.Path, ref.ID, epoch)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // nobody waits for it any more
		return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
	}
	return t.packager.Resume(ctx, recording, writer)
}

// stored gives the stream's growing recording, if storage has one, and the highest epoch that storage knows of the
// stream.
func (t *takeover) stored(ctx context.Context, path media.StreamPath) (media.RecordingID, uint64) {
	ctx, cancel := context.WithTimeout(ctx, floorPatience)
	defer cancel()
	type answer struct {
		recording media.RecordingID
		epoch     uint64
	}
	found := make(chan answer, 1)
	go func() {
		ref, epoch, err := t.root.Growing(ctx, path)
		if err != nil && !errors.Is(err, media.ErrNotFound) {
			t.logger.Warn("look for the stream's last epoch", "publisher", path.Publisher, "stream", path.Stream, "err", err)
		}
		found <- answer{ref.ID, epoch}
	}()
	select {
	case a := <-found:
		return a.recording, a.epoch
	case <-ctx.Done():
		return "", 0
	}
}
