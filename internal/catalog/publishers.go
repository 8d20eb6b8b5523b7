package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const publisherColumns = `name, settings, created_at, updated_at, revision`

// CreatePublisher adds a publisher: its name and what it sets over the defaults. media.ErrExists when it is there.
func (db *DB) CreatePublisher(ctx context.Context, p media.Publisher) error {
	if err := media.CheckPublisherName(p.Name); err != nil {
		return fmt.Errorf("create publisher: %w", err)
	}
	if err := p.Settings.Check(); err != nil {
		return fmt.Errorf("create publisher %s: %w", p.Name, err)
	}
	if err := checkNoGroup(p.Settings); err != nil {
		return fmt.Errorf("create publisher %s: %w", p.Name, err)
	}
	if err := checkMirrors(p.Settings); err != nil {
		return fmt.Errorf("create publisher %s: %w", p.Name, err)
	}
	now := db.now().UnixMilli()
	err := db.write(ctx, func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `
			INSERT INTO publishers (name, settings, created_at, updated_at, revision) VALUES ($1, $2, $3, $3, $3)
			ON CONFLICT (name) DO NOTHING`,
			p.Name, encodeSettings(p.Settings), now)
		if err == nil && n == 0 {
			err = media.ErrExists
		}
		if err != nil {
			return err
		}
		// Those of one of this name that a version deleted which knows no webhooks.
		if _, err := changed(ctx, tx, `DELETE FROM webhooks WHERE publisher = $1`, p.Name); err != nil {
			return err
		}
		if err := savePlayback(ctx, tx, media.StreamPath{Publisher: p.Name}, p.Settings.Playback); err != nil {
			return err
		}
		if !bounding(p.Settings) {
			return nil
		}
		return saveBounds(ctx, tx, media.StreamPath{Publisher: p.Name}, p.Settings)
	})
	if err != nil {
		return db.failed("create publisher "+p.Name, err)
	}
	return nil
}

// Publisher gives a publisher, or media.ErrNotFound.
func (db *DB) Publisher(ctx context.Context, name string) (media.Publisher, error) {
	p, err := publisher(ctx, db.reads, name)
	if err != nil {
		return media.Publisher{}, db.failed("publisher "+shown(name), err)
	}
	return p, nil
}

// Publishers lists publishers by name, from the first after the one named. Limit is 1 to 1000; zero means 50.
func (db *DB) Publishers(ctx context.Context, after string, limit int) ([]media.Publisher, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, fmt.Errorf("list publishers: %w", err)
	}
	list, err := all(ctx, db.reads, scanPublisher,
		`SELECT `+publisherColumns+` FROM publishers WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
	if err != nil {
		return nil, db.failed("list publishers", err)
	}
	return list, nil
}

// UpdatePublisher puts the patch's settings over the publisher's, and sets anew when its finished recordings are due.
// Given revisions, it must be at one of them, else the error is media.ErrPrecondition; so it is of all that take them.
func (db *DB) UpdatePublisher(
	ctx context.Context, name string, patch media.SettingsPatch, revisions ...int64,
) (media.Publisher, error) {
	var updated media.Publisher
	err := checkPublisherPatch(patch)
	if err == nil {
		err = db.write(ctx, func(tx *sql.Tx) (err error) {
			updated, err = db.updatePublisher(ctx, tx, name, patch, revisions)
			return err
		})
	}
	if err != nil {
		return media.Publisher{}, db.failed("update publisher "+shown(name), err)
	}
	return updated, nil
}

func checkPublisherPatch(patch media.SettingsPatch) error {
	if err := patch.Check(); err != nil {
		return err
	}
	return checkNoGroup(patch)
}

// updatePublisher is UpdatePublisher in a transaction: all that follows from the change follows in it.
func (db *DB) updatePublisher(
	ctx context.Context, tx *sql.Tx, name string, patch media.SettingsPatch, revisions []int64,
) (media.Publisher, error) {
	p, err := lockPublisher(ctx, tx, name)
	if err == nil {
		err = checkRevision(p.Revision, revisions)
	}
	if err != nil {
		return p, err
	}
	p.Revision++
	p.Settings = p.Settings.Merge(patch)
	p.UpdatedAt = db.clock()
	if _, err := changed(ctx, tx, `UPDATE publishers SET settings = $1, updated_at = $2, revision = $4 WHERE name = $3`,
		encodeSettings(p.Settings), p.UpdatedAt.UnixMilli(), name, p.Revision); err != nil {
		return p, err
	}
	if err := saveBounds(ctx, tx, media.StreamPath{Publisher: name}, p.Settings); err != nil {
		return p, err
	}
	if err := applySettings(ctx, tx, p); err != nil {
		return p, err
	}
	if _, err = judgeIn(ctx, tx, p, p.UpdatedAt, judgeAll); err != nil {
		return p, err
	}
	return p, savePlayback(ctx, tx, media.StreamPath{Publisher: name}, p.Settings.Playback)
}

// DeletePublisher removes a publisher that has neither streams nor recordings; else media.ErrConflict says what it has.
func (db *DB) DeletePublisher(ctx context.Context, name string, revisions ...int64) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		p, err := lockPublisher(ctx, tx, name)
		if err == nil {
			err = checkRevision(p.Revision, revisions)
		}
		if err != nil {
			return err
		}
		var streams int64
		var first sql.Null[string]
		err = tx.QueryRowContext(ctx, `SELECT COUNT(*), MIN(name) FROM streams WHERE publisher = $1`, name).
			Scan(&streams, &first)
		if err != nil {
			return err
		}
		if streams > 0 {
			return fmt.Errorf("%w: it has %s, %q for one: delete them first",
				media.ErrConflict, count(streams, "stream"), first.V)
		}
		if err := noRecordings(ctx, tx, `publisher = $1`, name); err != nil {
			return err
		}
		if _, err := changed(ctx, tx, `DELETE FROM retention_bounds WHERE publisher = $1`, name); err != nil {
			return err
		}
		if _, err := changed(ctx, tx, `DELETE FROM webhooks WHERE publisher = $1`, name); err != nil {
			return err
		}
		if err := removePlayback(ctx, tx, name); err != nil {
			return err
		}
		_, err = changed(ctx, tx, `DELETE FROM publishers WHERE name = $1`, name)
		return err
	})
	if err != nil {
		return db.failed("delete publisher "+shown(name), err)
	}
	return nil
}

// noRecordings is a media.ErrConflict when recordings are there that nobody asked to delete.
func noRecordings(ctx context.Context, tx *sql.Tx, of string, args ...any) error {
	var n, growing int64
	var newest sql.Null[string]
	err := tx.QueryRowContext(ctx, `
		SELECT COUNT(*), COALESCE(SUM(CASE WHEN state IN ('live', 'interrupted') THEN 1 ELSE 0 END), 0), MAX(id)
		FROM recordings WHERE state <> 'deleted' AND state <> 'deleting' AND `+of, args...).Scan(&n, &growing, &newest)
	switch {
	case err != nil:
		return err
	case growing > 0:
		return fmt.Errorf("%w: it is live (%s of %s): stop publishing and delete its recordings first",
			media.ErrConflict, count(growing, "show"), count(n, "recording"))
	case n > 0:
		return fmt.Errorf("%w: it has %s, %s for one: delete them first",
			media.ErrConflict, count(n, "recording"), newest.V)
	}
	return nil
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func publisher(ctx context.Context, q querier, name string) (media.Publisher, error) {
	p, err := scanPublisher(q.QueryRowContext(ctx,
		`SELECT `+publisherColumns+` FROM publishers WHERE name = $1`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return p, media.ErrNotFound
	}
	return p, err
}

// lockPublisher is publisher that has every other transaction with that publisher wait for the end of this one: its
// settings, streams, keys and dues change one after the other. SELECT FOR UPDATE is not portable; changing nothing is.
func lockPublisher(ctx context.Context, tx *sql.Tx, name string) (media.Publisher, error) {
	p, err := scanPublisher(tx.QueryRowContext(ctx,
		`UPDATE publishers SET updated_at = updated_at WHERE name = $1 RETURNING `+publisherColumns, name))
	if errors.Is(err, sql.ErrNoRows) {
		return p, media.ErrNotFound
	}
	return p, err
}

func scanPublisher(row scanner) (media.Publisher, error) {
	var p media.Publisher
	var settings string
	var created, updated int64
	if err := row.Scan(&p.Name, &settings, &created, &updated, &p.Revision); err != nil {
		return p, err
	}
	p.CreatedAt, p.UpdatedAt = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	var err error
	p.Settings, err = decodeSettings(settings)
	return p, err
}

func encodeSettings(p media.SettingsPatch) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("BUG: settings do not marshal: " + err.Error())
	}
	return string(text)
}

func decodeSettings(text string) (media.SettingsPatch, error) {
	var p media.SettingsPatch
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return media.SettingsPatch{}, fmt.Errorf("%w: settings %.80q: %w", media.ErrCorrupt, text, err)
	}
	return p, nil
}

// shown quotes a name that may be anything, cut to a length that fits a log line.
func shown(name string) string { return fmt.Sprintf("%.80q", name) }
