package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/migrations"
)

// Versions are what the schema was and is.
type Versions struct{ From, To int64 }

// Migrate brings the schema of the catalog that a URL names up to this binary's. Any number of processes may run it
// at once: one works, the others wait and find it done. It must reach PostgreSQL itself, not a pooler that shares
// sessions.
func Migrate(ctx context.Context, catalogURL string, logger *slog.Logger) (Versions, error) {
	scheme, file, _ := strings.Cut(catalogURL, ":")
	switch scheme {
	case "postgres", "postgresql":
		return migratePostgres(ctx, catalogURL, logger)
	case "sqlite":
		db, versions, err := openSQLite(ctx, file, logger)
		if err != nil {
			return Versions{}, err
		}
		return versions, db.Close()
	}
	return Versions{}, fmt.Errorf("migrate catalog: %w", errScheme)
}

// migrateLock is the key of the advisory lock that migrations are done under: "oxbow" as a number.
const migrateLock = 0x6f78626f77

func migratePostgres(ctx context.Context, catalogURL string, logger *slog.Logger) (versions Versions, err error) {
	config, _, err := parsePostgres(catalogURL)
	if err != nil {
		return Versions{}, fmt.Errorf("migrate catalog: %w", err)
	}
	// An index may take long, so only waiting is bounded: a statement that waits for a lock makes all others wait
	// behind it.
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = "20000"
	pool := sql.OpenDB(stdlib.GetConnector(*config))
	db := &DB{reads: pool, writes: pool, sentinel: pgSentinel, logger: logger, now: time.Now}
	defer func() {
		if err != nil {
			err = db.failed("migrate catalog "+pgName(config), err)
		}
		err = errors.Join(err, pool.Close())
	}()
	lock, err := pool.Conn(ctx)
	if err != nil {
		return Versions{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := holdMigrations(ctx, lock); err != nil {
		return Versions{}, err
	}
	// The lock ends with its connection, which the pool's end closes.
	return db.migrate(ctx, goose.DialectPostgres)
}

// holdMigrations waits until no other process migrates. By asking again: who waits in the server holds a snapshot,
// and is in the way of what the other does.
func holdMigrations(ctx context.Context, conn *sql.Conn) error {
	var encoding string
	if err := conn.QueryRowContext(ctx, `SHOW server_encoding`).Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w: the database's encoding is %s: create it with ENCODING 'UTF8' TEMPLATE template0",
			media.ErrUnsupported, encoding)
	}
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		var held bool
		err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, int64(migrateLock)).Scan(&held)
		if err != nil || held {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another migration: %w", ctx.Err())
		case <-again.C:
		}
	}
}

// migrate brings the schema up to date.
func (db *DB) migrate(ctx context.Context, dialect goose.Dialect) (Versions, error) {
	return db.migrateFrom(ctx, dialect, migrations.FS)
}

func (db *DB) migrateFrom(ctx context.Context, dialect goose.Dialect, files fs.FS) (versions Versions, err error) {
	versions.From = -1
	err = patiently(ctx, func() error {
		tried, err := db.migrateOnce(ctx, dialect, files)
		if versions.To = tried.To; versions.From < 0 {
			versions.From = tried.From
		}
		return err
	})
	if err != nil {
		return Versions{}, err
	}
	if versions.From < versions.To {
		db.logger.InfoContext(ctx, "catalog migrated", "from", versions.From, "to", versions.To)
	}
	return versions, nil
}

// migrateOnce gives what the schema was with an error too, or less than 0 when it could not be read.
func (db *DB) migrateOnce(ctx context.Context, dialect goose.Dialect, files fs.FS) (Versions, error) {
	provider, err := goose.NewProvider(dialect, db.writes, files,
		goose.WithSlog(db.logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return Versions{}, fmt.Errorf("read migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return Versions{From: -1}, fmt.Errorf("read schema version: %w", err)
	}
	first := current
	for current < target {
		_, err := provider.Up(ctx)
		reached, _, look := provider.GetVersions(ctx)
		switch {
		case err == nil && look == nil:
		case look != nil || reached == current:
			return Versions{From: first},
				fmt.Errorf("migrate schema from version %d to %d: %w", current, target, errors.Join(err, look))
		}
		current = reached // also when it failed: then another process was faster at this step
	}
	if current > target {
		return Versions{}, newerSchema(current, target)
	}
	return Versions{From: first, To: current}, nil
}

const (
	migrateWait  = 2 * time.Minute        // for other processes that migrate the same SQLite file
	migrateAgain = 100 * time.Millisecond // and between tries
)

// patiently has f try again while another process has SQLite's lock. That lock is not fair, and every step takes it
// anew: of many who start at once some would not get it within sqliteBusy.
func patiently(ctx context.Context, f func() error) error {
	again := time.NewTicker(migrateAgain)
	defer again.Stop()
	for end := time.Now().Add(migrateWait); ; {
		err := f()
		if err == nil || !isBusy(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-again.C:
		}
	}
}

func newerSchema(has, known int64) error {
	return fmt.Errorf("%w: its schema has version %d and this oxbow knows versions up to %d: "+
		"start the newer oxbow that wrote it", media.ErrUnsupported, has, known)
}

// knownVersion is the schema's version that this binary brings.
func knownVersion() (int64, error) {
	entries, err := migrations.FS.ReadDir(".")
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	var known int64
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read migrations: %s: %w", e.Name(), err)
		}
		known = max(known, version)
	}
	return known, nil
}
