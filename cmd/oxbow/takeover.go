package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/packager"
)

// floorPatience bounds the look at storage for an epoch: without it the publish is refused soon after, for the
// recording that it would continue can't be read either.
const floorPatience = 2 * time.Second

// busyPoll is how often a recording is tried that is being recovered for somebody else.
const busyPoll = 20 * time.Millisecond

// takeover brings shows that other processes began to this one: what a publisher comes back to, what nobody owns any
// more, and what this node itself left when it stopped.
type takeover struct {
	root     *reclog.Root
	packager *packager.Packager
	logger   *slog.Logger

	// turns are of whose storage is being looked at. A volume that hangs holds one goroutine of a stream, however often
	// its publisher comes.
	turns turns
}

var errVolume = fmt.Errorf("%w: the recordings' volume does not answer", media.ErrUnavailable)

// look has work done on a stream's storage, one at a time, and waits for it as long as ctx.
func (t *takeover) look(ctx context.Context, path media.StreamPath, work func() error) error {
	over, err := t.turns.take(ctx, path)
	if err != nil {
		return errVolume
	}
	done := make(chan error, 1)
	go func() {
		err := work()
		over()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errVolume
	}
}

// prepare has the stream's growing recording continued here, if storage has one. The caller owns the stream's lease. A
// recording that can't be read does not keep its publisher from beginning another; a volume that does not answer does.
func (t *takeover) prepare(ctx context.Context, path media.StreamPath, epoch uint64) error {
	if _, here := t.packager.Current(path); here {
		return nil
	}
	err := t.look(ctx, path, func() error {
		if _, here := t.packager.Current(path); here {
			return nil // by another connection
		}
		return t.resumeNewest(ctx, path, epoch)
	})
	if errors.Is(err, errVolume) {
		err = ingest.Away(err, "the server's recording volume does not answer: try again in a moment")
	}
	return err
}

func (t *takeover) resumeNewest(ctx context.Context, path media.StreamPath, epoch uint64) error {
	for {
		ref, _, err := t.root.Growing(ctx, path)
		if err == nil {
			err = t.resume(ctx, ref, epoch)
		}
		switch {
		case errors.Is(err, media.ErrNotFound):
		case errors.Is(err, media.ErrUnavailable), errors.Is(err, media.ErrFenced):
			return err
		case errors.Is(err, media.ErrConflict): // others work on it
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
			case <-time.After(busyPoll):
			}
			continue
		case err != nil:
			t.logger.Error("the stream's recording can't be continued: the next begins",
				"publisher", path.Publisher, "stream", path.Stream, "recording", ref.ID, "err", err)
		}
		return nil
	}
}

// resume takes a recording over under a lease's epoch: whoever wrote it is fenced. One that the stream has had another
// after is ended: two nodes began at once, and the one that lost the stream left it as it was. It is look's to call: of
// two at a time the later would fence the other's writer, and the former's show would be in its way.
func (t *takeover) resume(ctx context.Context, ref reclog.Ref, epoch uint64) error {
	if _, here := t.packager.Show(ref.Path, ref.ID); here {
		return nil // it has come meanwhile, or has ended here: storage is late to tell
	}
	recording, writer, err := t.root.ReopenAs(ctx, ref.Path, ref.ID, epoch)
	if err != nil {
		return err
	}
	if !recording.State.Growing() { // it was ended since somebody found it growing, and may be in the archive by now
		return fmt.Errorf("recording %s is %s: %w", ref, recording.State, media.ErrNotFound)
	}
	if err := ctx.Err(); err != nil { // nobody waits for it any more
		return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
	}
	if latest, err := t.root.Latest(ctx, ref.Path); err == nil && latest != ref.ID {
		t.logger.Info("recording has a successor: it ends", "publisher", ref.Path.Publisher, "stream", ref.Path.Stream,
			"recording", ref.ID, "successor", latest)
		return t.packager.End(recording, writer)
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
	err := t.look(ctx, path, func() error {
		ref, epoch, err := t.root.Growing(ctx, path)
		found <- answer{ref.ID, epoch}
		return err
	})
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		t.logger.Warn("look for the stream's last epoch", "publisher", path.Publisher, "stream", path.Stream, "err", err)
	}
	select {
	case a := <-found:
		return a.recording, a.epoch
	default:
		return "", 0
	}
}
