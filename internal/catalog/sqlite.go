package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/oxbow-video/oxbow/internal/media"
)

// OpenSQLite opens the catalog in an SQLite file, which it makes and migrates as needed. The file's directory must be
// there, on a local disk: SQLite's locks and shared memory do not work over NFS.
func OpenSQLite(ctx context.Context, file string, logger *slog.Logger) (*DB, error) {
	db, _, err := openSQLite(ctx, file, logger)
	return db, err
}

func openSQLite(ctx context.Context, file string, logger *slog.Logger) (_ *DB, versions Versions, err error) {
	if file == "" {
		return nil, versions, fmt.Errorf("open catalog: %w: no file named", media.ErrInvalid)
	}
	if err := makePrivate(file); err != nil {
		return nil, versions, fmt.Errorf("open catalog: %w", err)
	}
	db := &DB{logger: logger, now: time.Now, sentinel: sqliteSentinel}
	if db.writes, err = sql.Open("sqlite", sqliteDSN(file, sqliteBusy, url.Values{"_txlock": {"immediate"}})); err != nil {
		return nil, versions, fmt.Errorf("open catalog %s: %w", file, err)
	}
	// One connection: SQLite has one writer at a time, and waiting for it in the pool is fair and ends with the context.
	db.writes.SetMaxOpenConns(1)
	if versions, err = db.migrate(ctx, goose.DialectSQLite3); err != nil {
		return nil, versions, errors.Join(db.failed("open catalog "+file, err), db.writes.Close())
	}
	db.reads, err = sql.Open("sqlite", sqliteDSN(file, sqliteBusy, url.Values{"_pragma": {"query_only(1)"}}))
	if err != nil {
		return nil, versions, errors.Join(fmt.Errorf("open catalog %s: %w", file, err), db.writes.Close())
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	db.reads.SetMaxOpenConns(readers)
	db.reads.SetMaxIdleConns(readers)
	if err := db.Ping(ctx); err != nil {
		return nil, versions, errors.Join(fmt.Errorf("open catalog %s: %w", file, err), db.Close())
	}
	return db, versions, nil
}

// makePrivate makes the file, if it is not there, for nobody else to read: it has passphrases, and the hashes of keys.
// SQLite gives the files beside it the same mode. An existing file is left alone: closing it would drop SQLite's locks
// on it.
func makePrivate(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// sqliteBusy is how long a connection waits for another process's lock.
const sqliteBusy = 5 * time.Second

func sqliteDSN(file string, busy time.Duration, params url.Values) string {
	params["_pragma"] = append([]string{
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), // first: going over to WAL needs the lock too
		"journal_mode(WAL)",
		"synchronous(NORMAL)",
		"foreign_keys(1)",
		"journal_size_limit(67108864)",
	}, params["_pragma"]...)
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + params.Encode()
}

// isBusy says whether an error is that another process has SQLite's lock.
func isBusy(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_BUSY
}

// sqliteSentinel tells a catalog that is away for a while from one that is spoiled.
func sqliteSentinel(err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return nil
	}
	switch failure.Code() & 0xff { // the low byte is the primary code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return media.ErrUnavailable
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return media.ErrCorrupt
	}
	return nil
}
