package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ClaimDue leases to the owner what has been due for longest: of one publisher or of all, archiving, dropping the local
// copy, deletion, or which of them is asked for. media.ErrNotFound says that nothing is due, or that another owner was
// faster. A claim whose lease ran out is due again, and counts as a failed attempt.
func (db *DB) ClaimDue(ctx context.Context, owner string, due media.Due, now time.Time, lease time.Duration) (
	media.Claim, error,
) {
	kinds, err := chosenKinds(due.Actions)
	if err != nil {
		return media.Claim{}, fmt.Errorf("claim: %w", err)
	}
	claim := media.Claim{Owner: owner, Until: time.UnixMilli(now.Add(lease).UnixMilli()).UTC()}
	args := []any{now.UnixMilli(), owner, claim.Until.UnixMilli(), due.Cluster}
	if due.Publisher != "" {
		args = append(args, due.Publisher)
	}
	row := db.writes.QueryRowContext(ctx, claimDue(kinds, db.skipLocked, due.Publisher != ""), args...)
	err = row.Scan(append(recordingFields(&claim.Recording), &claim.Action, &claim.Epoch, &claim.Begun)...)
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
// dropped at dropLocal (the zero time: never), or by the setting local_retention where that is set; after dropping it
// has no local copy; after deletion its row is a tombstone. media.ErrFenced when another claim has followed.
func (db *DB) FinishClaim(ctx context.Context, c media.Claim, dropLocal time.Time) error {
	now := db.now().UnixMilli()
	switch c.Action {
	case media.ActArchive:
		return db.finishArchive(ctx, c, now, dropLocal)
	case media.ActDropLocal:
		return db.settle(ctx, "finish", c, done+`local = FALSE, drop_due = NULL, drop_reason = ''`, now)
	case media.ActDelete:
		r := c.Recording
		expired := eventOf(r, media.EventExpired, time.Time{}, media.ExpiredData{
			Reason: r.ExpireReason, DurationMS: r.Duration.Milliseconds(), Bytes: r.Bytes, ClipOf: r.ClipOf,
		})
		return db.settleTold(ctx, "finish", c, []media.LogEvent{expired},
			done+`state = 'deleted', deleted_at = $3, local = FALSE, drop_due = NULL`, now)
	}
	return fmt.Errorf("finish claim: %w: action %.20q", media.ErrInvalid, c.Action)
}

// done is what every finished claim leaves behind.
const done = `claim_until = NULL, retry_at = NULL, attempts = 0, failure_told = NULL, last_error = '', updated_at = $3,
	progress_done = 0, progress_total = 0, progress_rate = 0, progress_at = NULL, `

// SaveProgress tells how far a claim's work is, until it is finished. media.ErrFenced when another claim has followed.
func (db *DB) SaveProgress(ctx context.Context, c media.Claim, p media.Progress) error {
	return db.settle(ctx, "save progress of", c,
		`progress_done = $3, progress_total = $4, progress_rate = $5, progress_at = $6`,
		p.Done, p.Total, p.Rate, millis(p.At))
}

// FailClaim gives a claim up: the row keeps the error and is not due before retryAt. What was being archived is ended
// again. Of a row of failures the first is told in the log, and then one an hour; media.ErrStopped is none.
// media.ErrFenced when another claim has followed.
func (db *DB) FailClaim(ctx context.Context, c media.Claim, cause error, retryAt time.Time) error {
	err := db.failTold(ctx, c, cause, retryAt, `claim_until = NULL, attempts = attempts + 1, last_error = $3,
		retry_at = $4, updated_at = $5, progress_rate = 0, state = CASE WHEN state = 'archiving' THEN 'ended' ELSE state END`,
		shortened(cause.Error()), millis(retryAt), db.now().UnixMilli())
	if err != nil {
		return db.failed(fmt.Sprintf("fail claim to %s recording %s", c.Action, c.Recording.ID), err)
	}
	return nil
}

// settle changes the row that a claim still holds. In set, the arguments begin at $3.
func (db *DB) settle(ctx context.Context, act string, c media.Claim, set string, args ...any) error {
	n, err := changed(ctx, db.writes, settleQuery(set),
		append([]any{c.Recording.ID, c.Epoch}, args...)...)
	if err == nil && n == 0 {
		err = media.ErrFenced
	}
	if err != nil {
		return db.failed(fmt.Sprintf("%s claim to %s recording %s", act, c.Action, c.Recording.ID), err)
	}
	return nil
}

func settleQuery(set string) string {
	return `UPDATE recordings SET ` + set + ` WHERE id = $1 AND claim_epoch = $2 AND claim_until IS NOT NULL`
}
