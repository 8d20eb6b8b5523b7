package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// prunedReplies is how many answers that have expired go with one that is claimed.
const prunedReplies = 100

// ClaimReply has a request be answered once: with an empty answer it is the caller's to answer until the lease ends,
// and then SaveReply or DropReply follows; else it is the answer that was given to the same request before. Hash tells
// who asked under which key. media.ErrConflict while another answers it, media.ErrExists if the key came with another
// request before.
func (db *DB) ClaimReply(ctx context.Context, c media.ReplyClaim) (answer string, err error) {
	now := db.now()
	n, err := changed(ctx, db.writes, `
		INSERT INTO replies (hash, fingerprint, claim, lease_until, answer, expires_at) VALUES ($1, $2, $3, $4, '', $5)
		ON CONFLICT (hash) DO UPDATE SET fingerprint = excluded.fingerprint, claim = excluded.claim,
			lease_until = excluded.lease_until, answer = '', expires_at = excluded.expires_at
		WHERE replies.expires_at <= $6 OR
			(replies.lease_until <= $6 AND replies.fingerprint = excluded.fingerprint)`,
		c.Hash, c.Fingerprint, c.ID, now.Add(c.Lease).UnixMilli(), now.Add(c.Keep).UnixMilli(), now.UnixMilli())
	if err == nil && n == 0 {
		answer, err = reply(ctx, db.writes, c)
	}
	if err != nil {
		return "", db.failed("claim an answer", err)
	}
	if n > 0 {
		if _, err := db.PruneReplies(ctx, prunedReplies); err != nil {
			db.logger.WarnContext(ctx, "answers that have expired stay for now", "err", err)
		}
	}
	return answer, nil
}

// reply gives the answer to a request that is not the caller's to answer.
func reply(ctx context.Context, q querier, c media.ReplyClaim) (string, error) {
	var fingerprint, answer string
	var lease time.Time
	err := q.QueryRowContext(ctx, `SELECT fingerprint, answer, lease_until FROM replies WHERE hash = $1`, c.Hash).
		Scan(&fingerprint, &answer, at{&lease})
	switch {
	case errors.Is(err, sql.ErrNoRows): // dropped just now
		return "", media.ErrConflict
	case err != nil:
		return "", err
	case fingerprint != c.Fingerprint:
		return "", media.ErrExists
	case !lease.IsZero():
		return "", media.ErrConflict
	}
	return answer, nil
}

// SaveReply keeps the answer to a request that was claimed. media.ErrFenced when another has claimed it since.
func (db *DB) SaveReply(ctx context.Context, c media.ReplyClaim, answer string) error {
	if answer == "" {
		return fmt.Errorf("save answer: %w: it is empty", media.ErrInvalid)
	}
	n, err := changed(ctx, db.writes, `UPDATE replies SET answer = $1, lease_until = NULL WHERE hash = $2 AND claim = $3`,
		answer, c.Hash, c.ID)
	if err == nil && n == 0 {
		err = media.ErrFenced
	}
	if err != nil {
		return db.failed("save answer", err)
	}
	return nil
}

// DropReply gives a claimed request up, so that it may be made again. It may be repeated.
func (db *DB) DropReply(ctx context.Context, c media.ReplyClaim) error {
	if _, err := changed(ctx, db.writes, `DELETE FROM replies WHERE hash = $1 AND claim = $2 AND lease_until IS NOT NULL`,
		c.Hash, c.ID); err != nil {
		return db.failed("drop answer", err)
	}
	return nil
}

// PruneReplies removes answers that have expired, limit at most, and says how many.
func (db *DB) PruneReplies(ctx context.Context, limit int) (int, error) {
	n, err := changed(ctx, db.writes, `DELETE FROM replies WHERE hash IN (
		SELECT hash FROM replies WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`+db.skipLocked+`)`,
		db.now().UnixMilli(), limit)
	if err != nil {
		return 0, db.failed("prune answers", err)
	}
	return int(n), nil
}
