package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Rows are the catalog's recordings as recovery sees them.
type Rows interface {
	// SaveRecording may be repeated, and changes nothing that is past what it says.
	SaveRecording(ctx context.Context, r media.Recording, events ...media.LogEvent) error
	// Growing lists the cluster's rows that are live or interrupted.
	Growing(ctx context.Context, cluster string) ([]media.Recording, error)
	// CloseLost ends a growing row that has nothing on storage; media.ErrConflict if it does not grow.
	CloseLost(ctx context.Context, id media.RecordingID, reason string) (media.Recording, error)
	// Recording gives media.ErrNotFound for one that never had a row.
	Recording(ctx context.Context, id media.RecordingID) (media.Recording, error)
	// StreamsNamed gives those of the streams that there are, with the settings in force.
	StreamsNamed(ctx context.Context, paths []media.StreamPath) ([]media.Stream, error)
}

// Leases is the registry as recovery sees it.
type Leases interface {
	// Claim acquires a stream that nobody holds: media.ErrConflict if somebody does, media.ErrUnavailable if the
	// registry can't know.
	Claim(ctx context.Context, lease media.Lease, floor uint64) (epoch uint64, err error)
	Renew(ctx context.Context, lease media.Lease) error
	Release(ctx context.Context, path media.StreamPath, node string, epoch uint64) error
	Owner(ctx context.Context, path media.StreamPath) (lease media.Lease, ok bool, err error)
}

// RecoveryConfig is a Recovery's.
type RecoveryConfig struct {
	// Owner names the process in its leases; every process has another.
	Owner string
	// Cluster is whose storage and rows these are; empty means media.DefaultCluster.
	Cluster string
	// Every is how long to wait between two looks; zero means 2 seconds.
	Every time.Duration
	// LeaseTTL is how long the registry's leases last unrenewed; zero means 5 seconds.
	LeaseTTL time.Duration
	// Patience is how long a growing row may disagree with storage before it is corrected; zero means 30 seconds.
	Patience time.Duration
	// Retry is how long a recording is left alone that could not be closed; zero means a minute.
	Retry time.Duration
}

func (c RecoveryConfig) withDefaults() RecoveryConfig {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	c.Cluster = cmp.Or(c.Cluster, media.DefaultCluster)
	set(&c.Every, 2*time.Second)
	set(&c.LeaseTTL, 5*time.Second)
	set(&c.Patience, 30*time.Second)
	set(&c.Retry, time.Minute)
	return c
}

// Recovery ends the recordings of a cluster whose owner is gone: those on storage that nobody continued within their
// reconnect window, and rows that storage knows better. Any number of processes may do it; a recording's lease and the
// writer in its manifest make that one of them ends it. It is for one goroutine.
type Recovery struct {
	config  RecoveryConfig
	rows    Rows
	leases  Leases
	root    *reclog.Root
	orphans *reclog.Orphans
	events  Events
	logger  *slog.Logger
	metrics *recoveryMetrics

	// retry is when to try again to close what failed.
	retry map[reclog.Ref]time.Time
	// unsaved are rows of recordings that ended, until the catalog has them.
	unsaved map[media.RecordingID]unsaved
	// differ is since when a growing row has disagreed with storage.
	differ    map[media.RecordingID]time.Time
	checkedAt time.Time
	// listed are the finished recordings that have a row; rowless is since when others have had none.
	listed  map[media.RecordingID]bool
	rowless map[media.RecordingID]time.Time
}

// NewRecovery makes a Recovery.
func NewRecovery(
	c RecoveryConfig, rows Rows, leases Leases, root *reclog.Root, events Events,
	logger *slog.Logger, registerer prometheus.Registerer,
) *Recovery {
	_, _ = root.Attached() // notes which directory it is; if that fails, the first look at rows does
	return &Recovery{
		config: c.withDefaults(), rows: rows, leases: leases, root: root, orphans: reclog.NewOrphans(root),
		events: events, logger: logger, metrics: newRecoveryMetrics(registerer),
		retry: make(map[reclog.Ref]time.Time), unsaved: make(map[media.RecordingID]unsaved),
		differ: make(map[media.RecordingID]time.Time),
		listed: make(map[media.RecordingID]bool), rowless: make(map[media.RecordingID]time.Time),
	}
}

// Run works until the context ends.
func (r *Recovery) Run(ctx context.Context) error {
	told := outage{logger: r.logger, message: "recovery step failed"}
	for ctx.Err() == nil {
		if err := r.Step(ctx); ctx.Err() == nil {
			told.tell(err)
		}
		wait := time.NewTimer(r.config.Every/2 + rand.N(r.config.Every))
		select {
		case <-ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
	return nil
}

// Step looks once: it closes orphans that are due, saves the rows of what was closed, and now and then holds the
// growing rows against storage. What fails is tried again by later steps.
func (r *Recovery) Step(ctx context.Context) error {
	now := time.Now()
	orphans, err := r.orphans.Step(ctx, now, r.owned)
	r.metrics.orphans.Set(float64(len(orphans)))
	windows, unknown := r.windows(ctx, orphans)
	errs := []error{err, unknown}
	for ref, at := range r.retry {
		if !now.Before(at) {
			delete(r.retry, ref)
		}
	}
	for _, orphan := range orphans {
		if _, waits := r.retry[orphan.Ref]; waits || orphan.Idle < windows[orphan.Ref]+r.config.LeaseTTL {
			continue
		}
		if err := r.close(ctx, orphan); err != nil {
			r.retry[orphan.Ref] = now.Add(r.config.Retry)
			errs = append(errs, fmt.Errorf("close recording %s: %w", orphan.Ref, err))
		}
	}
	if now.Sub(r.checkedAt) >= r.config.Patience/3 {
		r.checkedAt = now
		errs = append(errs, r.checkRows(ctx, r.config.Patience), r.checkFinished(ctx, now))
	}
	return errors.Join(append(errs, r.save(ctx))...)
}

// owned says that somebody may go on with a recording: its stream has an owner in this cluster that does not show
// another.
func (r *Recovery) owned(ctx context.Context, ref reclog.Ref) (bool, error) {
	lease, held, err := r.leases.Owner(ctx, ref.Path)
	return held && !r.left(lease, ref.ID), err
}

// left says that the stream's owner has left a recording for another: its publisher went to another cluster, whose
// storage does not have this one, or its node could not continue it.
func (r *Recovery) left(lease media.Lease, id media.RecordingID) bool {
	ours := cmp.Or(r.config.Cluster, media.DefaultCluster)
	elsewhere := cmp.Or(lease.Cluster, media.DefaultCluster) != ours
	return lease.Recording != id && (lease.Recording != "" || elsewhere)
}

// close ends a recording, if nobody goes on with it and it is as it was seen.
func (r *Recovery) close(ctx context.Context, orphan reclog.Orphan) error {
	lease := media.Lease{Path: orphan.Path, Node: r.config.Owner, Cluster: r.config.Cluster}
	epoch, err := r.leases.Claim(ctx, lease, orphan.Epoch)
	switch {
	case err == nil:
		lease.Epoch = epoch
		err = r.hold(ctx, lease, func(ctx context.Context) error {
			return r.end(ctx, orphan, epoch, func() error { return r.leases.Renew(ctx, lease) })
		})
	case errors.Is(err, media.ErrConflict):
		err = r.closeLeft(ctx, orphan)
	case errors.Is(err, media.ErrUnavailable):
		r.logger.Debug("recording is left alone", "recording", orphan.ID, "err", err)
		return nil
	}
	if ctx.Err() == nil && (errors.Is(err, errLost) || errors.Is(err, media.ErrFenced)) {
		r.logger.Info("recording is left to another", "recording", orphan.ID, "err", err)
		return nil
	}
	return err
}

// closeLeft ends a recording that its stream's owner has left. It takes no lease, for that is the owner's: whoever
// comes back to the recording has acquired a later epoch than what it is ended under, and so is the one that has it.
func (r *Recovery) closeLeft(ctx context.Context, orphan reclog.Orphan) error {
	lease, held, err := r.leases.Owner(ctx, orphan.Path)
	if err != nil || !held || !r.left(lease, orphan.ID) {
		return err
	}
	return r.end(ctx, orphan, max(lease.Epoch, orphan.Epoch), func() error {
		now, held, err := r.leases.Owner(ctx, orphan.Path)
		if err == nil && (!held || now.Epoch != lease.Epoch || !r.left(now, orphan.ID)) {
			err = media.ErrFenced
		}
		return err
	})
}

// hold runs fn under a context that ends when the lease is lost, or can't be renewed before it runs out. Then it gives
// the lease back.
func (r *Recovery) hold(ctx context.Context, lease media.Lease, fn func(ctx context.Context) error) error {
	holding, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		r.renew(holding, lease, cancel)
	}()
	err := fn(holding)
	if lost := context.Cause(holding); err != nil && errors.Is(lost, errLost) {
		err = lost
	}
	cancel(nil)
	<-renewed

	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer done()
	if releaseErr := r.leases.Release(ctx, lease.Path, lease.Node, lease.Epoch); releaseErr != nil {
		// It runs out by itself.
		r.logger.Debug("lease not given back", "publisher", lease.Path.Publisher, "stream", lease.Path.Stream,
			"err", releaseErr)
	}
	return err
}

func (r *Recovery) renew(ctx context.Context, lease media.Lease, cancel context.CancelCauseFunc) {
	every := r.config.LeaseTTL / 5
	tick := time.NewTicker(every)
	defer tick.Stop()
	until := time.Now().Add(r.config.LeaseTTL)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begun := time.Now()
		callCtx, done := context.WithTimeout(ctx, every)
		err := r.leases.Renew(callCtx, lease)
		done()
		switch {
		case err == nil:
			until = begun.Add(r.config.LeaseTTL)
		case errors.Is(err, media.ErrFenced), time.Until(until) <= 2*every:
			cancel(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// end makes the recording final on storage. It ended when its last media did, not now: that is when its dues begin.
// Confirm asks whether it is still to be ended.
func (r *Recovery) end(ctx context.Context, orphan reclog.Orphan, epoch uint64, confirm func() error) error {
	same, err := r.orphans.Same(orphan)
	if err != nil || !same {
		return err // somebody was faster, or writes it after all
	}
	rec, writer, err := r.root.ReopenAs(ctx, orphan.Path, orphan.ID, epoch)
	if errors.Is(err, media.ErrNotFound) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	// A publisher may have come while the recording was recovered. It has acquired the stream before it looked at
	// storage, so this tells.
	if err := confirm(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	if !rec.State.Growing() {
		return nil // it was, when it was looked at
	}
	last := rec.LastMedia().UTC()
	if err := writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, last }); err != nil {
		return err
	}
	history := rec.LastHistory(r.config.Cluster) // while it says that it grows
	rec.State, rec.EndedAt = media.Ended, last
	r.metrics.closed.WithLabelValues("orphan").Inc()
	r.logger.Info("recording ended: its owner is gone", "publisher", orphan.Path.Publisher,
		"stream", orphan.Path.Stream, "recording", orphan.ID, "idle", orphan.Idle, "ended_at", last)
	r.ended(rec, history)
	return nil
}

// unsaved is a row, and what its owner may not have come to tell.
type unsaved struct {
	row     media.Recording
	history []media.LogEvent
}

// ended notes the row of a recording that has ended on storage.
func (r *Recovery) ended(rec *reclog.Recording, history []media.LogEvent) {
	row := rec.Row()
	row.State, row.Cluster = media.Ended, r.config.Cluster
	r.unsaved[row.ID] = unsaved{row, history}
}

// save brings the catalog what is noted, and tells of it. A row that the catalog refuses for good is given up.
func (r *Recovery) save(ctx context.Context) error {
	var errs []error
	for id, u := range r.unsaved {
		err := r.rows.SaveRecording(ctx, u.row, u.history...)
		if err != nil {
			errs = append(errs, err)
		}
		if err == nil || errors.Is(err, media.ErrConflict) || errors.Is(err, media.ErrInvalid) {
			delete(r.unsaved, id)
		}
		if err == nil {
			r.tell(ctx, u.row)
		}
	}
	return errors.Join(errs...)
}

// tell publishes that a recording ended. One that is lost costs its readers a later look: the catalog has the truth.
func (r *Recovery) tell(ctx context.Context, row media.Recording) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	event := media.Event{
		Type: media.EventEnded, Time: time.Now(), Publisher: row.Path.Publisher, Stream: row.Path.Stream,
		Recording: row.ID,
	}
	if err := r.events.Publish(ctx, event); err != nil {
		r.logger.Warn("event lost", "event", event.Type, "recording", row.ID, "err", err)
	}
}
