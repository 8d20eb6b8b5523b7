package catalog

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/oxbow-video/oxbow/internal/media"
)

// logEvents adds events to the log, in the transaction of what they tell of, and gives them their ids. It is the last
// thing that a transaction does: it locks the counter, in whose order events become visible.
func (db *DB) logEvents(ctx context.Context, tx *sql.Tx, events ...media.LogEvent) error {
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = db.clock()
		}
		if e.Data == nil {
			e.Data = json.RawMessage("{}")
		}
		err := tx.QueryRowContext(ctx, `UPDATE event_counter SET last = last + 1 WHERE name = 'events' RETURNING last`).
			Scan(&e.ID)
		if err != nil {
			return err
		}
		if _, err := changed(ctx, tx, `
			INSERT INTO events (id, type, at, publisher, stream, recording, cluster, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			e.ID, e.Type, e.Time.UnixMilli(), e.Publisher, e.Stream, string(e.Recording), e.Cluster, string(e.Data),
		); err != nil {
			return err
		}
		if err := db.enqueueDeliveries(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

// AddEvents adds events to the log that tell of nothing that the catalog keeps.
func (db *DB) AddEvents(ctx context.Context, events ...media.LogEvent) error {
	if err := db.write(ctx, func(tx *sql.Tx) error { return db.logEvents(ctx, tx, events...) }); err != nil {
		return db.failed("add events to the log", err)
	}
	return nil
}
