package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// streamQuery selects streams, as s, with what scanStream reads.
const streamQuery = `
	SELECT s.publisher, s.name, s.settings, s.srt_passphrase, s.created_at, s.updated_at, s.revision,
		p.settings
	FROM streams s JOIN publishers p ON p.name = s.publisher `

// CreateStream adds a stream to a publisher: media.ErrNotFound without the publisher, media.ErrExists when it is there,
// a *media.FieldError for a group that can't be.
func (db *DB) CreateStream(ctx context.Context, path media.StreamPath, overrides media.SettingsPatch) (
	media.Stream, error,
) {
	if err := media.CheckStreamName(path.Stream); err != nil {
		return media.Stream{}, fmt.Errorf("create stream: %w", err)
	}
	if err := overrides.Check(); err != nil {
		return media.Stream{}, fmt.Errorf("create stream %s: %w", shown(path.String()), err)
	}
	now := db.clock()
	var created media.Stream
	err := db.write(ctx, func(tx *sql.Tx) error {
		p, err := lockPublisher(ctx, tx, path.Publisher)
		if err != nil {
			return fmt.Errorf("publisher %w", err)
		}
		settings := inForce(p.Settings, overrides)
		if err := checkGroup(ctx, tx, path, settings.Group); err != nil {
			return err
		}
		if err := settings.CheckMirror(); err != nil {
			return err
		}
		created = media.Stream{
			Path:      path,
			CreatedAt: now,
			UpdatedAt: now,
			Revision:  now.UnixMilli(),
			Overrides: overrides,
			Settings:  settings,
		}
		n, err := changed(ctx, tx, `
			INSERT INTO streams (publisher, name, settings, listed, member_of, created_at, updated_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $6, $6) ON CONFLICT (publisher, name) DO NOTHING`,
			path.Publisher, path.Stream, encodeSettings(overrides), created.Settings.Listed,
			created.Settings.Group, created.Revision)
		if err == nil && n == 0 {
			err = media.ErrExists
		}
		if err != nil {
			return err
		}
		if err := savePlayback(ctx, tx, path, overrides.Playback); err != nil {
			return err
		}
		return saveBounds(ctx, tx, path, overrides)
	})
	if err != nil {
		return media.Stream{}, db.failed("create stream "+shown(path.String()), err)
	}
	return created, nil
}

// Stream gives a stream with the settings in force, or media.ErrNotFound.
func (db *DB) Stream(ctx context.Context, path media.StreamPath) (media.Stream, error) {
	s, err := stream(ctx, db.reads, path)
	if err != nil {
		return media.Stream{}, db.failed("stream "+shown(path.String()), err)
	}
	return s, nil
}

// Streams lists a publisher's streams by name, from the first after the one named. Limit is 1 to 1000; zero means 50.
// media.ErrNotFound without the publisher.
func (db *DB) Streams(ctx context.Context, publisherName, after string, limit int) ([]media.Stream, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	list, err := all(ctx, db.reads, scanStream,
		streamQuery+`WHERE s.publisher = $1 AND s.name > $2 ORDER BY s.name LIMIT $3`, publisherName, after, limit)
	if err == nil && len(list) == 0 {
		_, err = publisher(ctx, db.reads, publisherName)
	}
	if err != nil {
		return nil, db.failed("list streams of "+shown(publisherName), err)
	}
	return list, nil
}

// ChangeStream puts the change's settings over the stream's own, and sets anew when its finished recordings are due. It
// may also set what the stream's SRT publishers encrypt with, from the next connection on; empty has them use the
// server's.
func (db *DB) ChangeStream(
	ctx context.Context, path media.StreamPath, change media.StreamChange, revisions ...int64,
) (media.Stream, error) {
	err := change.Settings.Check()
	if err == nil && change.SRTPassphrase != nil {
		err = media.CheckSRTPassphrase(*change.SRTPassphrase)
	}
	if err != nil {
		return media.Stream{}, fmt.Errorf("update stream %s: %w", shown(path.String()), err)
	}
	var updated media.Stream
	err = db.write(ctx, func(tx *sql.Tx) (err error) {
		updated, err = db.updateStream(ctx, tx, path, change, revisions)
		return err
	})
	if err != nil {
		return media.Stream{}, db.failed("update stream "+shown(path.String()), err)
	}
	return updated, nil
}

// updateStream is ChangeStream in a transaction: all that follows from the change follows in it.
func (db *DB) updateStream(
	ctx context.Context, tx *sql.Tx, path media.StreamPath, change media.StreamChange, revisions []int64,
) (media.Stream, error) {
	patch := change.Settings
	p, err := lockPublisher(ctx, tx, path.Publisher)
	if err != nil {
		return media.Stream{}, err
	}
	s, err := stream(ctx, tx, path)
	if err == nil {
		err = checkRevision(s.Revision, revisions)
	}
	if err != nil {
		return s, err
	}
	s.Revision++
	if change.SRTPassphrase != nil {
		s.SRTPassphrase = *change.SRTPassphrase
	}
	s.Overrides = s.Overrides.Merge(patch)
	s.Settings = inForce(p.Settings, s.Overrides)
	s.UpdatedAt = db.clock()
	if err := s.Settings.CheckMirror(); err != nil {
		return s, err
	}
	if patch.Group != nil || slices.Contains(patch.Reset, "group") {
		if err := checkGroup(ctx, tx, path, s.Settings.Group); err != nil {
			return s, err
		}
	}
	if _, err := changed(ctx, tx, `
		UPDATE streams SET settings = $1, listed = $2, member_of = $3, updated_at = $4, revision = $7, srt_passphrase = $8
		WHERE publisher = $5 AND name = $6`,
		encodeSettings(s.Overrides), s.Settings.Listed, s.Settings.Group, s.UpdatedAt.UnixMilli(),
		path.Publisher, path.Stream, s.Revision, s.SRTPassphrase); err != nil {
		return s, err
	}
	if err := saveBounds(ctx, tx, path, s.Overrides); err != nil {
		return s, err
	}
	if err := setDues(ctx, tx, path, s.Settings); err != nil {
		return s, err
	}
	if _, err = judgeIn(ctx, tx, p, s.UpdatedAt, judgeAll); err != nil {
		return s, err
	}
	return s, savePlayback(ctx, tx, path, s.Overrides.Playback)
}

// DeleteStream removes a stream and its keys, when it has no recordings but deleted ones and is no stream's group; else
// media.ErrConflict says what it has.
func (db *DB) DeleteStream(ctx context.Context, path media.StreamPath, revisions ...int64) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		s, err := lockStream(ctx, tx, path)
		if err == nil {
			err = checkRevision(s.Revision, revisions)
		}
		if err != nil {
			return err
		}
		if err := noMembers(ctx, tx, path); err != nil {
			return err
		}
		if err := noRecordings(ctx, tx, `publisher = $1 AND stream = $2`, path.Publisher, path.Stream); err != nil {
			return err
		}
		if err := removeBounds(ctx, tx, path); err != nil {
			return err
		}
		if err := savePlayback(ctx, tx, path, nil); err != nil {
			return err
		}
		if err := removeViewing(ctx, tx, path); err != nil {
			return err
		}
		_, err = changed(ctx, tx, `DELETE FROM streams WHERE publisher = $1 AND name = $2`,
			path.Publisher, path.Stream)
		return err
	})
	if err != nil {
		return db.failed("delete stream "+shown(path.String()), err)
	}
	return nil
}

func stream(ctx context.Context, q querier, path media.StreamPath) (media.Stream, error) {
	s, err := scanStream(q.QueryRowContext(ctx,
		streamQuery+`WHERE s.publisher = $1 AND s.name = $2`, path.Publisher, path.Stream))
	if errors.Is(err, sql.ErrNoRows) {
		return s, media.ErrNotFound
	}
	return s, err
}

// lockStream is stream under the lock of its publisher.
func lockStream(ctx context.Context, tx *sql.Tx, path media.StreamPath) (media.Stream, error) {
	if _, err := lockPublisher(ctx, tx, path.Publisher); err != nil {
		return media.Stream{}, err
	}
	return stream(ctx, tx, path)
}

func scanStream(row scanner) (media.Stream, error) {
	var s media.Stream
	var own, publishers string
	var created, updated int64
	err := row.Scan(&s.Path.Publisher, &s.Path.Stream, &own, &s.SRTPassphrase, &created, &updated, &s.Revision,
		&publishers)
	if err != nil {
		return s, err
	}
	s.CreatedAt, s.UpdatedAt = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	if s.Overrides, err = decodeSettings(own); err != nil {
		return s, err
	}
	under, err := decodeSettings(publishers)
	s.Settings = inForce(under, s.Overrides)
	return s, err
}
