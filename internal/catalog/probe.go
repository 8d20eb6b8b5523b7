package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Examine opens the catalog in a PostgreSQL database only to ask it what follows in this file: its schema need not fit,
// or be there at all.
func Examine(ctx context.Context, catalogURL string, logger *slog.Logger) (*DB, error) {
	return openChecked(ctx, catalogURL, pgSilence, logger, func(context.Context, *pgx.Conn) error { return nil })
}

// PostgresName is host and database of a URL that OpenPostgres takes, without its secrets.
func PostgresName(catalogURL string) (string, error) {
	config, _, err := parsePostgres(catalogURL)
	if err != nil {
		return "", err
	}
	return pgName(config), nil
}

// Time is PostgreSQL's clock.
func (db *DB) Time(ctx context.Context) (now time.Time, err error) {
	if err := db.reads.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return time.Time{}, db.failed("time of the catalog", err)
	}
	return now, nil
}

// Server is PostgreSQL's version.
func (db *DB) Server(ctx context.Context) (version string, err error) {
	if err := db.reads.QueryRowContext(ctx, `SHOW server_version`).Scan(&version); err != nil {
		return "", db.failed("version of the server", err)
	}
	return "PostgreSQL " + version, nil
}

// SchemaVersions are the schema's, which is 0 where nothing was migrated, and the one that this binary brings.
func (db *DB) SchemaVersions(ctx context.Context) (has, knows int64, err error) {
	if knows, err = knownVersion(); err != nil {
		return 0, 0, err
	}
	if has, err = schemaVersion(db.reads.QueryRowContext(ctx, askVersion)); err != nil {
		return 0, 0, db.failed("version of the schema", err)
	}
	return has, knows, nil
}

// Rights writes, changes and deletes a row in a transaction that is rolled back, and looks for what the user may not do
// with the catalog's tables. An error names all of that.
func (db *DB) Rights(ctx context.Context) error {
	err := db.tryWrite(ctx)
	refused, askErr := all(ctx, db.reads, func(row scanner) (text string, err error) {
		return text, row.Scan(&text)
	}, `SELECT p.name || ' on ' || c.relname
		FROM pg_class c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) p (name)
		WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid)
			AND c.relnamespace IN (SELECT relnamespace FROM pg_class WHERE relname = 'goose_db_version')
			AND (c.relname <> 'goose_db_version' OR p.name = 'SELECT')
			AND NOT has_table_privilege(c.oid, p.name)
		ORDER BY c.relname, p.name`)
	switch {
	case len(refused) > 0:
		return fmt.Errorf("rights in the catalog: %w: the user lacks %s", media.ErrDenied, strings.Join(refused, ", "))
	case errors.Join(err, askErr) != nil:
		return db.failed("rights in the catalog", errors.Join(err, askErr))
	}
	return nil
}

// tryWrite leaves nothing: its transaction is never committed.
func (db *DB) tryWrite(ctx context.Context) error {
	tx, err := db.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	name := "doctor-" + newID()
	for _, statement := range []string{
		`INSERT INTO publishers (name, settings, created_at, updated_at) VALUES ($1, '{}', 0, 0)`,
		`UPDATE publishers SET updated_at = 1 WHERE name = $1`,
		`DELETE FROM publishers WHERE name = $1`,
	} {
		n, err := changed(ctx, tx, statement, name)
		if err == nil && n != 1 {
			err = fmt.Errorf("%w: a statement that changes one row changed %d", media.ErrConflict, n)
		}
		if err != nil {
			_ = tx.Rollback()
			return err
		}
	}
	return tx.Rollback()
}
