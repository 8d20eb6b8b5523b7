package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// DB is the catalog. It is safe for concurrent use.
type DB struct {
	// reads and writes may be one pool: SQLite has one writer, and readers that need not wait for it.
	reads  *sql.DB
	writes *sql.DB
	// sentinel gives the media error that a driver's error amounts to, or nil.
	sentinel func(error) error
	// skipLocked ends a SELECT that passes over rows which other statements are changing, where the database can.
	skipLocked string
	logger     *slog.Logger
	now        func() time.Time
}

// Close closes the catalog. What was committed stays, with or without it.
func (db *DB) Close() error {
	if db.reads == db.writes {
		return db.writes.Close()
	}
	// The writer goes last: the last connection to close folds SQLite's write-ahead log into the file.
	return errors.Join(db.reads.Close(), db.writes.Close())
}

// Ping says whether the catalog answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.reads.PingContext(ctx); err != nil {
		return db.failed("ping", err)
	}
	return nil
}

// querier is what a pool and a transaction have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// write runs fn in a transaction. Its first statement is lockPublisher, where what is read decides what is written.
func (db *DB) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := db.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		// The first error is the one to tell: a rollback fails only when the connection is gone, and then it is rolled
		// back too.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// failed wraps an error with what was done; a driver's gets the media error that it amounts to.
func (db *DB) failed(act string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", act, err)
	}
	if sentinel := db.sentinel(err); sentinel != nil {
		return fmt.Errorf("%s: %w: %w", act, sentinel, err)
	}
	return fmt.Errorf("%s: %w", act, err)
}

// changed is the number of rows that a statement changed.
func changed(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// all scans every row of a query.
func all[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) (
	items []T, err error,
) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, rows.Err()
}

// scanner is a row to be read: *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// clock is the time as the catalog stores it.
func (db *DB) clock() time.Time { return time.UnixMilli(db.now().UnixMilli()).UTC() }

// newID makes an id for a key or a token.
func newID() string { return strings.ToLower(ulid.Make().String()) }

// pageLimit checks a limit; zero gives the default.
func pageLimit(limit int) (int, error) {
	const normal, most = 50, 1000
	switch {
	case limit == 0:
		return normal, nil
	case limit < 0 || limit > most:
		return 0, &media.FieldError{Field: "limit", Want: fmt.Sprintf("%d is out of range: use 1 to %d", limit, most)}
	}
	return limit, nil
}
