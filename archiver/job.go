package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// job is one claimed action under way.
type job struct {
	*Archiver
	claim  media.Claim
	path   media.StreamPath
	id     media.RecordingID
	logger *slog.Logger
	// progress is of what it brings into the archives.
	progress *progress
	// clip is what became of one.
	clip clipDone
	// grown is what this process uploaded of the recording while it grew.
	grown *grown
	// rescue is set when the local copy is gone.
	rescue *rescue
}

func newJob(a *Archiver, c media.Claim) *job {
	path, id := c.Recording.Path, c.Recording.ID
	return &job{
		Archiver: a, claim: c, path: path, id: id, progress: &progress{},
		logger: a.logger.With("publisher", path.Publisher, "stream", path.Stream, "recording", id),
	}
}

func (j *job) String() string { return fmt.Sprintf("%s %s/%s", j.claim.Action, j.path, j.id) }

// run does the action while the lease lasts, and finishes the claim.
func (j *job) run(ctx context.Context) error {
	// The names lead deletions.
	_, pathErr := media.ParseStreamPath(j.path.String())
	if _, err := media.ParseRecordingID(string(j.id)); pathErr != nil || err != nil {
		return errors.Join(pathErr, err)
	}
	act, event := j.archive, media.EventArchived
	switch j.claim.Action {
	case media.ActArchive:
	case media.ActDropLocal:
		act, event = j.dropLocal, ""
	case media.ActDelete:
		// From now on nobody is to play it, and who has some of it is to forget that.
		j.tell(ctx, media.EventDeleted)
		act, event = j.delete, ""
	case media.ActClip:
		act, event = j.makeClip, ""
	default:
		return fmt.Errorf("%w: action %.20q of recording %s", media.ErrUnsupported, j.claim.Action, j.id)
	}
	err := j.hold(ctx, func(ctx context.Context) error {
		if err := act(ctx); err != nil {
			return err
		}
		return j.finish(ctx)
	})
	if err != nil {
		return err
	}
	if j.claim.Action == media.ActClip {
		event = j.clip.event
		if made := j.clip.row.Local && event == media.EventEnded; made && j.config.Clipped != nil {
			j.config.Clipped(j.path, j.id)
		}
	}
	if j.rescue != nil && j.rescue.saved == nil {
		event = media.EventFailed
	}
	if event != "" {
		j.tell(ctx, event)
	}
	return nil
}

// hold runs fn under a context that ends when the claim is lost, or can't be renewed before it runs out.
func (j *job) hold(ctx context.Context, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { j.renew(ctx, cancel) })
	renewing.Go(func() { j.report(ctx) })
	err := fn(ctx)
	if lost := context.Cause(ctx); err != nil && errors.Is(lost, errLost) {
		err = lost
	}
	cancel(nil)
	renewing.Wait()
	return err
}

func (j *job) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	every := j.config.Lease / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	claim := j.claim
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		callCtx, done := context.WithTimeout(ctx, every/2)
		next, err := j.catalog.RenewClaim(callCtx, claim, time.Now(), j.config.Lease)
		done()
		switch {
		case err == nil:
			claim = next
		case errors.Is(err, media.ErrFenced):
			cancel(fmt.Errorf("%w: %w", errLost, err))
			return
		case time.Until(claim.Until) <= every: // there is no other try before the end
			cancel(fmt.Errorf("%w: it could not be renewed: %w", errLost, err))
			return
		}
	}
}

// report tells the catalog how far the job is, as long as that changes.
func (j *job) report(ctx context.Context) {
	j.metrics.uploads.add(j.progress)
	defer j.metrics.uploads.remove(j.progress)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var told media.Progress
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := j.progress.measure(time.Now())
		if store := j.progress.store(); store != nil {
			store.slow(j.config.slowness(j.metrics.uploads.rate(store)))
		}
		if at.Total == 0 || (at.Done == told.Done && at.Total == told.Total && at.Rate == told.Rate) {
			continue
		}
		callCtx, done := context.WithTimeout(ctx, settleTimeout)
		err := j.catalog.SaveProgress(callCtx, j.claim, at)
		done()
		if err == nil {
			told = at
		} else if ctx.Err() == nil { // the next one tells as well
			j.logger.Debug("progress is not saved", "err", err)
		}
	}
}

// finish tells the catalog, and goes on trying while the lease lasts: to do the action again costs more.
func (j *job) finish(ctx context.Context) error {
	j.verified.forget(j.dir())
	var dropLocal time.Time
	if j.claim.Action == media.ActArchive && !j.config.KeepLocal {
		dropLocal = time.Now().Add(j.config.Grace)
	}
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, j.config.Lease/6) {
		err := j.settle(ctx, dropLocal)
		if err == nil {
			return nil
		}
		if errors.Is(err, media.ErrFenced) {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		err = fmt.Errorf("tell the catalog: %w", err)
		wait := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			wait.Stop()
			return err
		case <-wait.C:
		}
	}
}

// settle says that the claim's work is done.
func (j *job) settle(ctx context.Context, dropLocal time.Time) error {
	switch {
	case j.claim.Action == media.ActClip:
		return j.catalog.FinishClip(ctx, j.claim, j.clip.row, j.clip.own)
	case j.rescue != nil:
		return j.catalog.FinishSalvage(ctx, j.claim, j.rescue.saved, j.rescue.notice)
	}
	return j.catalog.FinishClaim(ctx, j.claim, dropLocal)
}

// fail gives the claim up. It gives the cause back, for the caller to report.
func (j *job) fail(ctx context.Context, cause error) error {
	retryAt := time.Now()
	if ctx.Err() != nil {
		cause = errStopped
	} else {
		retryAt = retryAt.Add(j.config.delay(j.claim.Recording.Attempts))
		if j.claim.Action == media.ActArchive {
			j.tell(ctx, media.EventFailed)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	err := j.catalog.FailClaim(ctx, j.claim, cause, retryAt)
	if err != nil && !errors.Is(err, media.ErrFenced) {
		return errors.Join(cause, fmt.Errorf("tell the catalog: %w", err))
	}
	return cause
}

// tell publishes an event. One that is lost costs its readers a later look: the catalog has the truth.
func (j *job) tell(ctx context.Context, kind string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	event := media.Event{
		Type: kind, Time: time.Now(), Publisher: j.path.Publisher, Stream: j.path.Stream, Recording: j.id,
	}
	if err := j.events.Publish(ctx, event); err != nil {
		j.logger.Warn("event lost", "event", kind, "err", err)
	}
}

// dir is the recording's folder, with a slash: the prefix of its objects and of no other's.
func (j *job) dir() string { return j.path.String() + "/" + string(j.id) + "/" }

func (j *job) manifestKey() string { return reclog.ManifestName(j.path, j.id) }
