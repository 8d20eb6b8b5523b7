package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// clipDue is what is due of clips, in the words of its index. Those that are not made yet are neither local nor
	// archived. $1 is now, $4 the cluster.
	clipDue = `(cluster = $4 AND clip_due IS NOT NULL AND state IN ('ended', 'archived') AND clip_due <= $1` + free + `)`

	clipNew  = ` AND NOT local AND state = 'ended'`
	clipMade = ` AND (local OR state = 'archived')`

	// clipRefers says of the clips of $1 that they have no media of their own.
	clipRefers = `clip_of = $1 AND clip_of <> '' AND NOT clip_own AND state <> 'deleted' AND state <> 'deleting'`
)

// CreateClip adds the row of a clip: r tells what it is of, from where to where, its name and labels. A clip of a clip
// is one of that one's source, as long as that is there. The row is ended and on no storage, until an archiver has made
// it.
// What can't be is a *media.FieldError of start or end; media.ErrNotFound, media.ErrGone and media.ErrConflict are of
// the source.
func (db *DB) CreateClip(ctx context.Context, r media.Recording) (media.Recording, error) {
	of := r.ClipOf
	if err := (media.RecordingChange{Name: &r.Name, Labels: r.Labels}).Check(); err != nil {
		return media.Recording{}, fmt.Errorf("clip recording %s: %w", shown(string(of)), err)
	}
	err := db.write(ctx, func(tx *sql.Tx) error {
		source, err := recording(ctx, tx, of)
		if err != nil {
			return err
		}
		// Publishers are locked before recordings, as where settings change.
		settings, err := lockSettings(ctx, tx, source.Path)
		if err != nil {
			return err
		}
		if source, err = lockSource(ctx, tx, of); err != nil {
			return err
		}
		if err := media.CheckClip(source, r.ClipStart, r.ClipEnd, db.clock()); err != nil {
			return err
		}
		if source.ClipOf != "" {
			switch original, err := lockSource(ctx, tx, source.ClipOf); {
			case err == nil:
				apart := source.StartedAt.Sub(original.StartedAt)
				r.ClipStart, r.ClipEnd, source = r.ClipStart+apart, r.ClipEnd+apart, original
			case !errors.Is(err, media.ErrGone) && !errors.Is(err, media.ErrNotFound) && !errors.Is(err, media.ErrConflict):
				return err
			}
		}
		if r, err = db.insertClip(ctx, tx, r, source, settings); err != nil {
			return err
		}
		return saveLabels(ctx, tx, r.ID, r.Labels)
	})
	if err != nil {
		return media.Recording{}, db.failed("clip recording "+shown(string(of)), err)
	}
	return r, nil
}

// lockSource gives a recording that may have clips, and keeps it from being deleted until the transaction ends.
func lockSource(ctx context.Context, tx *sql.Tx, id media.RecordingID) (media.Recording, error) {
	r, err := scanRecording(tx.QueryRowContext(ctx, `UPDATE recordings SET updated_at = updated_at
		WHERE id = $1 AND state <> 'deleting' AND state <> 'deleted' RETURNING `+recordingColumns, id))
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = recording(ctx, tx, id); err == nil {
			err = media.ErrGone
		}
	}
	if err == nil && !r.State.Growing() && !r.Local && r.State != media.Archived {
		err = fmt.Errorf("%w: %s is on no storage: a clip that is not made yet, or a recording that was lost",
			media.ErrConflict, id)
	}
	return r, err
}

func (db *DB) insertClip(
	ctx context.Context, tx *sql.Tx, r, source media.Recording, settings media.Settings,
) (media.Recording, error) {
	now := db.clock()
	r.ID, r.Path, r.Cluster, r.State = media.RecordingID(newID()), source.Path, source.Cluster, media.Ended
	r.ClipOf, r.StartedAt, r.EndedAt = source.ID, source.StartedAt.Add(r.ClipStart), now
	r.Duration = r.ClipEnd - r.ClipStart
	applyDues(&r, settings)
	var begun bool
	if err := tx.QueryRowContext(ctx, `SELECT archive_begun FROM recordings WHERE id = $1`,
		source.ID).Scan(&begun); err != nil {
		return r, err
	}
	if begun { // its media is there, or will be
		r.Archive, r.Mirror = source.Archive, source.Mirror
	}
	r.Continuous = false
	return scanRecording(tx.QueryRowContext(ctx, `
		INSERT INTO recordings (
			id, publisher, stream, cluster, state, started_at, ended_at, duration_ms, bytes, continues, local, archive_due,
			expire_due, expire_reason, updated_at, held, archive, mirror, archive_begun,
			clip_of, clip_start_ms, clip_end_ms, clip_due, name, name_folded, labels,
			keep, attempts, last_error, claim_action, claim_owner, claim_epoch
		) VALUES ($1, $2, $3, $4, 'ended', $5, $6, $7, 0, '', FALSE, $8, $9, $10, $6, $11, $12, $13, $14,
			$15, $16, $17, $6, $18, $19, $20, FALSE, 0, '', '', '', 0)
		RETURNING `+recordingColumns,
		r.ID, r.Path.Publisher, r.Path.Stream, r.Cluster, millis(r.StartedAt), millis(now), r.Duration.Milliseconds(),
		millis(r.ArchiveDue), millis(r.ExpireDue), r.ExpireReason, r.Held, r.Archive, r.Mirror, begun,
		r.ClipOf, r.ClipStart.Milliseconds(), r.ClipEnd.Milliseconds(), r.Name,
		folded(r.Name), encodeLabels(r.Labels)))
}

// claimClip takes the clip that has been due for longest, as claimDue does.
func claimClip(kind, lock string) string {
	return `
	UPDATE recordings SET
		claim_action = 'clip',
		attempts = attempts + CASE WHEN claim_until IS NULL THEN 0 ELSE 1 END,
		last_error = CASE WHEN claim_until IS NULL THEN last_error
			ELSE 'archiver ' || claim_owner || ' stopped in the middle of ' || claim_action END,
		claim_owner = $2,
		claim_epoch = claim_epoch + 1,
		claim_until = $3,
		updated_at = $1
	WHERE id = (SELECT id FROM recordings WHERE ` + clipDue + kind + ` ORDER BY clip_due LIMIT 1` + lock + `)
		AND ` + clipDue + kind + `
	RETURNING ` + recordingColumns + `, claim_action, claim_epoch`
}

// ClaimClip leases to the owner the clip of its cluster that is to be made, or, for made, one that has to get a copy of
// its media. Making one takes a moment and somebody waits for it, copying may take long: so each has its own loop.
// media.ErrNotFound says that nothing is due.
func (db *DB) ClaimClip(
	ctx context.Context, owner, cluster string, made bool, now time.Time, lease time.Duration,
) (media.Claim, error) {
	kind := clipNew
	if made {
		kind = clipMade
	}
	claim := media.Claim{Owner: owner, Until: time.UnixMilli(now.Add(lease).UnixMilli()).UTC()}
	row := db.writes.QueryRowContext(ctx, claimClip(kind, db.skipLocked),
		now.UnixMilli(), owner, claim.Until.UnixMilli(), cluster)
	err := row.Scan(append(recordingFields(&claim.Recording), &claim.Action, &claim.Epoch)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrNotFound
	}
	if err != nil {
		return media.Claim{}, db.failed("claim a clip", err)
	}
	return claim, nil
}

// FinishClip says what became of a clip's claim. One that was made is local, or archived since r.ArchivedAt, and has
// the start, length and size of its segments; own says that it has a copy of its media. One that is neither local nor
// archived can't be made, and r.LastError says why: it stays for an operator to see, as what was lost. media.ErrFenced
// when another claim has followed.
func (db *DB) FinishClip(ctx context.Context, c media.Claim, r media.Recording, own bool) error {
	made := r.Local || r.State == media.Archived
	if !made {
		r.ArchiveDue = time.Time{}
	}
	return db.settleTold(ctx, "finish", c, clipEvents(c, r), `claim_until = NULL, retry_at = NULL, attempts = 0,
		failure_told = NULL, clip_due = NULL,
		last_error = $3, updated_at = $4, state = $5, local = $6, archived_at = $7, archive_due = $8,
		started_at = $9, duration_ms = $10, bytes = $11, clip_own = $12, archive = $13, mirror = $14,
		archive_begun = CASE WHEN $5 = 'archived' THEN TRUE ELSE archive_begun END`,
		shortened(r.LastError), db.now().UnixMilli(), r.State, r.Local, millis(r.ArchivedAt), millis(r.ArchiveDue),
		millis(r.StartedAt), r.Duration.Milliseconds(), r.Bytes, own, r.Archive, r.Mirror)
}

// clipEvents tells what became of a clip. That it got a copy of its media is no event.
func clipEvents(c media.Claim, r media.Recording) []media.LogEvent {
	if c.Recording.Local || c.Recording.State == media.Archived {
		return nil
	}
	switch {
	case r.State == media.Archived:
		return []media.LogEvent{endedEvent(r, ""), archivedEvent(r, "")}
	case r.Local:
		return []media.LogEvent{endedEvent(r, "")}
	}
	return []media.LogEvent{lostEvent(r, c.Action, shortened(r.LastError))}
}

// PostponeClaim gives a claim up without having failed: what it is about is due again at the time, and why is the row's
// last error. media.ErrFenced when another claim has followed.
func (db *DB) PostponeClaim(ctx context.Context, c media.Claim, why string, until time.Time) error {
	return db.settle(ctx, "postpone", c, `claim_until = NULL, retry_at = $3, updated_at = $4,
		state = CASE WHEN state = 'archiving' THEN 'ended' ELSE state END, last_error = $5`,
		millis(until), db.now().UnixMilli(), shortened(why))
}

// ReleaseClips has the clips of a recording that is to be deleted get copies of its media, at once. It gives the number
// of those that have none yet: the media must not go before it is zero.
func (db *DB) ReleaseClips(ctx context.Context, id media.RecordingID, now time.Time) (int, error) {
	n, err := db.release(ctx, id, now, "")
	if err != nil {
		return 0, db.failed("release the clips of recording "+shown(string(id)), err)
	}
	return n, nil
}

// ReleaseLocalClips is ReleaseClips for a recording that the archive has, and whose local copy is to be dropped: its
// clips that are local are archived at once, which takes no media, and dropped, or, if they are not to be archived, get
// copies.
func (db *DB) ReleaseLocalClips(ctx context.Context, id media.RecordingID, now time.Time) (int, error) {
	const soon = ` AND state = 'ended' AND local AND archive_due IS NOT NULL`
	_, err := changed(ctx, db.writes, `UPDATE recordings SET archive_due = $2, retry_at = NULL
		WHERE `+clipRefers+soon+` AND archive_due > $2`, id, now.UnixMilli())
	if err == nil {
		_, err = changed(ctx, db.writes, `UPDATE recordings SET drop_due = $2, retry_at = NULL
			WHERE `+clipRefers+` AND state = 'archived' AND local AND (drop_due IS NULL OR drop_due > $2)`, id, now.UnixMilli())
	}
	var n int
	if err == nil {
		n, err = db.release(ctx, id, now, ` AND state <> 'archived' AND (local OR clip_due IS NOT NULL)
			AND NOT (state = 'ended' AND local AND archive_due IS NOT NULL) AND state <> 'archiving'`)
	}
	if err == nil {
		err = db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM recordings WHERE `+clipRefers+
			` AND (local OR clip_due IS NOT NULL)`, id).Scan(&n)
	}
	if err != nil {
		return 0, db.failed("release the local clips of recording "+shown(string(id)), err)
	}
	return n, nil
}

// release asks for copies, and counts the clips without one. Those that were given up as lost are not waited for.
func (db *DB) release(ctx context.Context, id media.RecordingID, now time.Time, which string) (n int, err error) {
	_, err = changed(ctx, db.writes, `UPDATE recordings SET clip_due = $2, retry_at = NULL
		WHERE `+clipRefers+which+` AND clip_due IS NULL AND (local OR state = 'archived')`, id, now.UnixMilli())
	if err == nil {
		err = db.writes.QueryRowContext(ctx, `SELECT COUNT(*) FROM recordings WHERE `+clipRefers+which+
			` AND (local OR state = 'archived' OR clip_due IS NOT NULL)`, id).Scan(&n)
	}
	return n, err
}
