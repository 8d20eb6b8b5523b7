package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxSecret = 512 // bytes of a key or token
	maxLabel  = 200 // characters
	maxKeys   = 100 // keys of one stream
)

// AddKey lets a key publish a stream. media.ErrNotFound without the stream; media.ErrExists when the key is in use, by
// whichever stream: a key alone names its stream.
func (db *DB) AddKey(ctx context.Context, path media.StreamPath, label, key string) (media.StreamKey, error) {
	if err := checkSecret("key", label, key); err != nil {
		return media.StreamKey{}, fmt.Errorf("add key: %w", err)
	}
	added := media.StreamKey{ID: newID(), Path: path, Label: label, CreatedAt: db.clock()}
	err := db.write(ctx, func(tx *sql.Tx) error {
		if _, err := lockStream(ctx, tx, path); err != nil {
			return err
		}
		var n int64
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM stream_keys WHERE publisher = $1 AND stream = $2`,
			path.Publisher, path.Stream).Scan(&n)
		if err != nil {
			return err
		}
		if n >= maxKeys {
			return fmt.Errorf("%w: the stream has %d keys: remove one first", media.ErrConflict, n)
		}
		n, err = changed(ctx, tx, `
			INSERT INTO stream_keys (id, publisher, stream, hash, label, created_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO NOTHING`,
			added.ID, path.Publisher, path.Stream, hash(key), label, added.CreatedAt.UnixMilli())
		if err == nil && n == 0 {
			err = media.ErrExists
		}
		return err
	})
	if err != nil {
		return media.StreamKey{}, db.failed("add key of stream "+shown(path.String()), err)
	}
	return added, nil
}

// Keys lists the keys of a stream, oldest first. media.ErrNotFound without the stream.
func (db *DB) Keys(ctx context.Context, path media.StreamPath) ([]media.StreamKey, error) {
	keys, err := all(ctx, db.reads, scanKey, `
		SELECT id, publisher, stream, label, created_at FROM stream_keys
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
	var created int64
	err := row.Scan(&k.ID, &k.Path.Publisher, &k.Path.Stream, &k.Label, &created)
	k.CreatedAt = time.UnixMilli(created).UTC()
	return k, err
}

// RemoveKey takes a key from a stream. Who publishes with it goes on; the next publish with it is denied.
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

// AuthorizeKey gives the stream that a key may publish, or media.ErrDenied.
func (db *DB) AuthorizeKey(ctx context.Context, key string) (media.Stream, error) {
	s, err := scanStream(db.reads.QueryRowContext(ctx, streamQuery+`
		JOIN stream_keys k ON k.publisher = s.publisher AND k.stream = s.name WHERE k.hash = $1`, hash(key)))
	if err != nil {
		return media.Stream{}, db.failed("authorize key", denied(err))
	}
	return s, nil
}

// AuthorizePath gives the stream if the key may publish it. media.ErrDenied for a wrong key and for an unknown stream
// alike: who has no key learns no names.
func (db *DB) AuthorizePath(ctx context.Context, path media.StreamPath, key string) (media.Stream, error) {
	s, err := scanStream(db.reads.QueryRowContext(ctx, streamQuery+`
		JOIN stream_keys k ON k.publisher = s.publisher AND k.stream = s.name
		WHERE k.hash = $1 AND s.publisher = $2 AND s.name = $3`, hash(key), path.Publisher, path.Stream))
	if err != nil {
		return media.Stream{}, db.failed("authorize key for stream "+shown(path.String()), denied(err))
	}
	return s, nil
}

// hash is how a secret is stored and found.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func denied(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return media.ErrDenied
	}
	return err
}

func checkSecret(field, label, secret string) error {
	switch {
	case secret == "" || len(secret) > maxSecret:
		return &media.FieldError{Field: field, Want: fmt.Sprintf("%d bytes: use 1 to %d", len(secret), maxSecret)}
	case utf8.RuneCountInString(label) > maxLabel || strings.ContainsFunc(label, unprintable):
		return &media.FieldError{Field: "label", Want: fmt.Sprintf("use at most %d printable characters", maxLabel)}
	}
	return nil
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
