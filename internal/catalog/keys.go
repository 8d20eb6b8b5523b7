package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxKeys     = 100 // keys of one stream
	maxKeyGrace = 30 * 24 * time.Hour
	maxKeyLife  = 100 * 365 * 24 * time.Hour
)

// AddKey lets a key publish a stream. media.ErrNotFound without the stream; media.ErrExists when the key is in use, by
// whichever stream: a key alone names its stream.
func (db *DB) AddKey(ctx context.Context, path media.StreamPath, label, key string) (media.StreamKey, error) {
	return db.AddKeyUntil(ctx, path, label, key, time.Time{})
}

// AddKeyUntil is AddKey of a key that expires; a zero time never comes.
func (db *DB) AddKeyUntil(ctx context.Context, path media.StreamPath, label, key string, until time.Time) (
	media.StreamKey, error,
) {
	added := media.StreamKey{Path: path, Label: label, ExpiresAt: until}
	err := db.checkKey(added, key)
	if err == nil {
		err = db.write(ctx, func(tx *sql.Tx) (err error) {
			if _, err := lockStream(ctx, tx, path); err != nil {
				return err
			}
			added, err = db.insertKey(ctx, tx, added, key)
			return err
		})
	}
	if err != nil {
		return media.StreamKey{}, db.failed("add key of stream "+shown(path.String()), err)
	}
	return added, nil
}

// RotateKey adds a key in the place of another one of its stream: that goes on for the grace, or, without any, is
// removed. The new one has the old one's label unless another is given.
func (db *DB) RotateKey(ctx context.Context, path media.StreamPath, r media.KeyRotation, key string) (
	added, old media.StreamKey, err error,
) {
	if r.Grace < 0 || r.Grace > maxKeyGrace {
		return added, old, &media.FieldError{Field: "grace", Want: fmt.Sprintf("%s is out of range: use 0s to %gh",
			r.Grace, maxKeyGrace.Hours())}
	}
	err = db.write(ctx, func(tx *sql.Tx) error {
		if _, err := lockStream(ctx, tx, path); err != nil {
			return err
		}
		row := tx.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM stream_keys
			WHERE publisher = $1 AND stream = $2 AND id = $3`, path.Publisher, path.Stream, r.ID)
		if old, err = scanKey(row); errors.Is(err, sql.ErrNoRows) {
			return media.ErrNotFound
		} else if err != nil {
			return err
		}
		added = media.StreamKey{Path: path, Label: old.Label, ExpiresAt: r.ExpiresAt}
		if r.Label != nil {
			added.Label = *r.Label
		}
		if err := db.checkKey(added, key); err != nil {
			return err
		}
		until := db.clock().Add(r.Grace)
		switch {
		case r.Grace == 0:
			old.ExpiresAt = until
			_, err = changed(ctx, tx, `DELETE FROM stream_keys WHERE id = $1`, old.ID)
		case old.ExpiresAt.IsZero() || until.Before(old.ExpiresAt):
			old.ExpiresAt = until
			_, err = changed(ctx, tx, `UPDATE stream_keys SET expires_at = $1 WHERE id = $2`, until.UnixMilli(), old.ID)
		}
		if err != nil {
			return err
		}
		added, err = db.insertKey(ctx, tx, added, key)
		return err
	})
	if err != nil {
		return media.StreamKey{}, media.StreamKey{}, db.failed("rotate key of stream "+shown(path.String()), err)
	}
	return added, old, nil
}

func (db *DB) checkKey(k media.StreamKey, key string) error {
	if err := checkSecret("key", k.Label, key); err != nil {
		return err
	}
	if now := db.now(); !k.ExpiresAt.IsZero() && (!k.ExpiresAt.After(now) || k.ExpiresAt.After(now.Add(maxKeyLife))) {
		return &media.FieldError{Field: "expires_at", Want: "use a time that is to come, or leave it out for a key that " +
			"never expires"}
	}
	return nil
}

// insertKey adds a key under the lock of its publisher. A stream that is full of keys loses those that have expired.
func (db *DB) insertKey(ctx context.Context, tx *sql.Tx, k media.StreamKey, key string) (media.StreamKey, error) {
	k.ID, k.CreatedAt, k.ExpiresAt = newID(), db.clock(), k.ExpiresAt.UTC().Truncate(time.Millisecond)
	var n, expired int64
	err := tx.QueryRowContext(ctx, `
		SELECT COUNT(*), COALESCE(SUM(CASE WHEN expires_at <= $1 THEN 1 ELSE 0 END), 0) FROM stream_keys
		WHERE publisher = $2 AND stream = $3`, k.CreatedAt.UnixMilli(), k.Path.Publisher, k.Path.Stream).Scan(&n, &expired)
	switch {
	case err != nil:
		return k, err
	case n-expired >= maxKeys:
		return k, fmt.Errorf("%w: the stream has %d keys: remove one first", media.ErrConflict, n-expired)
	case n >= maxKeys:
		if _, err := changed(ctx, tx, `DELETE FROM stream_keys WHERE publisher = $1 AND stream = $2 AND expires_at <= $3`,
			k.Path.Publisher, k.Path.Stream, k.CreatedAt.UnixMilli()); err != nil {
			return k, err
		}
	}
	var until sql.Null[int64]
	if !k.ExpiresAt.IsZero() {
		until = sql.Null[int64]{V: k.ExpiresAt.UnixMilli(), Valid: true}
	}
	n, err = changed(ctx, tx, `
		INSERT INTO stream_keys (id, publisher, stream, hash, label, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (hash) DO NOTHING`,
		k.ID, k.Path.Publisher, k.Path.Stream, hash(key), k.Label, k.CreatedAt.UnixMilli(), until)
	if err == nil && n == 0 {
		err = media.ErrExists
	}
	return k, err
}

const keyColumns = `id, publisher, stream, label, created_at, expires_at, last_used_at`

// Keys lists the keys of a stream, oldest first, expired ones too. media.ErrNotFound without the stream.
func (db *DB) Keys(ctx context.Context, path media.StreamPath) ([]media.StreamKey, error) {
	keys, err := all(ctx, db.reads, scanKey, `SELECT `+keyColumns+` FROM stream_keys
		WHERE publisher = $1 AND stream = $2 ORDER BY created_at, id`, path.Publisher, path.Stream)
	if err == nil && len(keys) == 0 {
		_, err = stream(ctx, db.reads, path)
	}
	if err != nil {
		return nil, db.failed("keys of stream "+shown(path.String()), err)
	}
	return keys, nil
}

func scanKey(row scanner) (media.StreamKey, error) {
	var k media.StreamKey
	err := row.Scan(&k.ID, &k.Path.Publisher, &k.Path.Stream, &k.Label, at{&k.CreatedAt}, at{&k.ExpiresAt},
		at{&k.LastUsedAt})
	return k, err
}

// RemoveKey takes a key from a stream: the next publish with it is denied, and nodes drop who publishes with it.
func (db *DB) RemoveKey(ctx context.Context, path media.StreamPath, id string) error {
	n, err := changed(ctx, db.writes, `DELETE FROM stream_keys WHERE publisher = $1 AND stream = $2 AND id = $3`,
		path.Publisher, path.Stream, id)
	if err == nil && n == 0 {
		err = media.ErrNotFound
	}
	if err != nil {
		return db.failed("remove key of stream "+shown(path.String()), err)
	}
	return nil
}

// AuthorizeKey gives the stream that a key may publish, with the key as its Key. media.ErrDenied, of which
// media.ErrKeyExpired is one.
func (db *DB) AuthorizeKey(ctx context.Context, key string) (media.Stream, error) {
	s, err := db.authorize(ctx, key, nil)
	if err != nil {
		return media.Stream{}, db.failed("authorize key", err)
	}
	return s, nil
}

// AuthorizePath gives the stream if the key may publish it. media.ErrDenied for a wrong key and for an unknown stream
// alike: who has no key learns no names.
func (db *DB) AuthorizePath(ctx context.Context, path media.StreamPath, key string) (media.Stream, error) {
	s, err := db.authorize(ctx, key, &path)
	if err != nil {
		return media.Stream{}, db.failed("authorize key for stream "+shown(path.String()), err)
	}
	return s, nil
}

func (db *DB) authorize(ctx context.Context, key string, of *media.StreamPath) (media.Stream, error) {
	k, err := scanHash(db.reads.QueryRowContext(ctx, `SELECT `+hashColumns+` FROM stream_keys WHERE hash = $1`, hash(key)))
	switch {
	case err != nil:
		return media.Stream{}, denied(err)
	case of != nil && k.path != *of:
		return media.Stream{}, media.ErrDenied
	case k.key.Expired(db.now()):
		return media.Stream{}, media.ErrKeyExpired
	}
	s, err := stream(ctx, db.reads, k.path)
	if errors.Is(err, media.ErrNotFound) {
		err = media.ErrDenied // it was deleted since
	}
	s.Key = k.key
	return s, err
}

// hashedKey is what authorisation needs of a key.
type hashedKey struct {
	hash string
	path media.StreamPath
	key  media.KeyGrant
}

const hashColumns = `hash, publisher, stream, id, expires_at`

func scanHash(row scanner) (k hashedKey, err error) {
	err = row.Scan(&k.hash, &k.path.Publisher, &k.path.Stream, &k.key.ID, at{&k.key.ExpiresAt})
	return k, err
}
