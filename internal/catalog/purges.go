package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxKnownPurges bounds what edges are told of that come back.
	maxKnownPurges = 20000
	// purgeKeep is for how long they are: longer than an edge is off whose disk is still of use.
	purgeKeep = 400 * 24 * time.Hour
)

// AddPurge notes that edges are to forget what they have of the purge's publisher, stream or recording by now, and
// gives it with its time. media.ErrNotFound without the publisher; media.ErrLimit when there are too many.
func (db *DB) AddPurge(ctx context.Context, p media.Purge) (media.Purge, error) {
	p.Time = db.clock()
	err := db.write(ctx, func(tx *sql.Tx) error {
		if _, err := lockPublisher(ctx, tx, p.Publisher); err != nil {
			return err
		}
		_, err := changed(ctx, tx, `
			DELETE FROM purges WHERE purged_at < $1 OR
				(publisher = $2 AND ($3 = '' OR (stream = $3 AND ($4 = '' OR recording = $4))))`,
			p.Time.Add(-purgeKeep).UnixMilli(), p.Publisher, p.Stream, string(p.Recording))
		if err != nil {
			return err
		}
		var n int64
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM purges`).Scan(&n); err != nil {
			return err
		}
		if n >= maxKnownPurges {
			return fmt.Errorf("%w: %d purges are remembered: purge whole streams or publishers, which take the place of "+
				"theirs", media.ErrLimit, n)
		}
		_, err = changed(ctx, tx, `
			INSERT INTO purges (publisher, stream, recording, purged_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (publisher, stream, recording) DO UPDATE SET purged_at = excluded.purged_at`,
			p.Publisher, p.Stream, string(p.Recording), p.Time.UnixMilli())
		return err
	})
	if err != nil {
		return p, db.failed("note purge of publisher "+shown(p.Publisher), err)
	}
	return p, nil
}

// Purges lists what was purged, oldest first. A purge that a later one covers is not among them.
func (db *DB) Purges(ctx context.Context) ([]media.Purge, error) {
	purges, err := all(ctx, db.reads, func(row scanner) (p media.Purge, err error) {
		err = row.Scan(&p.Publisher, &p.Stream, &p.Recording, at{&p.Time})
		return p, err
	}, `SELECT publisher, stream, recording, purged_at FROM purges ORDER BY purged_at, publisher, stream, recording`)
	if err != nil {
		return nil, db.failed("list purges", err)
	}
	return purges, nil
}
