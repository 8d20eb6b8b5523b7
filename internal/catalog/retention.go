package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ApplyRetention compares recordings with the bounds of their publishers and streams, where something changed since it
// was last done, or a minute ago. What is over a bound becomes due now, the oldest first: for deletion, or for the
// dropping of the cluster's copy. What is over it no longer, and was not acted on, is due by its age again. It gives
// how many recordings were changed, about limit at most; who gets that many asks again.
//
// What counts: every finished recording that is not being deleted and not due for deletion by its age. A held or kept
// one counts at its place by age and is never marked, so it makes no newer one go. A publisher's newest recording, and
// the newest of a stream for the stream's bound, is not deleted for its bytes alone. A hold does not keep the cluster's
// copy of what the archive has.
func (db *DB) ApplyRetention(ctx context.Context, now time.Time, limit int) (int, error) {
	if limit < 1 {
		return 0, &media.FieldError{Field: "limit", Want: fmt.Sprintf("%d is out of range: use 1 or more", limit)}
	}
	names, err := all(ctx, db.reads, func(row scanner) (name string, err error) {
		err = row.Scan(&name)
		return name, err
	}, boundsDueQuery, now.UnixMilli())
	if err != nil {
		return 0, db.failed("apply retention", err)
	}
	done := 0
	for _, name := range names {
		if done >= limit {
			break
		}
		n, err := db.judge(ctx, name, now, limit-done)
		done += n
		if err != nil {
			return done, db.failed("apply retention of publisher "+shown(name), err)
		}
	}
	return done, nil
}

// judgeAll has a change of settings judge all at once, so that what it makes due is known when it stands.
const judgeAll = 1 << 31

const boundsDueQuery = `SELECT DISTINCT publisher FROM retention_bounds WHERE judge_at IS NOT NULL AND judge_at <= $1
	ORDER BY publisher LIMIT 1000`

// judge looks without a lock whether there is anything to change, since it may be a long look and mostly there is not.
// The note is taken first, so that one that comes meanwhile stands.
func (db *DB) judge(ctx context.Context, name string, now time.Time, limit int) (n int, err error) {
	if _, err := changed(ctx, db.writes, judgeAt, now.Add(judgeAgain).UnixMilli(), name); err != nil {
		return 0, err
	}
	tiers, err := tiersOf(ctx, db.reads, name)
	if err != nil {
		return 0, err
	}
	some := false
	for _, t := range tiers {
		found, err := all(ctx, db.reads, func(row scanner) (n int, err error) { err = row.Scan(&n); return n, err },
			t.some, name, now.UnixMilli())
		if err != nil {
			return 0, err
		}
		some = some || len(found) > 0
	}
	if !some {
		return 0, nil
	}
	err = db.write(ctx, func(tx *sql.Tx) error {
		p, err := lockPublisher(ctx, tx, name)
		if errors.Is(err, media.ErrNotFound) { // its bounds went with it
			return nil
		}
		if err != nil {
			return err
		}
		n, err = judgeIn(ctx, tx, p, now, limit)
		return err
	})
	return n, err
}

// judgeIn judges the recordings of a publisher whose lock the transaction has, and notes when to do so again: at once
// where the limit cut it short.
func judgeIn(ctx context.Context, tx *sql.Tx, p media.Publisher, now time.Time, limit int) (int, error) {
	tiers, err := tiersOf(ctx, tx, p.Name)
	if err != nil || len(tiers) == 0 {
		return 0, err
	}
	done := 0
	for _, t := range tiers {
		n, err := changed(ctx, tx, t.mark, p.Name, now.UnixMilli(), limit)
		if err != nil {
			return done, err
		}
		done += int(n)
		ids, err := all(ctx, tx, func(row scanner) (id media.RecordingID, err error) { err = row.Scan(&id); return id, err },
			t.unmarked, p.Name, now.UnixMilli(), limit)
		if err != nil {
			return done, err
		}
		for _, id := range ids {
			if err := t.undo(ctx, tx, p, id); err != nil {
				return done, err
			}
			done++
		}
	}
	next := now.Add(judgeAgain)
	if done >= limit {
		next = now
	}
	_, err = changed(ctx, tx, judgeAt, next.UnixMilli(), p.Name)
	return done, err
}

const judgeAt = `UPDATE retention_bounds SET judge_at = $1 WHERE publisher = $2 AND judge_at IS NOT NULL`

// tier is where bounds hold, and what follows from them there.
type tier struct {
	some, mark, unmarked string
	undo                 func(context.Context, *sql.Tx, media.Publisher, media.RecordingID) error
}

// tiersOf gives those that anything of the publisher is bounded in.
func tiersOf(ctx context.Context, q querier, name string) (tiers []tier, err error) {
	var everywhere, local int64
	err = q.QueryRowContext(ctx, `
		SELECT COALESCE(MAX(most), 0) + COALESCE(MAX(bytes), 0), COALESCE(MAX(local_most), 0) + COALESCE(MAX(local_bytes), 0)
		FROM retention_bounds WHERE publisher = $1`, name).Scan(&everywhere, &local)
	if err == nil && everywhere > 0 {
		tiers = append(tiers, tier{someDelete, markDelete, unmarkedDelete, undoDelete})
	}
	if err == nil && local > 0 {
		tiers = append(tiers, tier{someDrop, markDrop, unmarkedDrop, undoDrop})
	}
	return tiers, err
}

// undoDelete has a recording expire by its age again, if nobody began to delete it.
func undoDelete(ctx context.Context, tx *sql.Tx, p media.Publisher, id media.RecordingID) error {
	r, err := recording(ctx, tx, id)
	if err != nil {
		return err
	}
	s, err := settingsUnder(ctx, tx, p, r.Path)
	if err != nil {
		return err
	}
	due, reason := expiryOf(r.EndedAt, s)
	_, err = changed(ctx, tx, `
		UPDATE recordings SET
			expire_due = CASE WHEN `+begun+` THEN CAST($1 AS BIGINT) ELSE CAST($2 AS BIGINT) END,
			expire_reason = CASE WHEN `+begun+` THEN CAST($3 AS TEXT) ELSE CAST($4 AS TEXT) END
		WHERE id = $5 AND state IN ('ended', 'archiving', 'archived')`,
		millis(retained(r.EndedAt, s)), millis(due), reasonOfAge(s), reason, id)
	return err
}

// undoDrop has the cluster's copy of a recording go by its age again.
func undoDrop(ctx context.Context, tx *sql.Tx, p media.Publisher, id media.RecordingID) error {
	var grace time.Time
	if err := tx.QueryRowContext(ctx, `SELECT drop_grace FROM recordings WHERE id = $1`, id).Scan(at{&grace}); err != nil {
		return err
	}
	r, err := recording(ctx, tx, id)
	if err != nil {
		return err
	}
	s, err := settingsUnder(ctx, tx, p, r.Path)
	if err != nil {
		return err
	}
	due, reason := dropDueOf(r.ArchivedAt, grace, s)
	_, err = changed(ctx, tx, `UPDATE recordings SET drop_due = $1, drop_reason = $2 WHERE id = $3 AND state = 'archived'`,
		millis(due), reason, id)
	return err
}

// settingsUnder gives the settings in force for a path of a publisher whose lock the transaction has.
func settingsUnder(ctx context.Context, tx *sql.Tx, p media.Publisher, path media.StreamPath) (media.Settings, error) {
	s, err := stream(ctx, tx, path)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return media.Settings{}, err
	}
	return inForce(p.Settings, s.Overrides), nil
}

// begun says of a row that its archiving has begun, so that it is a matter of retention alone: to stop recording does
// not delete what was recorded and stored before.
const begun = `(archive_begun OR state IN ('archiving', 'archived'))`

// expiryOf gives when what ended at a time expires by itself, and why; zero is never.
func expiryOf(ended time.Time, s media.Settings) (time.Time, string) {
	if s.Record == media.RecordOff {
		return ended.Add(s.DVRWindow.D()), media.ReasonRecord
	}
	return retained(ended, s), reasonOfAge(s)
}

// retained is expiryOf by retention alone.
func retained(ended time.Time, s media.Settings) time.Time {
	if s.Retention <= 0 {
		return time.Time{}
	}
	return ended.Add(s.Retention.D())
}

func reasonOfAge(s media.Settings) string {
	if s.Retention <= 0 {
		return ""
	}
	return media.ReasonAge
}

// finishArchive is FinishClaim's for archiving: the copy of the cluster goes by the settings in force, or else when the
// archiver would have it.
func (db *DB) finishArchive(ctx context.Context, c media.Claim, now int64, grace time.Time) error {
	const archived = done + `state = 'archived', archived_at = $3, drop_due = $4, drop_grace = $5, drop_reason = $6`
	path := c.Recording.Path
	err := db.write(ctx, func(tx *sql.Tx) error {
		s, err := lockSettings(ctx, tx, path)
		if err != nil {
			return err
		}
		due, reason := dropDueOf(time.UnixMilli(now), grace, s)
		n, err := changed(ctx, tx, settleQuery(archived), c.Recording.ID, c.Epoch, now, millis(due), millis(grace), reason)
		if err == nil && n == 0 {
			err = media.ErrFenced
		}
		if err != nil {
			return err
		}
		if err := judgeSoon(ctx, tx, path.Publisher); err != nil {
			return err
		}
		return db.logEvents(ctx, tx, archivedEvent(c.Recording, ""))
	})
	if err != nil {
		return db.failed(fmt.Sprintf("finish claim to %s recording %s", c.Action, c.Recording.ID), err)
	}
	return nil
}
