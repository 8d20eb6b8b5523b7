package catalog

import (
	"context"
	"time"
)

// BornAt is when the catalog was made: when its schema was migrated first. That of a backup is its original's. What is
// older than a catalog was there before it, so that it can not say that there is no such thing.
func (db *DB) BornAt(ctx context.Context) (time.Time, error) {
	query := `SELECT CAST(strftime('%s', MIN(tstamp)) AS INTEGER) * 1000 FROM goose_db_version`
	if db.skipLocked != "" { // PostgreSQL
		query = `SELECT CAST(EXTRACT(EPOCH FROM CAST(MIN(tstamp) AS timestamptz)) * 1000 AS bigint) FROM goose_db_version`
	}
	var born time.Time
	if err := db.reads.QueryRowContext(ctx, query).Scan(at{&born}); err != nil {
		return time.Time{}, db.failed("when the catalog was made", err)
	}
	return born, nil
}
