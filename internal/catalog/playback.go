package catalog

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxPlaybackKeys bounds the keys of one publisher: every edge has them all.
const maxPlaybackKeys = 32

const playbackKeyColumns = `publisher, kid, algorithm, verifies, signs, label, created_at, expires_at`

// AddPlaybackKey gives a publisher another key; one without an id gets one. media.ErrNotFound without the publisher,
// media.ErrExists when it has a key of that id, media.ErrLimit when it has 32 keys.
func (db *DB) AddPlaybackKey(ctx context.Context, k media.PlaybackKey) (media.PlaybackKey, error) {
	if k.ID == "" {
		k.ID = newID()
	}
	k.CreatedAt = db.clock()
	err := checkPlaybackKey(k)
	if err == nil {
		err = db.write(ctx, func(tx *sql.Tx) error { return addPlaybackKey(ctx, tx, k) })
	}
	if err != nil {
		return media.PlaybackKey{}, db.failed("add playback key of publisher "+shown(k.Publisher), err)
	}
	if !k.ExpiresAt.IsZero() {
		k.ExpiresAt = time.UnixMilli(k.ExpiresAt.UnixMilli()).UTC()
	}
	return k, nil
}

func checkPlaybackKey(k media.PlaybackKey) error {
	if err := media.CheckKID(k.ID); err != nil {
		return err
	}
	switch {
	case k.Algorithm != media.PlaybackHS256 && k.Algorithm != media.PlaybackEdDSA:
		return &media.FieldError{Field: "algorithm", Want: fmt.Sprintf("%.40q is unknown: use %q or %q",
			k.Algorithm, media.PlaybackHS256, media.PlaybackEdDSA)}
	case len(k.Key) == 0 || len(k.Key) > maxSecret || len(k.Private) > maxSecret:
		return &media.FieldError{Field: "key", Want: fmt.Sprintf("%d bytes: use 1 to %d", len(k.Key), maxSecret)}
	case utf8.RuneCountInString(k.Label) > maxLabel || strings.ContainsFunc(k.Label, unprintable):
		return &media.FieldError{Field: "label", Want: fmt.Sprintf("use at most %d printable characters", maxLabel)}
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(k.CreatedAt):
		return &media.FieldError{Field: "expires_at", Want: "it is over: use a time to come"}
	}
	return nil
}

func addPlaybackKey(ctx context.Context, tx *sql.Tx, k media.PlaybackKey) error {
	if _, err := lockPublisher(ctx, tx, k.Publisher); err != nil {
		return err
	}
	var n int64
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM playback_keys WHERE publisher = $1`, k.Publisher).Scan(&n)
	if err != nil {
		return err
	}
	if n >= maxPlaybackKeys {
		return fmt.Errorf("%w: the publisher has %d playback keys: remove one first", media.ErrLimit, n)
	}
	n, err = changed(ctx, tx, `
		INSERT INTO playback_keys (`+playbackKeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (publisher, kid) DO NOTHING`,
		k.Publisher, k.ID, k.Algorithm, encodeKey(k.Key), encodeKey(k.Private), k.Label, k.CreatedAt.UnixMilli(),
		millis(k.ExpiresAt))
	if err == nil && n == 0 {
		err = media.ErrExists
	}
	if err != nil {
		return err
	}
	return playbackChanged(ctx, tx)
}

// PlaybackKeys lists a publisher's keys, oldest first. media.ErrNotFound without the publisher.
func (db *DB) PlaybackKeys(ctx context.Context, name string) ([]media.PlaybackKey, error) {
	keys, err := all(ctx, db.reads, scanPlaybackKey, `
		SELECT `+playbackKeyColumns+` FROM playback_keys WHERE publisher = $1 ORDER BY created_at, kid`, name)
	if err == nil && len(keys) == 0 {
		_, err = publisher(ctx, db.reads, name)
	}
	if err != nil {
		return nil, db.failed("playback keys of publisher "+shown(name), err)
	}
	return keys, nil
}

// RemovePlaybackKey takes a key from a publisher: its tokens are no good any more. media.ErrNotFound without it.
func (db *DB) RemovePlaybackKey(ctx context.Context, name, kid string) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		if _, err := lockPublisher(ctx, tx, name); err != nil {
			return err
		}
		n, err := changed(ctx, tx, `DELETE FROM playback_keys WHERE publisher = $1 AND kid = $2`, name, kid)
		switch {
		case err != nil:
			return err
		case n == 0:
			return media.ErrNotFound
		}
		return playbackChanged(ctx, tx)
	})
	if err != nil {
		return db.failed("remove playback key of publisher "+shown(name), err)
	}
	return nil
}

func scanPlaybackKey(row scanner) (media.PlaybackKey, error) {
	var k media.PlaybackKey
	var verifies, signs string
	err := row.Scan(&k.Publisher, &k.ID, &k.Algorithm, &verifies, &signs, &k.Label, at{&k.CreatedAt}, at{&k.ExpiresAt})
	if err == nil {
		k.Key, err = decodeKey(verifies)
	}
	if err == nil {
		k.Private, err = decodeKey(signs)
	}
	return k, err
}

func encodeKey(key []byte) string { return base64.RawStdEncoding.EncodeToString(key) }

func decodeKey(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: playback key: %w", media.ErrCorrupt, err)
	}
	return key, nil
}

// PlaybackVersion counts the changes of keys and policies. It costs next to nothing.
func (db *DB) PlaybackVersion(ctx context.Context) (version int64, err error) {
	err = db.reads.QueryRowContext(ctx, `SELECT version FROM playback_version WHERE name = 'playback'`).Scan(&version)
	if err != nil {
		return 0, db.failed("version of the playback policies", err)
	}
	return version, nil
}

// PlaybackPolicies gives all that edges need to know, as of its version or later: what it holds of later changes comes
// again with their version.
func (db *DB) PlaybackPolicies(ctx context.Context) (media.PlaybackPolicies, error) {
	policies := media.PlaybackPolicies{Publishers: make(map[string]media.PublisherPlaybackPolicy)}
	version, err := db.PlaybackVersion(ctx)
	if err == nil {
		policies.Version = version
		err = db.readPolicies(ctx, policies.Publishers)
	}
	if err != nil {
		return media.PlaybackPolicies{}, db.failed("playback policies", err)
	}
	return policies, nil
}

func (db *DB) readPolicies(ctx context.Context, into map[string]media.PublisherPlaybackPolicy) error {
	type policy struct{ publisher, stream, playback string }
	scan := func(row scanner) (p policy, err error) {
		err = row.Scan(&p.publisher, &p.stream, &p.playback)
		return p, err
	}
	publishers, err := all(ctx, db.reads, scan, `SELECT name, '', playback FROM publishers WHERE playback <> 'public'`)
	if err != nil {
		return err
	}
	for _, p := range publishers {
		into[p.publisher] = media.PublisherPlaybackPolicy{Playback: p.playback}
	}
	streams, err := all(ctx, db.reads, scan, `
		SELECT s.publisher, s.name, s.playback FROM streams s JOIN publishers p ON p.name = s.publisher
		WHERE s.playback <> '' AND s.playback <> p.playback`)
	if err != nil {
		return err
	}
	for _, s := range streams {
		of, ok := into[s.publisher]
		if !ok {
			of.Playback = media.PlaybackPublic
		}
		if of.Streams == nil {
			of.Streams = make(map[string]string)
		}
		of.Streams[s.stream] = s.playback
		into[s.publisher] = of
	}
	keys, err := all(ctx, db.reads, scanPlaybackKey, `
		SELECT `+playbackKeyColumns+` FROM playback_keys ORDER BY publisher, created_at, kid`)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if of, signed := into[k.Publisher]; signed {
			of.Keys = append(of.Keys, media.VerifyingKey{ID: k.ID, Algorithm: k.Algorithm, Key: k.Key, ExpiresAt: k.ExpiresAt})
			into[k.Publisher] = of
		}
	}
	return nil
}

// playbackChanged counts a change. It locks the counter until the transaction ends: little should follow it.
func playbackChanged(ctx context.Context, tx *sql.Tx) error {
	n, err := changed(ctx, tx, `UPDATE playback_version SET version = version + 1 WHERE name = 'playback'`)
	if err == nil && n == 0 {
		err = errors.New("the counter of playback policies is not there")
	}
	return err
}

// savePlayback keeps who may watch a publisher, or, where the path names one, a stream, where SQL sees it: what is set
// there, or nil.
func savePlayback(ctx context.Context, tx *sql.Tx, path media.StreamPath, own *string) error {
	var n int64
	var err error
	if path.Stream == "" {
		policy := media.PlaybackPublic // the default
		if own != nil {
			policy = *own
		}
		n, err = changed(ctx, tx, `UPDATE publishers SET playback = $1 WHERE name = $2 AND playback <> $1`,
			policy, path.Publisher)
	} else {
		policy := ""
		if own != nil {
			policy = *own
		}
		n, err = changed(ctx, tx, `UPDATE streams SET playback = $1 WHERE publisher = $2 AND name = $3 AND playback <> $1`,
			policy, path.Publisher, path.Stream)
	}
	if err != nil || n == 0 {
		return err
	}
	return playbackChanged(ctx, tx)
}

// removePlayback removes a publisher's keys and policy, before the publisher.
func removePlayback(ctx context.Context, tx *sql.Tx, name string) error {
	n, err := changed(ctx, tx, `DELETE FROM playback_keys WHERE publisher = $1`, name)
	if err == nil && n > 0 {
		err = playbackChanged(ctx, tx)
	}
	if err != nil {
		return err
	}
	return savePlayback(ctx, tx, media.StreamPath{Publisher: name}, nil)
}
