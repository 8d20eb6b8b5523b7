package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ChangeRecording sets what people may of a recording: its name, its labels, and whether it is held against retention
// and deletion. What had expired while it was held is due at once when it is let go. media.ErrGone when it is deleted
// or being deleted, a *media.FieldError for what is out of form.
func (db *DB) ChangeRecording(
	ctx context.Context, id media.RecordingID, change media.RecordingChange, revisions ...int64,
) (media.Recording, error) {
	if err := change.Check(); err != nil {
		return media.Recording{}, fmt.Errorf("change recording %s: %w", shown(string(id)), err)
	}
	var updated media.Recording
	err := db.write(ctx, func(tx *sql.Tx) (err error) {
		query, args := changeQuery(id, change, revisions, db.now().UnixMilli())
		updated, err = scanRecording(tx.QueryRowContext(ctx, query, args...))
		if errors.Is(err, sql.ErrNoRows) {
			return unchanged(ctx, tx, id, revisions)
		}
		if err != nil || change.Labels == nil {
			return err
		}
		return saveLabels(ctx, tx, id, change.Labels)
	})
	if err != nil {
		return media.Recording{}, db.failed("change recording "+shown(string(id)), err)
	}
	if change.Keep != nil {
		db.judgeLater(ctx, updated.Path.Publisher)
	}
	return updated, nil
}

// changeQuery makes the statement whose lock of the row is the transaction's first.
func changeQuery(id media.RecordingID, change media.RecordingChange, revisions []int64, now int64) (string, []any) {
	var c conditions
	set := []string{`revision = revision + 1`, `updated_at = ` + c.arg(now)}
	if change.Keep != nil {
		set = append(set, `keep = `+c.arg(*change.Keep))
	}
	if change.Name != nil {
		set = append(set, `name = `+c.arg(*change.Name), `name_folded = `+c.arg(folded(*change.Name)))
	}
	if change.Labels != nil {
		set = append(set, `labels = `+c.arg(encodeLabels(change.Labels)))
	}
	c.add(`id = ` + c.arg(id))
	c.revisions(revisions)
	return `UPDATE recordings SET ` + strings.Join(set, ", ") + ` WHERE ` + c.where() +
		` AND state <> 'deleting' AND state <> 'deleted' RETURNING ` + recordingColumns, c.args
}

// unchanged says why a recording could not be changed.
func unchanged(ctx context.Context, q querier, id media.RecordingID, revisions []int64) error {
	r, err := recording(ctx, q, id)
	if err != nil {
		return err
	}
	if r.State != media.Deleting && r.State != media.Deleted {
		if err := checkRevision(r.Revision, revisions); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: its deletion has begun: it can be neither held nor brought back", media.ErrGone)
}

// saveLabels has a recording be found by these labels alone. The transaction has its row.
func saveLabels(ctx context.Context, tx *sql.Tx, id media.RecordingID, labels media.Labels) error {
	if _, err := changed(ctx, tx, `DELETE FROM recording_labels WHERE recording = $1`, id); err != nil {
		return err
	}
	for name, value := range labels {
		if _, err := changed(ctx, tx, `INSERT INTO recording_labels (recording, name, value) VALUES ($1, $2, $3)`,
			id, name, value); err != nil {
			return err
		}
	}
	return nil
}

// folded is a name as it is searched: SQL's small letters differ from database to database.
func folded(name string) string { return strings.ToLower(name) }

// named adds what the filter says of labels, name and length.
func (c *conditions) named(f media.RecordingFilter) {
	for _, l := range f.Labels {
		value := ""
		if !l.Any {
			value = ` AND value = ` + c.arg(l.Value)
		}
		c.add(`id IN (SELECT recording FROM recording_labels WHERE name = ` + c.arg(l.Name) + value + `)`)
	}
	if f.Name != "" {
		pattern := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(folded(f.Name))
		c.add(`name_folded <> '' AND state <> 'deleted' AND name_folded LIKE ` + c.arg("%"+pattern+"%") + ` ESCAPE '\'`)
	}
	if f.MinDuration > 0 {
		c.add(`duration_ms >= ` + c.arg(f.MinDuration.Milliseconds()))
	}
	if f.MaxDuration > 0 {
		c.add(`duration_ms <= ` + c.arg(f.MaxDuration.Milliseconds()))
	}
}
