package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxReplay bounds the events of one replay.
	maxReplay = 100_000
	// replayChunk is how many of them one transaction enqueues: events that happen meanwhile wait for it.
	replayChunk = 5_000
	// pruneChunk is how many rows one statement deletes.
	pruneChunk = 5_000
)

// ReplayEvents enqueues events of the log again for a webhook, in order, behind what waits, and gives their number.
// What happens meanwhile may come in between. media.ErrConflict for a disabled webhook; a media.FieldError for more
// than 100,000 events.
func (db *DB) ReplayEvents(ctx context.Context, id string, r media.ReplayRange) (int64, error) {
	n, err := db.replay(ctx, id, r, maxReplay, replayChunk)
	if err != nil {
		return n, db.failed("replay events to webhook "+shown(id), err)
	}
	return n, nil
}

func (db *DB) replay(ctx context.Context, id string, r media.ReplayRange, most, chunk int64) (int64, error) {
	w, err := webhook(ctx, db.reads, id)
	if err != nil {
		return 0, err
	}
	if !w.Enabled {
		return 0, fmt.Errorf("%w: it is disabled: enable it first", media.ErrConflict)
	}
	after, last := r.After, int64(0)
	err = db.reads.QueryRowContext(ctx, `SELECT last FROM event_counter WHERE name = 'events'`).Scan(&last)
	if err != nil {
		return 0, err
	}
	var n int64
	where := replayed(w, r, after, last)
	err = db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE `+
		strings.Join(where.terms, " AND ")+fmt.Sprintf(` LIMIT %d) e`, most+1), where.args...).Scan(&n)
	if err != nil {
		return 0, err
	}
	if n > most {
		return 0, &media.FieldError{Field: "until", Want: fmt.Sprintf(
			"there are more than %d events: replay them in parts, each up to a time", most)}
	}
	var waiting int64
	err = db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE webhook = $1 AND
		state = 'waiting' LIMIT `+strconv.FormatInt(most, 10)+`) d`, w.ID).Scan(&waiting)
	if err != nil {
		return 0, err
	}
	if waiting >= most { // replays of replays would fill the catalog
		return 0, fmt.Errorf("%w: %d deliveries wait already: replay when its receiver has taken some", media.ErrConflict,
			waiting)
	}
	for total := int64(0); ; {
		n, err := db.replayNext(ctx, w, r, &after, last, chunk)
		total += n
		if err != nil || n < chunk {
			return total, err
		}
	}
}

// replayed selects the events of a replay with ids above after and up to last.
func replayed(w media.Webhook, r media.ReplayRange, after, last int64) (where conditions) {
	where.add(`id > ` + where.arg(after))
	where.add(`id <= ` + where.arg(last))
	if w.Publisher != "" {
		where.add(`publisher = ` + where.arg(w.Publisher))
	}
	if r.After == 0 && !r.Since.IsZero() {
		where.add(`at >= ` + where.arg(r.Since.UnixMilli()))
	}
	if !r.Until.IsZero() {
		where.add(`at < ` + where.arg(r.Until.UnixMilli()))
	}
	if len(w.Events) > 0 {
		var types []string
		for _, name := range w.Events {
			types = append(types, where.arg(name))
		}
		where.add(`type IN (` + strings.Join(types, ", ") + `)`)
	}
	return where
}

// subjectOf is media.LogEvent.Subject in SQL.
const subjectOf = `CASE WHEN recording <> '' THEN recording WHEN stream <> '' THEN publisher || '/' || stream
	WHEN publisher <> '' THEN publisher ELSE 'cluster:' || cluster END`

// replayNext enqueues what follows after, and moves that on. It takes the counter first, as enqueueDeliveries does.
func (db *DB) replayNext(
	ctx context.Context, w media.Webhook, r media.ReplayRange, after *int64, last, chunk int64,
) (n int64, err error) {
	err = db.write(ctx, func(tx *sql.Tx) error {
		var base, upTo int64
		now := db.now().UnixMilli()
		err := tx.QueryRowContext(ctx, `UPDATE event_counter SET last = last WHERE name = 'deliveries' RETURNING last`).
			Scan(&base)
		if err != nil {
			return err
		}
		where := replayed(w, r, *after, last)
		query := `INSERT INTO deliveries (id, webhook, event, type, subject, state, enqueued_at)
			SELECT CAST(` + where.arg(base) + ` AS BIGINT) + ROW_NUMBER() OVER (ORDER BY id),
				CAST(` + where.arg(w.ID) + ` AS TEXT), id, type, ` + subjectOf + `, 'waiting',
				CAST(` + where.arg(now) + ` AS BIGINT)
			FROM (SELECT * FROM events WHERE ` + strings.Join(where.terms, " AND ") +
			fmt.Sprintf(` ORDER BY id LIMIT %d) e WHERE TRUE`, chunk)
		if n, err = changed(ctx, tx, query, where.args...); err != nil || n == 0 {
			return err
		}
		if _, err := changed(ctx, tx, `UPDATE event_counter SET last = last + $1 WHERE name = 'deliveries'`, n); err != nil {
			return err
		}
		if _, err := changed(ctx, tx, queueDeliveries+` AND webhook = $2`+keepQueue, base, w.ID); err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT MAX(event) FROM deliveries WHERE webhook = $1 AND id > $2`, w.ID, base).
			Scan(&upTo)
		if err == nil {
			*after = upTo
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// DeliveryDepth tells how much waits for all webhooks.
func (db *DB) DeliveryDepth(ctx context.Context) (media.DeliveryDepth, error) {
	var d media.DeliveryDepth
	err := db.reads.QueryRowContext(ctx, `SELECT COUNT(*), MIN(enqueued_at) FROM deliveries WHERE state = 'waiting'`).
		Scan(&d.Waiting, at{&d.Oldest})
	if err != nil {
		return d, db.failed("count deliveries", err)
	}
	return d, nil
}

// PruneDeliveries forgets deliveries that were done before a time, what deleted webhooks left behind, and secrets that
// no longer sign. It gives the number of deliveries.
func (db *DB) PruneDeliveries(ctx context.Context, before time.Time) (int64, error) {
	n, err := db.forgetDeliveries(ctx, `d.done_at < $1`, before.UnixMilli())
	if err == nil {
		var left int64
		left, err = db.forgetDeliveries(ctx, `NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id = d.webhook)`)
		n += left
	}
	if err == nil {
		_, err = changed(ctx, db.writes, `
			WITH chosen AS (
				SELECT webhook, subject FROM delivery_queues q
				WHERE NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id = q.webhook)`+db.skipLocked+`
			)
			DELETE FROM delivery_queues WHERE (webhook, subject) IN (SELECT webhook, subject FROM chosen)`)
	}
	if err == nil {
		_, err = changed(ctx, db.writes, `UPDATE webhooks SET old_secret = '', old_until = NULL WHERE old_until <= $1`,
			db.now().UnixMilli())
	}
	if err != nil {
		return n, db.failed("prune deliveries", err)
	}
	return n, nil
}

// forgetDeliveries deletes deliveries in short steps, and passes over those that others change just now.
func (db *DB) forgetDeliveries(ctx context.Context, where string, args ...any) (total int64, err error) {
	for {
		n, err := changed(ctx, db.writes, fmt.Sprintf(`
			WITH chosen AS (SELECT d.id FROM deliveries d WHERE %s LIMIT %d%s)
			DELETE FROM deliveries WHERE id IN (SELECT id FROM chosen)`, where, pruneChunk, db.skipLocked), args...)
		total += n
		if err != nil || n < pruneChunk {
			return total, err
		}
	}
}
