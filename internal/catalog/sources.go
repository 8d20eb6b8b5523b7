package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const sourceQuery = `
	SELECT publisher, stream, url, mode, enabled, idle_timeout_ms, created_at, updated_at FROM sources `

// PutSource sets a stream's source, in place of the one that it may have. media.ErrNotFound without the stream.
func (db *DB) PutSource(ctx context.Context, s media.Source) (media.Source, error) {
	if err := s.Check(); err != nil {
		return media.Source{}, fmt.Errorf("put source of stream %s: %w", shown(s.Path.String()), err)
	}
	var put media.Source
	err := db.write(ctx, func(tx *sql.Tx) error {
		if _, err := lockStream(ctx, tx, s.Path); err != nil {
			return err
		}
		now := db.clock().UnixMilli()
		_, err := changed(ctx, tx, `
			INSERT INTO sources (publisher, stream, url, mode, enabled, idle_timeout_ms, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (publisher, stream) DO UPDATE SET url = excluded.url, mode = excluded.mode,
				enabled = excluded.enabled, idle_timeout_ms = excluded.idle_timeout_ms, updated_at = excluded.updated_at`,
			s.Path.Publisher, s.Path.Stream, s.URL, s.Mode, s.Enabled, s.IdleTimeout.D().Milliseconds(), now, now)
		if err != nil {
			return err
		}
		put, err = source(ctx, tx, s.Path)
		return err
	})
	if err != nil {
		return media.Source{}, db.failed("put source of stream "+shown(s.Path.String()), err)
	}
	return put, nil
}

// Source gives a stream's source: media.ErrNotFound without the stream, and without a source.
func (db *DB) Source(ctx context.Context, path media.StreamPath) (media.Source, error) {
	s, err := source(ctx, db.reads, path)
	if err != nil {
		return media.Source{}, db.failed("source of stream "+shown(path.String()), err)
	}
	return s, nil
}

// EnabledSources gives every source that is enabled, in order of stream.
func (db *DB) EnabledSources(ctx context.Context) ([]media.Source, error) {
	list, err := all(ctx, db.reads, scanSource, sourceQuery+`WHERE enabled ORDER BY publisher, stream`)
	if err != nil {
		return nil, db.failed("list sources", err)
	}
	return list, nil
}

// DeleteSource removes a stream's source: media.ErrNotFound if it has none.
func (db *DB) DeleteSource(ctx context.Context, path media.StreamPath) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `DELETE FROM sources WHERE publisher = $1 AND stream = $2`,
			path.Publisher, path.Stream)
		if err == nil && n == 0 {
			err = media.ErrNotFound
		}
		return err
	})
	if err != nil {
		return db.failed("delete source of stream "+shown(path.String()), err)
	}
	return nil
}

func source(ctx context.Context, q querier, path media.StreamPath) (media.Source, error) {
	s, err := scanSource(q.QueryRowContext(ctx,
		sourceQuery+`WHERE publisher = $1 AND stream = $2`, path.Publisher, path.Stream))
	if errors.Is(err, sql.ErrNoRows) {
		return s, media.ErrNotFound
	}
	return s, err
}

func scanSource(row scanner) (media.Source, error) {
	var s media.Source
	var idle time.Duration
	err := row.Scan(&s.Path.Publisher, &s.Path.Stream, &s.URL, &s.Mode, &s.Enabled, inMillis{&idle},
		at{&s.CreatedAt}, at{&s.UpdatedAt})
	s.IdleTimeout = media.Span(idle)
	return s, err
}
