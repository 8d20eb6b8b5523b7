package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const deliveryColumns = `d.id, d.webhook, d.event, d.type, d.subject, d.state, d.enqueued_at, d.done_at, d.attempts,
	d.tried_at, d.took_ms, d.status, d.answer, d.error`

func deliveryFields(d *media.Delivery) []any {
	return []any{
		&d.ID, &d.Webhook, &d.EventID, &d.Type, &d.Subject, &d.State, at{&d.EnqueuedAt}, at{&d.DoneAt}, &d.Attempts,
		at{&d.TriedAt}, inMillis{&d.Last.Took}, &d.Last.Status, &d.Last.Answer, &d.Last.Error,
	}
}

// Deliveries lists a webhook's deliveries, newest first. It does not look for the webhook.
func (db *DB) Deliveries(ctx context.Context, f media.DeliveryFilter) ([]media.Delivery, error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	var where conditions
	where.add(`d.webhook = ` + where.arg(f.Webhook))
	switch {
	case f.State == "":
	case !slices.Contains(media.DeliveryStates(), f.State):
		return nil, fmt.Errorf("list deliveries: %w", &media.FieldError{Field: "state", Want: fmt.Sprintf(
			"%.40q is unknown: use one of %v", f.State, media.DeliveryStates())})
	default:
		where.add(`d.state = '` + f.State + `'`)
		if f.State != media.DeliveryWaiting {
			where.add(`d.state <> 'waiting'`) // word for word as the index has it
		}
	}
	if f.Before != 0 {
		where.add(`d.id < ` + where.arg(f.Before))
	}
	list, err := all(ctx, db.reads, func(row scanner) (d media.Delivery, err error) {
		err = row.Scan(append(deliveryFields(&d), at{&d.NextAt})...)
		return d, err
	}, `SELECT `+deliveryColumns+`, CASE WHEN d.state = 'waiting' THEN q.next_at END
		FROM deliveries d LEFT JOIN delivery_queues q ON q.webhook = d.webhook AND q.subject = d.subject
		WHERE `+strings.Join(where.terms, " AND ")+` ORDER BY d.id DESC LIMIT `+strconv.Itoa(limit), where.args...)
	if err != nil {
		return nil, db.failed("deliveries of webhook "+shown(f.Webhook), err)
	}
	return list, nil
}

// DueWebhooks gives webhooks for which something is due, by id, from the first after the one named.
func (db *DB) DueWebhooks(ctx context.Context, after string, now time.Time, limit int) ([]media.Webhook, error) {
	list, err := all(ctx, db.reads, scanWebhook, dueWebhooksQuery, now.UnixMilli(), after, limit)
	if err != nil {
		return nil, db.failed("webhooks with something due", err)
	}
	return list, nil
}

// The first condition has it cost one look while nothing is due, whatever the number of webhooks.
const dueWebhooksQuery = `SELECT ` + webhookColumns + ` FROM webhooks w
	WHERE EXISTS (SELECT 1 FROM delivery_queues WHERE next_at <= $1) AND w.enabled AND w.id > $2
		AND EXISTS (SELECT 1 FROM delivery_queues q WHERE q.webhook = w.id AND q.next_at <= $1)
	ORDER BY w.id LIMIT $3`

// ClaimDeliveries leases to the owner deliveries of a webhook that are due, at most limit of them, each the oldest that
// waits of its subject. A claim that was neither finished nor failed when the lease ends is due again.
func (db *DB) ClaimDeliveries(
	ctx context.Context, owner, webhook string, now time.Time, lease time.Duration, limit int,
) ([]media.DeliveryClaim, error) {
	until := time.UnixMilli(now.Add(lease).UnixMilli()).UTC()
	claims, err := all(ctx, db.writes, func(row scanner) (media.DeliveryClaim, error) {
		c := media.DeliveryClaim{Owner: owner, Until: until}
		c.Webhook = webhook
		err := row.Scan(&c.Subject, &c.Epoch)
		return c, err
	}, claimDeliveries(db.skipLocked), webhook, now.UnixMilli(), until.UnixMilli(), owner, limit)
	if err != nil {
		return nil, db.failed("claim deliveries of webhook "+shown(webhook), err)
	}
	taken := claims[:0]
	for _, c := range claims {
		switch err := db.headOf(ctx, &c); {
		case err == nil:
			taken = append(taken, c)
		case errors.Is(err, media.ErrNotFound), errors.Is(err, media.ErrFenced):
		default: // those that were claimed are due again when their lease ends
			return nil, db.failed("claim deliveries of webhook "+shown(webhook), err)
		}
	}
	return taken, nil
}

// claimDeliveries looks the chosen rows up by their key: the sum has SQLite not go by the time, over all that is due.
func claimDeliveries(skipLocked string) string {
	return `
	WITH chosen AS (
		SELECT subject FROM delivery_queues WHERE webhook = $1 AND next_at <= $2
		ORDER BY next_at, subject LIMIT $5` + skipLocked + `
	)
	UPDATE delivery_queues SET next_at = $3, epoch = epoch + 1, owner = $4
	WHERE webhook = $1 AND subject IN (SELECT subject FROM chosen) AND next_at + 0 <= $2 RETURNING subject, epoch`
}

// headOf reads the delivery that is the head of a claimed queue. media.ErrNotFound: nothing waits, or its event is no
// longer in the log; the queue is settled then.
func (db *DB) headOf(ctx context.Context, c *media.DeliveryClaim) error {
	var e struct {
		at                                    sql.Null[int64]
		publisher, stream, recording, cluster sql.Null[string]
		data                                  sql.Null[string]
	}
	err := db.reads.QueryRowContext(ctx, headQuery, c.Webhook, c.Subject).Scan(append(deliveryFields(&c.Delivery),
		&e.at, &e.publisher, &e.stream, &e.recording, &e.cluster, &e.data)...)
	now := db.clock()
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = db.settleDelivery(ctx, *c, now, nil)
		return errors.Join(media.ErrNotFound, err)
	case err != nil:
		return err
	case !e.at.Valid:
		err := db.settleDelivery(ctx, *c, now, func(tx *sql.Tx) error {
			return saveTry(ctx, tx, c.ID, media.DeliveryFailed, now, media.DeliveryResult{
				Error: "the event log no longer has the event",
			})
		})
		return errors.Join(media.ErrNotFound, err)
	}
	c.Event = media.LogEvent{
		ID: c.EventID, Type: c.Type, Time: time.UnixMilli(e.at.V).UTC(), Publisher: e.publisher.V, Stream: e.stream.V,
		Recording: media.RecordingID(e.recording.V), Cluster: e.cluster.V, Data: []byte(e.data.V),
	}
	return nil
}

const headQuery = `SELECT ` + deliveryColumns + `, e.at, e.publisher, e.stream, e.recording, e.cluster, e.data
	FROM deliveries d LEFT JOIN events e ON e.id = d.event
	WHERE d.webhook = $1 AND d.subject = $2 AND d.state = 'waiting' ORDER BY d.id LIMIT 1`

// FinishDelivery says that a claimed delivery was taken by its receiver; the next of its subject is due. When the
// webhook had failed for more than a minute, all that waits for a retry is due at once. media.ErrFenced when another
// claim has followed.
func (db *DB) FinishDelivery(ctx context.Context, c media.DeliveryClaim, r media.DeliveryResult) error {
	now := db.clock()
	err := db.settleDelivery(ctx, c, now, func(tx *sql.Tx) error {
		return saveTry(ctx, tx, c.ID, media.DeliveryDelivered, now, r)
	})
	if err == nil {
		err = db.noteSuccess(ctx, c.Webhook, now)
	}
	if err != nil {
		return db.failed("finish delivery "+strconv.FormatInt(c.ID, 10), err)
	}
	return nil
}

// FailDelivery says that a try failed: the subject is due again at retryAt. At the zero time the delivery is given up,
// with all others of its subject that were enqueued before expired, and the next one is due. media.ErrFenced when
// another claim has followed.
func (db *DB) FailDelivery(ctx context.Context, c media.DeliveryClaim, r media.DeliveryResult,
	retryAt, expired time.Time,
) error {
	now, state, next := db.clock(), media.DeliveryWaiting, retryAt
	if retryAt.IsZero() {
		state, next = media.DeliveryFailed, now
	}
	err := db.settleDelivery(ctx, c, next, func(tx *sql.Tx) error {
		if err := saveTry(ctx, tx, c.ID, state, now, r); err != nil || !retryAt.IsZero() {
			return err
		}
		_, err := changed(ctx, tx, `UPDATE deliveries SET state = 'failed', done_at = $1, error = $2
			WHERE webhook = $3 AND subject = $4 AND state = 'waiting' AND enqueued_at < $5`,
			now.UnixMilli(), "the ones before it failed until its time was over", c.Webhook, c.Subject, expired.UnixMilli())
		return err
	})
	if err == nil {
		_, err = changed(ctx, db.writes, `UPDATE webhooks SET last_failure = $2,
			failing_since = COALESCE(failing_since, $2), last_error = $3 WHERE id = $1`,
			c.Webhook, now.UnixMilli(), shortened(r.Error))
	}
	if err != nil {
		return db.failed("fail delivery "+strconv.FormatInt(c.ID, 10), err)
	}
	return nil
}

// ReleaseDelivery gives a claim back, which is due again at once: who has it stops. media.ErrFenced when another claim
// has followed.
func (db *DB) ReleaseDelivery(ctx context.Context, c media.DeliveryClaim) error {
	if err := db.settleDelivery(ctx, c, db.clock(), nil); err != nil {
		return db.failed("release delivery "+strconv.FormatInt(c.ID, 10), err)
	}
	return nil
}

// settleDelivery ends a claim: it locks the queue if that is still the claim's, has change act, and drops the queue if
// nothing waits in it any more.
func (db *DB) settleDelivery(
	ctx context.Context, c media.DeliveryClaim, next time.Time, change func(*sql.Tx) error,
) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `UPDATE delivery_queues SET next_at = $4, epoch = epoch + 1, owner = ''
			WHERE webhook = $1 AND subject = $2 AND epoch = $3`, c.Webhook, c.Subject, c.Epoch, next.UnixMilli())
		if err == nil && n == 0 {
			err = media.ErrFenced
		}
		if err != nil {
			return err
		}
		if change != nil {
			if err := change(tx); err != nil {
				return err
			}
		}
		_, err = changed(ctx, tx, `DELETE FROM delivery_queues WHERE webhook = $1 AND subject = $2 AND NOT EXISTS (
			SELECT 1 FROM deliveries d WHERE d.webhook = $1 AND d.subject = $2 AND d.state = 'waiting')`,
			c.Webhook, c.Subject)
		return err
	})
}

func saveTry(ctx context.Context, tx *sql.Tx, id int64, state string, now time.Time, r media.DeliveryResult) error {
	var done time.Time
	if state != media.DeliveryWaiting {
		done = now
	}
	_, err := changed(ctx, tx, `UPDATE deliveries SET state = $2, done_at = $3, attempts = attempts + 1, tried_at = $4,
		took_ms = $5, status = $6, answer = $7, error = $8 WHERE id = $1 AND state = 'waiting'`,
		id, state, millis(done), now.UnixMilli(), r.Took.Milliseconds(), r.Status, shortened(r.Answer), shortened(r.Error))
	return err
}

// Of a webhook that is well its row is written once a second at most.
const healthAge = time.Second

// hastenAfter is how long a webhook must have failed for its recovery to hasten what waits: one event that is refused
// among others that are taken is no outage.
const hastenAfter = time.Minute

func (db *DB) noteSuccess(ctx context.Context, webhook string, now time.Time) error {
	var since time.Time
	err := db.reads.QueryRowContext(ctx, `SELECT failing_since FROM webhooks WHERE id = $1`, webhook).Scan(at{&since})
	if errors.Is(err, sql.ErrNoRows) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	if _, err := changed(ctx, db.writes, `UPDATE webhooks SET last_success = $2, failing_since = NULL
		WHERE id = $1 AND (failing_since IS NOT NULL OR last_success IS NULL OR last_success <= $3)`,
		webhook, now.UnixMilli(), now.Add(-healthAge).UnixMilli()); err != nil {
		return err
	}
	if since.IsZero() || now.Sub(since) < hastenAfter {
		return nil
	}
	_, err = changed(ctx, db.writes, `
		WITH chosen AS (
			SELECT subject FROM delivery_queues WHERE webhook = $1 AND next_at > $2 AND owner = ''`+db.skipLocked+`
		)
		UPDATE delivery_queues SET next_at = $2
		WHERE webhook = $1 AND subject IN (SELECT subject FROM chosen) AND next_at > $2 AND owner = ''`,
		webhook, now.UnixMilli())
	return err
}

// LapseDeliveries has an owner's claims run out at once, for a process that begins and whose claims are those of the
// one before it, which is gone. It gives their number.
func (db *DB) LapseDeliveries(ctx context.Context, owner string, now time.Time) (int64, error) {
	n, err := changed(ctx, db.writes, `
		WITH chosen AS (SELECT webhook, subject FROM delivery_queues WHERE owner = $1`+db.skipLocked+`)
		UPDATE delivery_queues SET next_at = $2, epoch = epoch + 1, owner = ''
		WHERE (webhook, subject) IN (SELECT webhook, subject FROM chosen) AND owner = $1`, owner, now.UnixMilli())
	if err != nil {
		return 0, db.failed("lapse the deliveries of "+shown(owner), err)
	}
	return n, nil
}
