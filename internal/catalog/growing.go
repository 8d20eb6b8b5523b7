package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// uploadable is the condition of the index of rows that are uploaded while they grow. $4 is the cluster.
const uploadable = `cluster = $4 AND state IN ('live', 'interrupted') AND continuous`

// claimUpload's outer condition repeats the inner, as claimDue's does.
func claimUpload(lock string) string {
	const nobodys = ` AND (claim_until IS NULL OR claim_until <= $1)`
	return `
	UPDATE recordings SET claim_action = 'upload', claim_owner = $2, claim_epoch = claim_epoch + 1, claim_until = $3,
		archive_begun = TRUE, updated_at = $1
	WHERE id = (
		SELECT id FROM recordings WHERE ` + uploadable + nobodys + ` ORDER BY started_at, id LIMIT 1` + lock + `
	) AND ` + uploadable + nobodys + `
	RETURNING ` + recordingColumns + `, claim_epoch`
}

// ClaimUpload leases to the owner the upload of the cluster's oldest growing recording that is to be uploaded while it
// grows, and that nobody uploads. From then on its archive stays the one that it is. The recording's owner saves it as
// ever; with its ending save the claim is over, so that it can be archived at once. media.ErrNotFound: there is none.
func (db *DB) ClaimUpload(ctx context.Context, owner, cluster string, now time.Time, lease time.Duration) (
	media.Claim, error,
) {
	claim := media.Claim{
		Owner: owner, Action: media.ActUpload, Until: time.UnixMilli(now.Add(lease).UnixMilli()).UTC(),
	}
	row := db.writes.QueryRowContext(ctx, claimUpload(db.skipLocked),
		now.UnixMilli(), owner, claim.Until.UnixMilli(), cluster)
	err := row.Scan(append(recordingFields(&claim.Recording), &claim.Epoch)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrNotFound
	}
	if err != nil {
		return media.Claim{}, db.failed("claim an upload", err)
	}
	return claim, nil
}

// RenewUpload prolongs a claim to upload, counted from now. media.ErrFenced when another claim has followed, when the
// recording has ended, and when it is no longer to be uploaded while it grows.
func (db *DB) RenewUpload(ctx context.Context, c media.Claim, now time.Time, lease time.Duration) (media.Claim, error) {
	c.Until = time.UnixMilli(now.Add(lease).UnixMilli()).UTC()
	r, err := scanRecording(db.writes.QueryRowContext(ctx, `UPDATE recordings SET claim_until = $1
		WHERE id = $2 AND claim_epoch = $3 AND claim_until IS NOT NULL AND cluster = $4
		AND state IN ('live', 'interrupted') AND continuous RETURNING `+recordingColumns,
		c.Until.UnixMilli(), c.Recording.ID, c.Epoch, c.Recording.Cluster))
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrFenced
	}
	if err != nil {
		return media.Claim{}, db.failed("renew claim to upload recording "+string(c.Recording.ID), err)
	}
	c.Recording = r
	return c, nil
}

// SaveUploaded says whether the archive has any of the recording, and what is wrong with its upload; empty is nothing.
// media.ErrFenced when another claim has followed, or the recording has ended.
func (db *DB) SaveUploaded(ctx context.Context, c media.Claim, uploaded bool, problem string) error {
	return db.settle(ctx, "save", c, `uploaded = $3, last_error = $4, updated_at = $5`,
		uploaded, shortened(problem), db.now().UnixMilli())
}

// ReleaseUpload gives a claim to upload up. Without anything uploaded the recording's archive is open again.
// media.ErrFenced when another claim has followed, or the recording has ended.
func (db *DB) ReleaseUpload(ctx context.Context, c media.Claim, uploaded bool) error {
	return db.settle(ctx, "release", c, `claim_until = NULL, uploaded = $3, archive_begun = $3, updated_at = $4`,
		uploaded, db.now().UnixMilli())
}

// FinishSalvage ends a claim to archive a recording whose local copy is gone. What was uploaded of it is archived, or,
// if that is nil, nothing was of use, and it stays ended. Of what is archived its end, duration and bytes count where
// the row, which its owner saved now and then, knows of less. The notice tells what was lost. media.ErrFenced when
// another claim has followed.
func (db *DB) FinishSalvage(ctx context.Context, c media.Claim, saved *media.Recording, notice string) error {
	if c.Action != media.ActArchive {
		return fmt.Errorf("finish salvage: %w: action %.20q", media.ErrInvalid, c.Action)
	}
	const lost = `claim_until = NULL, retry_at = NULL, attempts = 0, failure_told = NULL, last_error = $3,
		local = FALSE, drop_due = NULL,
		updated_at = $4, mirror = '', progress_done = 0, progress_total = 0, progress_rate = 0, progress_at = NULL, `
	now := db.now().UnixMilli()
	if saved == nil {
		failed := lostEvent(c.Recording, c.Action, shortened(notice))
		return db.settleTold(ctx, "finish", c, []media.LogEvent{failed}, lost+`uploaded = FALSE, state = 'ended'`,
			shortened(notice), now)
	}
	r := c.Recording
	r.Mirror, r.Duration, r.Bytes = "", max(r.Duration, saved.Duration), max(r.Bytes, saved.Bytes)
	archived := []media.LogEvent{archivedEvent(r, shortened(notice))}
	late := max(0, saved.EndedAt.Sub(c.Recording.EndedAt))
	return db.settleTold(ctx, "finish", c, archived, lost+`state = 'archived', archived_at = $4, ended_at = ended_at + $5,
		expire_due = expire_due + $5, duration_ms = CASE WHEN duration_ms < $6 THEN $6 ELSE duration_ms END,
		bytes = CASE WHEN bytes < $7 THEN $7 ELSE bytes END`,
		shortened(notice), now, late.Milliseconds(), saved.Duration.Milliseconds(), saved.Bytes)
}
