package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// judgeAgain is when recordings are compared with their bounds at the latest, whatever was noted of a change.
const judgeAgain = time.Minute

// saveBounds keeps what a publisher (stream is empty) or a stream bounds, out of what it sets itself, where queries see
// it. It has the publisher's recordings judged at once.
func saveBounds(ctx context.Context, q querier, path media.StreamPath, p media.SettingsPatch) error {
	if !bounding(p) {
		return removeBounds(ctx, q, path)
	}
	s := media.Settings{}.Apply(p)
	counts := s.RetentionCount > 0 || s.RetentionBytes > 0 || s.LocalCount > 0 || s.LocalBytes > 0
	var localFree sql.Null[int64]
	if p.LocalFree != nil {
		localFree = sql.Null[int64]{V: int64(*p.LocalFree), Valid: true}
	}
	_, err := changed(ctx, q, `
		INSERT INTO retention_bounds (publisher, stream, most, bytes, local_most, local_bytes, local_free, judge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (publisher, stream) DO UPDATE SET most = excluded.most, bytes = excluded.bytes,
			local_most = excluded.local_most, local_bytes = excluded.local_bytes, local_free = excluded.local_free,
			judge_at = excluded.judge_at`,
		path.Publisher, path.Stream, s.RetentionCount, s.RetentionBytes, s.LocalCount, s.LocalBytes, localFree,
		sql.Null[int64]{Valid: counts})
	return err
}

// bounding says whether a patch bounds anything, or takes a stream out of its publisher's local_free.
func bounding(p media.SettingsPatch) bool {
	s := media.Settings{}.Apply(p)
	return s.RetentionCount > 0 || s.RetentionBytes > 0 || s.LocalCount > 0 || s.LocalBytes > 0 || p.LocalFree != nil
}

func removeBounds(ctx context.Context, q querier, path media.StreamPath) error {
	_, err := changed(ctx, q, `DELETE FROM retention_bounds WHERE publisher = $1 AND stream = $2`,
		path.Publisher, path.Stream)
	return err
}

// judgeSoon notes that what a publisher's bounds count has changed. It changes nothing for those who bound nothing.
func judgeSoon(ctx context.Context, q querier, publisher string) error {
	_, err := changed(ctx, q, `UPDATE retention_bounds SET judge_at = 0 WHERE publisher = $1 AND judge_at > 0`, publisher)
	return err
}

// judgeLater is judgeSoon beside a change that stands already: what it fails to note is seen a minute later.
func (db *DB) judgeLater(ctx context.Context, publisher string) {
	if err := judgeSoon(ctx, db.writes, publisher); err != nil {
		db.logger.Warn("recordings are compared with their bounds later", "publisher", publisher,
			"dur", judgeAgain, "err", err)
	}
}

// What a policy's bounds see. $1 is the publisher, $2 now.
//
// Ranked has every finished recording with its place, the newest first, among the publisher's and among its stream's,
// and the bytes up to it. What goes by its age already is not counted, unless it is held: that one stays.
const judgedDelete = `
	WITH ranked AS (
		SELECT id, stream, ended_at, keep, held, expire_reason, bytes,
			ROW_NUMBER() OVER whole AS place, SUM(bytes) OVER whole AS total,
			ROW_NUMBER() OVER own AS own_place, SUM(bytes) OVER own AS own_total
		FROM recordings
		WHERE publisher = $1 AND state IN ('ended', 'archiving', 'archived') AND (keep OR held OR expire_due IS NULL
			OR expire_due > $2 OR expire_reason IN ('retention_count', 'retention_bytes'))
		WINDOW whole AS (ORDER BY ended_at DESC, id DESC ROWS UNBOUNDED PRECEDING),
			own AS (PARTITION BY stream ORDER BY ended_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
	), judged AS (
		SELECT ranked.id, ranked.stream, ranked.ended_at, ranked.keep, ranked.held, ranked.expire_reason,
			CASE
				WHEN p.most > 0 AND place > p.most OR s.most > 0 AND own_place > s.most THEN 'retention_count'
				WHEN p.bytes > 0 AND place > 1 AND total > p.bytes
					OR s.bytes > 0 AND own_place > 1 AND own_total > s.bytes THEN 'retention_bytes'
				ELSE ''
			END AS verdict
		FROM ranked
		LEFT JOIN retention_bounds p ON p.publisher = $1 AND p.stream = ''
		LEFT JOIN retention_bounds s ON s.publisher = $1 AND s.stream = ranked.stream
	) `

// judgedDrop is judgedDelete of the cluster's copies of archived recordings.
const judgedDrop = `
	WITH ranked AS (
		SELECT id, stream, ended_at, drop_due, drop_reason,
			ROW_NUMBER() OVER whole AS place, SUM(bytes) OVER whole AS total,
			ROW_NUMBER() OVER own AS own_place, SUM(bytes) OVER own AS own_total
		FROM recordings
		WHERE publisher = $1 AND state = 'archived' AND local AND (drop_due IS NULL OR drop_due > $2
			OR drop_reason IN ('local_count', 'local_bytes'))
		WINDOW whole AS (ORDER BY ended_at DESC, id DESC ROWS UNBOUNDED PRECEDING),
			own AS (PARTITION BY stream ORDER BY ended_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
	), judged AS (
		SELECT ranked.id, ranked.ended_at, ranked.drop_reason, CASE
				WHEN p.local_most > 0 AND place > p.local_most OR s.local_most > 0 AND own_place > s.local_most
					THEN 'local_count'
				WHEN p.local_bytes > 0 AND total > p.local_bytes OR s.local_bytes > 0 AND own_total > s.local_bytes
					THEN 'local_bytes'
				ELSE ''
			END AS verdict
		FROM ranked
		LEFT JOIN retention_bounds p ON p.publisher = $1 AND p.stream = ''
		LEFT JOIN retention_bounds s ON s.publisher = $1 AND s.stream = ranked.stream
	) `

// What follows from a verdict: whether anything does, and the four changes. $3 is how many, the oldest first.
// Conditions are repeated outside, because PostgreSQL looks again at a row that was changed meanwhile, and at the outer
// conditions only: so a hold that comes in between wins.
const (
	someDelete = judgedDelete + `
		SELECT 1 FROM judged WHERE
			verdict <> '' AND NOT keep AND NOT held AND expire_reason NOT IN ('retention_count', 'retention_bytes')
			OR expire_reason IN ('retention_count', 'retention_bytes') AND (verdict = '' OR keep OR held) LIMIT 1`

	someDrop = judgedDrop + `
		SELECT 1 FROM judged WHERE verdict <> '' AND drop_reason NOT IN ('local_count', 'local_bytes')
			OR drop_reason IN ('local_count', 'local_bytes') AND verdict = '' LIMIT 1`

	markDelete = judgedDelete + `
		UPDATE recordings SET expire_due = $2, expire_reason = over.verdict, updated_at = $2
		FROM (SELECT id, verdict FROM judged WHERE verdict <> '' AND NOT keep AND NOT held
			AND expire_reason NOT IN ('retention_count', 'retention_bytes') ORDER BY ended_at, id LIMIT $3) AS over
		WHERE recordings.id = over.id AND NOT recordings.keep AND NOT recordings.held
			AND recordings.state IN ('ended', 'archiving', 'archived')`

	unmarkedDelete = judgedDelete + `
		SELECT id FROM judged WHERE expire_reason IN ('retention_count', 'retention_bytes')
			AND (verdict = '' OR keep OR held) ORDER BY ended_at, id LIMIT $3`

	markDrop = judgedDrop + `
		UPDATE recordings SET drop_due = $2, drop_reason = over.verdict, updated_at = $2
		FROM (SELECT id, verdict FROM judged WHERE verdict <> '' AND drop_reason NOT IN ('local_count', 'local_bytes')
			ORDER BY ended_at, id LIMIT $3) AS over
		WHERE recordings.id = over.id AND recordings.state = 'archived' AND recordings.local`

	unmarkedDrop = judgedDrop + `
		SELECT id FROM judged WHERE drop_reason IN ('local_count', 'local_bytes') AND verdict = ''
		ORDER BY ended_at, id LIMIT $3`
)

// localFreeOf is the local_free in force for a row of recordings.
const localFreeOf = `COALESCE(
	(SELECT local_free FROM retention_bounds b WHERE b.publisher = recordings.publisher AND b.stream = recordings.stream),
	(SELECT local_free FROM retention_bounds b WHERE b.publisher = recordings.publisher AND b.stream = ''), 0)`

// HastenLocalFree has local copies of the cluster's archived recordings dropped now whose publisher or stream wants
// more of the volume free than the percentage that is, those that ended first at the head, and gives their number: at
// most limit.
func (db *DB) HastenLocalFree(ctx context.Context, cluster string, free int, now time.Time, limit int) (int, error) {
	return db.hasten(ctx, "drop for local_free", cluster, now, limit, func(lock string) string {
		return `
		WITH chosen AS (
			SELECT id FROM recordings
			WHERE EXISTS (SELECT 1 FROM retention_bounds WHERE local_free > $4) AND cluster = $2
				AND state = 'archived' AND local AND (drop_due IS NULL OR drop_due > $1) AND ` + localFreeOf + ` > $4
			ORDER BY ended_at, id LIMIT $3` + lock + `
		)
		UPDATE recordings SET drop_due = $1, drop_reason = 'local_free', updated_at = $1
		WHERE id IN (SELECT id FROM chosen) AND state = 'archived' AND local AND (drop_due IS NULL OR drop_due > $1)`
	}, free)
}

// dropDueOf gives when the cluster's copy goes by its age, and why: of what was archived at a time, and would go at
// another by the archiver's grace (zero is never).
func dropDueOf(archived, grace time.Time, s media.Settings) (time.Time, string) {
	switch {
	case s.LocalRetention > 0:
		return archived.Add(s.LocalRetention.D()), media.ReasonLocalAge
	case grace.IsZero():
		return time.Time{}, ""
	}
	return grace, media.ReasonGrace
}
