package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Restored says what became of a row that was restored.
type Restored string

// What becomes of a row.
const (
	RestoredAdded   Restored = "added"
	RestoredChanged Restored = "changed"
	RestoredLeft    Restored = "left" // the row knows as much or more
)

// Restore makes the catalog know a recording that is on storage, for rebuilding it from there. The recording is ended,
// or archived with the time of it; Local says whether the cluster's storage has it. Its dues come from the settings in
// force, like those of a show that just ended. It refers to no publisher or stream, and makes none: settings of those
// that are missing are the defaults.
//
// A row that is there is changed in these cases only: it is growing, which storage knows better; it had been closed as
// lost, and storage has it; it has ended and waits, and the archive has all of it already. Whatever an archiver holds,
// and whatever is archived, being deleted or deleted, is left. media.ErrConflict when the id belongs to another stream.
//
// Who calls it knows that nobody records the show any more: no node has a lease on it.
func (db *DB) Restore(ctx context.Context, r media.Recording) (Restored, error) {
	if err := checkRestored(r); err != nil {
		return "", fmt.Errorf("restore recording: %w", err)
	}
	var done Restored
	err := db.write(ctx, func(tx *sql.Tx) error {
		settings, err := lockSettings(ctx, tx, r.Path)
		if err != nil {
			return err
		}
		archive, mirror := r.Archive, r.Mirror
		applyDues(&r, settings)
		if r.State == media.Archived { // it is where it was found
			r.Archive, r.Mirror = archive, mirror
		}
		if done, err = db.restoreIn(ctx, tx, r); err != nil {
			return err
		}
		return judgeSoon(ctx, tx, r.Path.Publisher)
	})
	if err != nil {
		return "", db.failed("restore recording "+string(r.ID), err)
	}
	return done, nil
}

// restoreIn adds the row, or else changes it: each a statement with its condition, so that whoever comes between is
// not undone.
func (db *DB) restoreIn(ctx context.Context, tx *sql.Tx, r media.Recording) (Restored, error) {
	args := []any{
		r.ID, r.Path.Publisher, r.Path.Stream, clusterOf(r), r.State, millis(r.StartedAt), millis(r.EndedAt),
		r.Duration.Milliseconds(), r.Bytes, r.Continues, r.Local, millis(r.ArchiveDue), millis(r.ExpireDue),
		millis(r.ArchivedAt), db.now().UnixMilli(), r.Held, r.Archive, r.Mirror, r.ExpireReason,
		r.ClipOf, r.ClipStart.Milliseconds(), r.ClipEnd.Milliseconds(),
	}
	n, err := changed(ctx, tx, restoreNew, args...)
	if err != nil || n > 0 {
		return RestoredAdded, err
	}
	if err := samePath(ctx, tx, r); err != nil {
		return "", err
	}
	n, err = changed(ctx, tx, restoreOld, append(args[:1:1], args[3:]...)...)
	if err != nil || n > 0 {
		return RestoredChanged, err
	}
	return RestoredLeft, nil
}

const restoreNew = `
	INSERT INTO recordings (
		id, publisher, stream, cluster, state, started_at, ended_at, duration_ms, bytes, continues, local, archive_due,
		expire_due, archived_at, updated_at, held, archive, mirror, expire_reason,
		clip_of, clip_start_ms, clip_end_ms, keep, attempts, last_error, claim_action, claim_owner, claim_epoch
	) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
		FALSE, 0, '', '', '', 0)
	ON CONFLICT (id) DO NOTHING`

// restoreOld leaves drop_due as it is: null, so that the local copy of what is found archived stays until retention,
// or until room is needed.
const restoreOld = `
	UPDATE recordings SET cluster = $2, state = $3, started_at = $4, ended_at = $5, duration_ms = $6, bytes = $7,
		continues = CASE WHEN $8 <> '' THEN $8 ELSE continues END,
		local = $9, archive_due = $10, expire_due = $11, archived_at = $12, updated_at = $13,
		held = $14, archive = $15, mirror = $16, expire_reason = $17,
		clip_of = CASE WHEN $18 <> '' THEN $18 ELSE clip_of END,
		clip_start_ms = CASE WHEN $18 <> '' THEN $19 ELSE clip_start_ms END,
		clip_end_ms = CASE WHEN $18 <> '' THEN $20 ELSE clip_end_ms END,
		attempts = 0, last_error = '', retry_at = NULL
	WHERE id = $1 AND claim_until IS NULL AND (
		state IN ('live', 'interrupted')
		OR (state = 'ended' AND NOT local AND ($9 OR $3 = 'archived'))
		OR (state = 'ended' AND $3 = 'archived'))`

func checkRestored(r media.Recording) error {
	archived := r.State == media.Archived
	switch {
	case !archived && r.State != media.Ended:
		return fmt.Errorf("%s: %w: state %.20q: storage can tell of ended and archived ones", r.ID, media.ErrInvalid, r.State)
	case r.EndedAt.IsZero():
		return fmt.Errorf("%s: %w: it has no end", r.ID, media.ErrInvalid)
	case archived == r.ArchivedAt.IsZero():
		return fmt.Errorf("%s: %w: it is %s, and archived at %v", r.ID, media.ErrInvalid, r.State, r.ArchivedAt)
	case !archived && !r.Local:
		return fmt.Errorf("%s: %w: neither the cluster nor the archive has it", r.ID, media.ErrInvalid)
	}
	r.State = media.Ended
	return checkSaved(r)
}
