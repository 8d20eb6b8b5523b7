package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// HastenArchive has the cluster's recordings that wait for archiving archived now, those that ended first at the head,
// and gives their number: at most limit. What waits for a retry goes on waiting. A change of the settings sets dues
// anew, and so may undo it: who needs room asks again.
func (db *DB) HastenArchive(ctx context.Context, cluster string, now time.Time, limit int) (int, error) {
	return db.hasten(ctx, "archive", cluster, now, limit, func(lock string) string {
		return `
		WITH chosen AS (
			SELECT id FROM recordings
			WHERE cluster = $2 AND state IN ('ended', 'archiving') AND local AND state = 'ended' AND archive_due > $1
			ORDER BY ended_at, id LIMIT $3` + lock + `
		)
		UPDATE recordings SET archive_due = $1, updated_at = $1
		WHERE id IN (SELECT id FROM chosen) AND state = 'ended' AND local AND archive_due > $1`
	})
}

// HastenDrop has local copies of the cluster's archived recordings dropped now, those that ended first at the head,
// also copies that were to stay, and gives their number: at most limit.
func (db *DB) HastenDrop(ctx context.Context, cluster string, now time.Time, limit int) (int, error) {
	return db.hasten(ctx, "drop", cluster, now, limit, func(lock string) string {
		return `
		WITH chosen AS (
			SELECT id FROM recordings
			WHERE cluster = $2 AND state = 'archived' AND local AND (drop_due IS NULL OR drop_due > $1)
			ORDER BY ended_at, id LIMIT $3` + lock + `
		)
		UPDATE recordings SET drop_due = $1, drop_reason = 'pressure', updated_at = $1
		WHERE id IN (SELECT id FROM chosen) AND state = 'archived' AND local AND (drop_due IS NULL OR drop_due > $1)`
	})
}

// hasten runs a statement on many rows that it does not lock one after the other: it passes over those that others
// change just now, and so waits for nobody who may wait for it. The rows are chosen in a WITH, which PostgreSQL runs
// once; a subquery that locks may be run again for each row, and choose others.
func (db *DB) hasten(ctx context.Context, what, cluster string, now time.Time, limit int,
	query func(lock string) string, more ...any,
) (int, error) {
	const most = 10_000
	if limit < 1 || limit > most {
		return 0, &media.FieldError{Field: "limit", Want: fmt.Sprintf("%d is out of range: use 1 to %d", limit, most)}
	}
	n, err := changed(ctx, db.writes, query(db.skipLocked), append([]any{now.UnixMilli(), cluster, limit}, more...)...)
	if err != nil {
		return 0, db.failed("hasten to "+what+" in cluster "+shown(cluster), err)
	}
	return int(n), nil
}
