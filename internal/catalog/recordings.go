package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const recordingColumns = `id, publisher, stream, cluster, state, started_at, ended_at, duration_ms, bytes, continues,
	keep, held, local, archive_due, expire_due, expire_reason, drop_due, archived_at, deleted_at, attempts, last_error,
	archive, mirror, continuous, uploaded, progress_done, progress_total, progress_rate, progress_at,
	clip_of, clip_start_ms, clip_end_ms, name, labels, revision`

func scanRecording(row scanner) (media.Recording, error) {
	var r media.Recording
	err := row.Scan(recordingFields(&r)...)
	return r, err
}

// recordingFields are the places that recordingColumns are scanned into.
func recordingFields(r *media.Recording) []any {
	return []any{
		&r.ID, &r.Path.Publisher, &r.Path.Stream, &r.Cluster, &r.State, at{&r.StartedAt}, at{&r.EndedAt},
		inMillis{&r.Duration}, &r.Bytes, &r.Continues, &r.Keep, &r.Held, &r.Local,
		at{&r.ArchiveDue}, at{&r.ExpireDue}, &r.ExpireReason, at{&r.DropDue}, at{&r.ArchivedAt}, at{&r.DeletedAt},
		&r.Attempts, &r.LastError, &r.Archive, &r.Mirror, &r.Continuous, &r.Uploaded,
		&r.Progress.Done, &r.Progress.Total, &r.Progress.Rate, at{&r.Progress.At},
		&r.ClipOf, inMillis{&r.ClipStart}, inMillis{&r.ClipEnd}, &r.Name, inJSON{&r.Labels}, &r.Revision,
	}
}

// SaveRecording is for a recording's owner, who has it on its storage: it adds the row, or brings it up to date. Its
// state is live, interrupted or ended; the ending save computes when the recording is due. Saves may be repeated and
// come late: one that the row has gone past changes nothing and is no error. Keep, dues and what the archiver writes
// are not the owner's, and are left as they are; so are a row's path, cluster and start. media.ErrConflict when the id
// belongs to another stream.
//
// The events are logged with the row, in their order, and behind them that the recording ended; a save that changes
// nothing logs nothing.
func (db *DB) SaveRecording(ctx context.Context, r media.Recording, events ...media.LogEvent) error {
	err := checkSaved(r)
	if err == nil {
		err = checkEvents(events)
	}
	if err != nil {
		return fmt.Errorf("save recording: %w", err)
	}
	if r.State.Growing() {
		err = db.saveGrowing(ctx, r, events)
	} else {
		err = db.saveEnded(ctx, r, events)
	}
	if err != nil {
		return db.failed("save recording "+string(r.ID), err)
	}
	return nil
}

func (db *DB) saveGrowing(ctx context.Context, r media.Recording, events []media.LogEvent) error {
	r.EndedAt, r.ArchiveDue, r.ExpireDue = time.Time{}, time.Time{}, time.Time{}
	if len(events) == 0 {
		_, err := db.saveIn(ctx, db.writes, r)
		return err
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		if saved, err := db.saveIn(ctx, tx, r); err != nil || !saved {
			return err
		}
		return db.logEvents(ctx, tx, events...)
	})
}

func (db *DB) saveEnded(ctx context.Context, r media.Recording, events []media.LogEvent) error {
	if r.EndedAt.IsZero() {
		r.EndedAt = db.clock()
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		settings, err := lockSettings(ctx, tx, r.Path)
		if err != nil {
			return err
		}
		applyDues(&r, settings)
		saved, err := db.saveIn(ctx, tx, r)
		if err == nil {
			err = judgeSoon(ctx, tx, r.Path.Publisher)
		}
		if err != nil || !saved {
			return err
		}
		return db.logEvents(ctx, tx, append(slices.Clone(events), endedEvent(r, ""))...)
	})
}

// saveIn says whether the row took what was saved.
func (db *DB) saveIn(ctx context.Context, q querier, r media.Recording) (saved bool, err error) {
	n, err := changed(ctx, q, saveRecording,
		r.ID, r.Path.Publisher, r.Path.Stream, r.State, millis(r.StartedAt), millis(r.EndedAt),
		r.Duration.Milliseconds(), r.Bytes, r.Continues, millis(r.ArchiveDue), millis(r.ExpireDue), db.now().UnixMilli(),
		clusterOf(r), r.Held, r.Continuous, r.Archive, r.Mirror, r.ExpireReason,
		r.ClipOf, r.ClipStart.Milliseconds(), r.ClipEnd.Milliseconds())
	if err != nil || n > 0 {
		return err == nil, err
	}
	return false, samePath(ctx, q, r)
}

// saveRecording's last condition is the first invariant. Of two endings the later one is true: the earlier comes from
// an owner that was fenced, or from the row's having been closed as lost.
const saveRecording = `
	INSERT INTO recordings (
		id, publisher, stream, state, started_at, ended_at, duration_ms, bytes, continues, archive_due, expire_due,
		updated_at, cluster, held, continuous, archive, mirror, expire_reason, clip_of, clip_start_ms, clip_end_ms,
		keep, local, attempts, last_error, claim_action, claim_owner, claim_epoch
	) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
		FALSE, TRUE, 0, '', '', '', 0)
	ON CONFLICT (id) DO UPDATE SET
		state = excluded.state,
		ended_at = excluded.ended_at,
		duration_ms = CASE WHEN excluded.state = 'ended' OR excluded.duration_ms > recordings.duration_ms
			THEN excluded.duration_ms ELSE recordings.duration_ms END,
		bytes = CASE WHEN excluded.state = 'ended' OR excluded.bytes > recordings.bytes
			THEN excluded.bytes ELSE recordings.bytes END,
		continues = CASE WHEN excluded.continues <> '' THEN excluded.continues ELSE recordings.continues END,
		archive_due = excluded.archive_due,
		expire_due = excluded.expire_due,
		expire_reason = excluded.expire_reason,
		held = CASE WHEN excluded.state = 'ended' THEN excluded.held ELSE recordings.held END,
		continuous = CASE WHEN excluded.state = 'ended' THEN excluded.continuous ELSE recordings.continuous END,
		archive = CASE WHEN excluded.state = 'ended' AND NOT recordings.archive_begun
			THEN excluded.archive ELSE recordings.archive END,
		mirror = CASE WHEN excluded.state = 'ended' AND NOT recordings.archive_begun
			THEN excluded.mirror ELSE recordings.mirror END,
		last_error = CASE WHEN recordings.local THEN recordings.last_error ELSE '' END,
		local = TRUE,
		claim_until = CASE WHEN excluded.state = 'ended' AND recordings.claim_action = 'upload'
			THEN NULL ELSE recordings.claim_until END,
		updated_at = excluded.updated_at
	WHERE recordings.publisher = excluded.publisher AND recordings.stream = excluded.stream AND (
		recordings.state IN ('live', 'interrupted') OR (
			recordings.state = 'ended' AND excluded.state = 'ended' AND (
				NOT recordings.local OR excluded.ended_at >= recordings.ended_at)))`

func checkSaved(r media.Recording) error {
	if _, err := media.ParseRecordingID(string(r.ID)); err != nil {
		return err
	}
	if _, err := media.ParseStreamPath(r.Path.String()); err != nil {
		return fmt.Errorf("%s: %w", r.ID, err)
	}
	if err := media.CheckClusterName(clusterOf(r)); err != nil {
		return fmt.Errorf("%s: %w", r.ID, err)
	}
	if r.Continues != "" {
		if _, err := media.ParseRecordingID(string(r.Continues)); err != nil {
			return fmt.Errorf("%s continues: %w", r.ID, err)
		}
	}
	switch {
	case r.State != media.Ended && !r.State.Growing():
		return fmt.Errorf("%s: %w: state %.20q is not its owner's to set", r.ID, media.ErrInvalid, r.State)
	case r.StartedAt.IsZero():
		return fmt.Errorf("%s: %w: it has no start", r.ID, media.ErrInvalid)
	case r.Duration < 0 || r.Bytes < 0:
		return fmt.Errorf("%s: %w: its duration or size is negative", r.ID, media.ErrInvalid)
	}
	return nil
}

// clusterOf gives the cluster that a row is to have.
func clusterOf(r media.Recording) string {
	if r.Cluster == "" {
		return media.DefaultCluster
	}
	return r.Cluster
}

func samePath(ctx context.Context, q querier, r media.Recording) error {
	have, err := recording(ctx, q, r.ID)
	if err == nil && have.Path != r.Path {
		err = fmt.Errorf("%w: it is a recording of %s, not of %s", media.ErrConflict, have.Path, r.Path)
	}
	return err
}

// Recording gives a recording, also a deleted one, whose state says so. media.ErrNotFound when it never was.
func (db *DB) Recording(ctx context.Context, id media.RecordingID) (media.Recording, error) {
	r, err := recording(ctx, db.reads, id)
	if err != nil {
		return media.Recording{}, db.failed("recording "+shown(string(id)), err)
	}
	return r, nil
}

func recording(ctx context.Context, q querier, id media.RecordingID) (media.Recording, error) {
	r, err := scanRecording(q.QueryRowContext(ctx, `SELECT `+recordingColumns+` FROM recordings WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, media.ErrNotFound
	}
	return r, err
}

// LatestRecording gives the stream's recording that began last, of those that are not deleted or being deleted. Clips
// do not count: they would take the place of the show that they are of.
func (db *DB) LatestRecording(ctx context.Context, path media.StreamPath) (media.Recording, error) {
	r, err := scanRecording(db.reads.QueryRowContext(ctx, `SELECT `+recordingColumns+` FROM recordings
		WHERE publisher = $1 AND stream = $2 AND clip_of = '' AND state <> 'deleted' AND state <> 'deleting'
		ORDER BY started_at DESC, id DESC LIMIT 1`, path.Publisher, path.Stream))
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrNotFound
	}
	if err != nil {
		return media.Recording{}, db.failed("latest recording of "+shown(path.String()), err)
	}
	return r, nil
}

const growingQuery = `SELECT ` + recordingColumns + ` FROM recordings
	WHERE cluster = $1 AND state IN ('live', 'interrupted') ORDER BY started_at, id`

// Growing lists the cluster's recordings that are live or interrupted, oldest first, so that a starting node finds
// those whose storage no longer has them.
func (db *DB) Growing(ctx context.Context, cluster string) ([]media.Recording, error) {
	list, err := all(ctx, db.reads, scanRecording, growingQuery, cluster)
	if err != nil {
		return nil, db.failed("growing recordings", err)
	}
	return list, nil
}

// CloseLost ends a growing recording whose storage is gone, and keeps the reason as its last error. What was uploaded
// of it while it grew is due to be archived; else it stays ended, for an operator to see, until retention or a deletion
// takes it. If the storage comes back, its owner's next ending save makes it whole again. The log says that it ended,
// and, if nothing was uploaded, that it failed.
func (db *DB) CloseLost(ctx context.Context, id media.RecordingID, reason string) (media.Recording, error) {
	var closed media.Recording
	err := db.write(ctx, func(tx *sql.Tx) error {
		r, err := recording(ctx, tx, id)
		if err != nil {
			return err
		}
		settings, err := lockSettings(ctx, tx, r.Path)
		if err != nil {
			return err
		}
		ended := r.StartedAt.Add(r.Duration)
		r.EndedAt = ended
		applyDues(&r, settings)
		closed, err = scanRecording(tx.QueryRowContext(ctx, `
			UPDATE recordings SET state = 'ended', local = FALSE, ended_at = $1, archive_due = $2, expire_due = $3,
				last_error = $4, updated_at = $5, held = $7, continuous = $8, expire_reason = $9,
				claim_until = CASE WHEN claim_action = 'upload' THEN NULL ELSE claim_until END
			WHERE id = $6 AND state IN ('live', 'interrupted') RETURNING `+recordingColumns,
			millis(ended), millis(r.ArchiveDue), millis(r.ExpireDue), shortened(reason), db.now().UnixMilli(), id,
			r.Held, r.Continuous, r.ExpireReason))
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("%w: it is %s", media.ErrConflict, r.State)
		}
		if err != nil {
			return err
		}
		if err := judgeSoon(ctx, tx, r.Path.Publisher); err != nil {
			return err
		}
		events := []media.LogEvent{endedEvent(closed, shortened(reason))}
		if !closed.Uploaded {
			events = append(events, lostEvent(closed, media.ActRecord, shortened(reason)))
		}
		return db.logEvents(ctx, tx, events...)
	})
	if err != nil {
		return media.Recording{}, db.failed("close lost recording "+shown(string(id)), err)
	}
	return closed, nil
}

// RequestDelete makes a finished recording answer "deleted" from now on and has the archiver remove it. It may be
// repeated. media.ErrConflict, saying what to do, while the recording grows, is being archived, or is kept.
func (db *DB) RequestDelete(ctx context.Context, id media.RecordingID, revisions ...int64) (media.Recording, error) {
	var c conditions
	now := c.arg(db.now().UnixMilli())
	c.add(`id = ` + c.arg(id))
	c.revisions(revisions)
	r, err := scanRecording(db.writes.QueryRowContext(ctx, `
		UPDATE recordings SET state = 'deleting', expire_due = `+now+`, expire_reason = 'deleted', retry_at = NULL,
			attempts = 0, failure_told = NULL, last_error = '', updated_at = `+now+`
		WHERE `+c.where()+` AND state IN ('ended', 'archived') AND NOT keep AND NOT held
		RETURNING `+recordingColumns, c.args...))
	if errors.Is(err, sql.ErrNoRows) {
		if r, err = recording(ctx, db.writes, id); err == nil {
			err = deletable(r, revisions)
		}
	}
	if err != nil {
		return media.Recording{}, db.failed("delete recording "+shown(string(id)), err)
	}
	db.judgeLater(ctx, r.Path.Publisher)
	return r, nil
}

// deletable says why a row was not moved to deleting; nil when it is there already.
func deletable(r media.Recording, revisions []int64) error {
	if r.State == media.Deleting || r.State == media.Deleted {
		return nil
	}
	if err := checkRevision(r.Revision, revisions); err != nil {
		return err
	}
	switch {
	case r.State.Growing():
		return fmt.Errorf("%w: it is %s: stop publishing, or wait until it has ended", media.ErrConflict, r.State)
	case r.Held:
		return fmt.Errorf("%w: the setting keep of its publisher or stream holds it: set that to false first",
			media.ErrConflict)
	case r.Keep:
		return fmt.Errorf("%w: it is kept: set keep to false first", media.ErrConflict)
	}
	return fmt.Errorf("%w: it is being archived: try again in a while", media.ErrConflict)
}
