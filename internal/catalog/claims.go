package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What is due, each in the words of its index. $1 is now, $4 the cluster.
const (
	free = ` AND (claim_until IS NULL OR claim_until <= $1) AND (retry_at IS NULL OR retry_at <= $1)`

	deleteDue = `(cluster = $4 AND state IN ('ended', 'archived', 'deleting') AND NOT keep AND NOT held
		AND expire_due <= $1` + free + `)`

	dropDue = `(cluster = $4 AND state = 'archived' AND local AND drop_due <= $1` + free + `)`

	// What has expired is deleted, not archived first. An archiving row is due again once its claim ran out.
	archiveDue = `(cluster = $4 AND state IN ('ended', 'archiving') AND local AND archive_due <= $1` + free + `
		AND (state = 'archiving' OR keep OR held OR expire_due IS NULL OR expire_due > $1))`

	// What was uploaded while it grew is archived without the cluster's storage, once that is gone.
	salvageDue = `(cluster = $4 AND state IN ('ended', 'archiving') AND NOT local AND uploaded
		AND archive_due <= $1` + free + `
		AND (state = 'archiving' OR keep OR held OR expire_due IS NULL OR expire_due > $1))`
)

// claimDue takes the row that has been due for longest. The outer condition repeats the inner, because PostgreSQL
// looks again at a row that another claim has just changed, and at the outer condition only. Where the database can,
// lock passes over the rows that other claims are just taking, so that archivers do not queue for one row.
func claimDue(lock string) string {
	return `
	UPDATE recordings SET
		claim_action = CASE WHEN ` + deleteDue + ` THEN 'delete' WHEN ` + dropDue + ` THEN 'drop_local' ELSE 'archive' END,
		state = CASE WHEN ` + deleteDue + ` THEN 'deleting' WHEN ` + dropDue + ` THEN state ELSE 'archiving' END,
		attempts = attempts + CASE WHEN claim_until IS NULL THEN 0 ELSE 1 END,
		last_error = CASE WHEN claim_until IS NULL THEN last_error
			ELSE 'archiver ' || claim_owner || ' stopped in the middle of ' || claim_action END,
		archive_begun = CASE WHEN NOT ` + deleteDue + ` AND NOT ` + dropDue + ` THEN TRUE ELSE archive_begun END,
		claim_owner = $2,
		claim_epoch = claim_epoch + 1,
		claim_until = $3,
		updated_at = $1
	WHERE id = (
		SELECT id FROM (
			SELECT * FROM (SELECT id, expire_due AS due FROM recordings
				WHERE ` + deleteDue + ` ORDER BY expire_due LIMIT 1` + lock + `) AS d
			UNION ALL
			SELECT * FROM (SELECT id, drop_due AS due FROM recordings
				WHERE ` + dropDue + ` ORDER BY drop_due LIMIT 1` + lock + `) AS l
			UNION ALL
			SELECT * FROM (SELECT id, archive_due AS due FROM recordings
				WHERE ` + archiveDue + ` ORDER BY archive_due LIMIT 1` + lock + `) AS a
			UNION ALL
			SELECT * FROM (SELECT id, archive_due AS due FROM recordings
				WHERE ` + salvageDue + ` ORDER BY archive_due LIMIT 1` + lock + `) AS s
		) AS due_rows ORDER BY due, id LIMIT 1
	) AND (` + deleteDue + ` OR ` + dropDue + ` OR ` + archiveDue + ` OR ` + salvageDue + `)
	RETURNING ` + recordingColumns + `, claim_action, claim_epoch`
}

// ClaimDue leases to the owner what has been due for longest in its cluster: archiving, dropping the local copy, or
// deletion. media.ErrNotFound says that nothing is due, or that another owner was faster. A claim whose lease ran out
// is due again, and counts as a failed attempt.
func (db *DB) ClaimDue(ctx context.Context, owner, cluster string, now time.Time, lease time.Duration) (
	media.Claim, error,
) {
	claim := media.Claim{Owner: owner, Until: time.UnixMilli(now.Add(lease).UnixMilli()).UTC()}
	row := db.writes.QueryRowContext(ctx, claimDue(db.skipLocked),
		now.UnixMilli(), owner, claim.Until.UnixMilli(), cluster)
	err := row.Scan(append(recordingFields(&claim.Recording), &claim.Action, &claim.Epoch)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrNotFound
	}
	if err != nil {
		return media.Claim{}, db.failed("claim", err)
	}
	return claim, nil
}

// RenewClaim prolongs a lease, counted from now, and gives the claim with its new end. media.ErrFenced when another
// claim has followed.
func (db *DB) RenewClaim(ctx context.Context, c media.Claim, now time.Time, lease time.Duration) (media.Claim, error) {
	c.Until = time.UnixMilli(now.Add(lease).UnixMilli()).UTC()
	if err := db.settle(ctx, "renew", c, `claim_until = $3`, c.Until.UnixMilli()); err != nil {
		return media.Claim{}, err
	}
	return c, nil
}

// LapseClaims has an owner's claims run out at once, for a process that begins and whose claims are those of the one
// before it, which is gone. They count as failed attempts. It gives their number.
func (db *DB) LapseClaims(ctx context.Context, owner string, now time.Time) (int64, error) {
	n, err := changed(ctx, db.writes, `UPDATE recordings SET claim_until = $1 WHERE claim_owner = $2 AND claim_until > $1`,
		now.UnixMilli(), owner)
	if err != nil {
		return 0, db.failed("lapse the claims of "+shown(owner), err)
	}
	return n, nil
}

// FinishClaim says that a claim's work is done. After archiving the recording is archived, and its local copy is to be
// dropped at dropLocal (the zero time: never); after dropping it has no local copy; after deletion its row is a
// tombstone. media.ErrFenced when another claim has followed.
func (db *DB) FinishClaim(ctx context.Context, c media.Claim, dropLocal time.Time) error {
	const done = `claim_until = NULL, retry_at = NULL, attempts = 0, last_error = '', updated_at = $3, `
	now := db.now().UnixMilli()
	switch c.Action {
	case media.ActArchive:
		return db.settle(ctx, "finish", c, done+`state = 'archived', archived_at = $3, drop_due = $4`,
			now, millis(dropLocal))
	case media.ActDropLocal:
		return db.settle(ctx, "finish", c, done+`local = FALSE, drop_due = NULL`, now)
	case media.ActDelete:
		return db.settle(ctx, "finish", c, done+`state = 'deleted', deleted_at = $3, local = FALSE, drop_due = NULL`, now)
	}
	return fmt.Errorf("finish claim: %w: action %.20q", media.ErrInvalid, c.Action)
}

// FailClaim gives a claim up: the row keeps the error and is not due before retryAt. What was being archived is ended
// again. media.ErrFenced when another claim has followed.
func (db *DB) FailClaim(ctx context.Context, c media.Claim, cause error, retryAt time.Time) error {
	return db.settle(ctx, "fail", c, `claim_until = NULL, attempts = attempts + 1, last_error = $3, retry_at = $4,
		updated_at = $5, state = CASE WHEN state = 'archiving' THEN 'ended' ELSE state END`,
		shortened(cause.Error()), millis(retryAt), db.now().UnixMilli())
}

// settle changes the row that a claim still holds. In set, the arguments begin at $3.
func (db *DB) settle(ctx context.Context, act string, c media.Claim, set string, args ...any) error {
	n, err := changed(ctx, db.writes,
		`UPDATE recordings SET `+set+` WHERE id = $1 AND claim_epoch = $2 AND claim_until IS NOT NULL`,
		append([]any{c.Recording.ID, c.Epoch}, args...)...)
	if err == nil && n == 0 {
		err = media.ErrFenced
	}
	if err != nil {
		return db.failed(fmt.Sprintf("%s claim to %s recording %s", act, c.Action, c.Recording.ID), err)
	}
	return nil
}
