package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxWebhooks bounds the webhooks of one publisher, and those of everybody's events: an event costs what they are.
const maxWebhooks = 50

const webhookColumns = `w.id, w.publisher, w.url, w.label, w.events, w.enabled, w.trusted, w.secret, w.old_secret,
	w.old_until, w.created_at, w.updated_at, w.last_success, w.last_failure, w.failing_since, w.last_error`

func scanWebhook(row scanner) (media.Webhook, error) {
	var w media.Webhook
	var events string
	err := row.Scan(&w.ID, &w.Publisher, &w.URL, &w.Label, &events, &w.Enabled, &w.Trusted, &w.Secret, &w.OldSecret,
		at{&w.OldUntil}, at{&w.CreatedAt}, at{&w.UpdatedAt}, at{&w.Health.LastSuccess}, at{&w.Health.LastFailure},
		at{&w.Health.FailingSince}, &w.Health.LastError)
	w.Events = strings.Fields(events)
	return w, err
}

// CreateWebhook adds a webhook, and gives it its id. media.ErrNotFound without its publisher.
func (db *DB) CreateWebhook(ctx context.Context, w media.Webhook) (media.Webhook, error) {
	if err := w.Check(); err != nil {
		return media.Webhook{}, fmt.Errorf("create webhook: %w", err)
	}
	w.ID, w.CreatedAt = newID(), db.clock()
	w.UpdatedAt = w.CreatedAt
	err := db.write(ctx, func(tx *sql.Tx) error {
		if w.Publisher != "" {
			if _, err := lockPublisher(ctx, tx, w.Publisher); err != nil {
				return err
			}
		}
		var n int64
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM webhooks WHERE publisher = $1`, w.Publisher).Scan(&n)
		if err != nil {
			return err
		}
		if n >= maxWebhooks {
			return fmt.Errorf("%w: there are %d webhooks: delete one first", media.ErrLimit, n)
		}
		_, err = changed(ctx, tx, `
			INSERT INTO webhooks (id, publisher, url, label, events, enabled, trusted, secret, old_secret,
				created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $9)`,
			w.ID, w.Publisher, w.URL, w.Label, strings.Join(w.Events, " "), w.Enabled, w.Trusted, w.Secret,
			w.CreatedAt.UnixMilli())
		return err
	})
	if err != nil {
		return media.Webhook{}, db.failed("create webhook of publisher "+shown(w.Publisher), err)
	}
	return w, nil
}

// Webhook gives a webhook, or media.ErrNotFound.
func (db *DB) Webhook(ctx context.Context, id string) (media.Webhook, error) {
	w, err := webhook(ctx, db.reads, id)
	if err == nil {
		err = db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM deliveries WHERE webhook = $1 AND state = 'waiting'`,
			id).Scan(&w.Health.Waiting)
	}
	if err != nil {
		return media.Webhook{}, db.failed("webhook "+shown(id), err)
	}
	return w, nil
}

func webhook(ctx context.Context, q querier, id string) (media.Webhook, error) {
	w, err := scanWebhook(q.QueryRowContext(ctx, `SELECT `+webhookColumns+` FROM webhooks w WHERE w.id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrNotFound
	}
	return w, err
}

// Webhooks lists webhooks by id, which is the order of their creation.
func (db *DB) Webhooks(ctx context.Context, f media.WebhookFilter) ([]media.Webhook, error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	var where conditions
	where.add(`w.id > ` + where.arg(f.After))
	if f.Publisher != "" {
		where.add(`w.publisher = ` + where.arg(f.Publisher))
	}
	list, err := all(ctx, db.reads, func(row scanner) (media.Webhook, error) {
		var waiting int64
		w, err := scanWebhook(andScan{row, &waiting})
		w.Health.Waiting = waiting
		return w, err
	}, `SELECT `+webhookColumns+`,
		(SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.id AND d.state = 'waiting')
		FROM webhooks w WHERE `+strings.Join(where.terms, " AND ")+` ORDER BY w.id LIMIT `+strconv.Itoa(limit),
		where.args...)
	if err != nil {
		return nil, db.failed("list webhooks", err)
	}
	return list, nil
}

// andScan scans one column more than who uses it knows of.
type andScan struct {
	scanner
	last any
}

// Scan implements scanner.
func (a andScan) Scan(dest ...any) error { return a.scanner.Scan(append(dest, a.last)...) }

// UpdateWebhook changes a webhook. Disabled, it gets no more events; what waits for it goes on when it is enabled.
func (db *DB) UpdateWebhook(ctx context.Context, id string, p media.WebhookPatch) (media.Webhook, error) {
	return db.changeWebhook(ctx, "update", id, func(w *media.Webhook) {
		if p.URL != nil {
			w.URL, w.Trusted = *p.URL, p.Trusted
		}
		if p.Label != nil {
			w.Label = *p.Label
		}
		if p.Events != nil {
			w.Events = *p.Events
		}
		if p.Enabled != nil {
			w.Enabled = *p.Enabled
		}
	})
}

// RotateWebhookSecret gives a webhook another secret. The one before signs too for as long as overlap says.
func (db *DB) RotateWebhookSecret(ctx context.Context, id, secret string, overlap time.Duration) (
	media.Webhook, error,
) {
	return db.changeWebhook(ctx, "rotate the secret of", id, func(w *media.Webhook) {
		old := w.Secret
		w.Secret, w.OldSecret, w.OldUntil = secret, "", time.Time{}
		if overlap > 0 && old != secret {
			w.OldSecret, w.OldUntil = old, db.clock().Add(overlap)
		}
	})
}

func (db *DB) changeWebhook(ctx context.Context, act, id string, change func(*media.Webhook)) (media.Webhook, error) {
	var w media.Webhook
	err := db.write(ctx, func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `UPDATE webhooks SET updated_at = $2 WHERE id = $1`, id, db.now().UnixMilli())
		if err == nil && n == 0 {
			err = media.ErrNotFound
		}
		if err != nil {
			return err
		}
		if w, err = webhook(ctx, tx, id); err != nil {
			return err
		}
		change(&w)
		if err := w.Check(); err != nil {
			return err
		}
		_, err = changed(ctx, tx, `UPDATE webhooks SET url = $2, trusted = $3, label = $4, events = $5, enabled = $6,
				secret = $7, old_secret = $8, old_until = $9 WHERE id = $1`,
			id, w.URL, w.Trusted, w.Label, strings.Join(w.Events, " "), w.Enabled, w.Secret, w.OldSecret,
			millis(w.OldUntil))
		return err
	})
	if err != nil {
		return media.Webhook{}, db.failed(act+" webhook "+shown(id), err)
	}
	return w, nil
}

// DeleteWebhook deletes a webhook with all its deliveries. What is under way may still arrive.
func (db *DB) DeleteWebhook(ctx context.Context, id string) error {
	n, err := changed(ctx, db.writes, `DELETE FROM webhooks WHERE id = $1`, id)
	if err == nil && n == 0 {
		err = media.ErrNotFound
	}
	if err != nil {
		return db.failed("delete webhook "+shown(id), err)
	}
	// It is gone; who cannot wait for the rest leaves it to PruneDeliveries.
	if _, err := db.forgetDeliveries(ctx, `d.webhook = $1`, id); err != nil {
		return db.failed("delete deliveries of webhook "+shown(id), err)
	}
	return nil
}

// enqueueDeliveries puts an event into the outbox of every webhook that asks for its like. It takes the counter before
// any queue, as every other writer of several queues does, so that none waits for one who waits for it.
func (db *DB) enqueueDeliveries(ctx context.Context, tx *sql.Tx, e media.LogEvent) error {
	kind := "% " + e.Type + " %"
	var n, last int64
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM webhooks w WHERE `+subscribed, e.Publisher, kind).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	err = tx.QueryRowContext(ctx, `UPDATE event_counter SET last = last + $1 WHERE name = 'deliveries' RETURNING last`, n).
		Scan(&last)
	if err != nil {
		return err
	}
	// A delivery's day begins now: the event's time may be long past. The limit is for webhooks that were made since
	// they were counted.
	if _, err := changed(ctx, tx, `
		INSERT INTO deliveries (id, webhook, event, type, subject, state, enqueued_at)
		SELECT CAST($3 AS BIGINT) + ROW_NUMBER() OVER (ORDER BY w.id), w.id, CAST($4 AS BIGINT), CAST($5 AS TEXT),
			CAST($6 AS TEXT), 'waiting', CAST($7 AS BIGINT)
		FROM webhooks w WHERE `+subscribed+` ORDER BY w.id LIMIT $8`,
		e.Publisher, kind, last-n, e.ID, e.Type, e.Subject(), db.now().UnixMilli(), n); err != nil {
		return err
	}
	_, err = changed(ctx, tx, queueDeliveries+` AND id <= $2`+keepQueue, last-n, last)
	return err
}

// subscribed is the condition for a webhook to get an event of publisher $1 and type $2. An event that nobody asks for
// costs one look at its publisher's webhooks.
const subscribed = `w.publisher IN ($1, '') AND w.enabled AND (w.events = '' OR ' ' || w.events || ' ' LIKE $2)`

// queueDeliveries puts deliveries with ids above $1 into their queues.
const queueDeliveries = `INSERT INTO delivery_queues (webhook, subject, next_at, epoch, owner)
	SELECT DISTINCT webhook, subject, enqueued_at, 0, '' FROM deliveries WHERE id > $1`

// keepQueue locks a queue that is there: whoever empties it must see what is added.
const keepQueue = ` ON CONFLICT (webhook, subject) DO UPDATE SET epoch = delivery_queues.epoch`
