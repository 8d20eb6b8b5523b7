package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxSteeringRules bounds the rules of all: every API process has them in memory.
const maxSteeringRules = 1000

const steeringRuleColumns = `publisher, stream, choices, reason, expires_at, updated_at`

// PutSteeringRule sets the rule of a stream, a publisher or all, in place of the one that there may be.
// media.ErrNotFound without the publisher or stream, media.ErrLimit when there are 1,000; what is wrong with the rule
// is a *media.FieldError.
func (db *DB) PutSteeringRule(ctx context.Context, r media.SteeringRule) (media.SteeringRule, error) {
	r.UpdatedAt = db.clock()
	if !r.ExpiresAt.IsZero() {
		r.ExpiresAt = time.UnixMilli(r.ExpiresAt.UnixMilli()).UTC()
	}
	err := r.Check(r.UpdatedAt)
	if err == nil {
		err = db.write(ctx, func(tx *sql.Tx) error { return putSteeringRule(ctx, tx, r) })
	}
	if err != nil {
		return media.SteeringRule{}, db.failed("put steering rule of "+shown(steeringPath(r.Publisher, r.Stream)), err)
	}
	return r, nil
}

func putSteeringRule(ctx context.Context, tx *sql.Tx, r media.SteeringRule) error {
	var err error
	switch {
	case r.Stream != "":
		_, err = lockStream(ctx, tx, media.StreamPath{Publisher: r.Publisher, Stream: r.Stream})
	case r.Publisher != "":
		_, err = lockPublisher(ctx, tx, r.Publisher)
	}
	if err != nil {
		return err
	}
	// What has expired is of no use to anyone, and makes room.
	_, err = changed(ctx, tx, `DELETE FROM steering_rules WHERE expires_at <= $1`, r.UpdatedAt.UnixMilli())
	if err != nil {
		return err
	}
	path := steeringPath(r.Publisher, r.Stream)
	var n int64
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM steering_rules WHERE path <> $1`, path).Scan(&n)
	if err != nil {
		return err
	}
	if n >= maxSteeringRules {
		return fmt.Errorf("%w: there are %d steering rules: delete some first", media.ErrLimit, n)
	}
	choices, err := json.Marshal(r.Choices)
	if err != nil {
		panic("BUG: steering choices: " + err.Error())
	}
	_, err = changed(ctx, tx, `
		INSERT INTO steering_rules (path, `+steeringRuleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (path) DO UPDATE SET choices = excluded.choices, reason = excluded.reason,
			expires_at = excluded.expires_at, updated_at = excluded.updated_at`,
		path, sql.Null[string]{V: r.Publisher, Valid: r.Publisher != ""},
		sql.Null[string]{V: r.Stream, Valid: r.Stream != ""}, string(choices), r.Reason, millis(r.ExpiresAt),
		r.UpdatedAt.UnixMilli())
	return err
}

// steeringPath is what a rule is found by.
func steeringPath(publisher, stream string) string { return publisher + "/" + stream }

// SteeringRules lists the rules that have not expired: that of all first, then by publisher and stream.
func (db *DB) SteeringRules(ctx context.Context) ([]media.SteeringRule, error) {
	rules, err := all(ctx, db.reads, scanSteeringRule, `
		SELECT `+steeringRuleColumns+` FROM steering_rules WHERE expires_at IS NULL OR expires_at > $1
		ORDER BY COALESCE(publisher, ''), COALESCE(stream, '')`, db.now().UnixMilli())
	if err != nil {
		return nil, db.failed("list steering rules", err)
	}
	return rules, nil
}

// DeleteSteeringRule removes the rule of a stream, a publisher or all: media.ErrNotFound if there is none.
func (db *DB) DeleteSteeringRule(ctx context.Context, publisher, stream string) error {
	n, err := changed(ctx, db.writes, `
DELETE FROM steering_rules WHERE path = $1 AND (expires_at IS NULL OR expires_at > $2)`,
		steeringPath(publisher, stream), db.now().UnixMilli())
	if err == nil && n == 0 {
		err = media.ErrNotFound
	}
	if err != nil {
		return db.failed("delete steering rule of "+shown(steeringPath(publisher, stream)), err)
	}
	return nil
}

func scanSteeringRule(row scanner) (media.SteeringRule, error) {
	var r media.SteeringRule
	var publisher, stream sql.Null[string]
	var choices string
	err := row.Scan(&publisher, &stream, &choices, &r.Reason, at{&r.ExpiresAt}, at{&r.UpdatedAt})
	r.Publisher, r.Stream = publisher.V, stream.V
	if err == nil {
		if bad := json.Unmarshal([]byte(choices), &r.Choices); bad != nil {
			err = fmt.Errorf("%w: choices of steering rule %s: %w", media.ErrCorrupt, steeringPath(r.Publisher, r.Stream), bad)
		}
	}
	return r, err
}
