package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// DeleteRecordings requests the deletion of the recordings that a filter selects, the oldest first, each as
// RequestDelete does: what grows, is held or is being archived is left, and said so. Before, if it is not zero, keeps
// those that ended before it, or that grow since before it. The filter, or before, must select something. It looks at
// no more than the filter's limit and gives the cursor to go on with. Dry changes nothing and says what would become of
// each. What is being deleted already is passed over. An error comes with what was done before it.
func (db *DB) DeleteRecordings(ctx context.Context, f media.RecordingFilter, before time.Time, dry bool) (
	done media.DeletedRecordings, err error,
) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return done, fmt.Errorf("delete recordings: %w", err)
	}
	query, args, err := deletionQuery(f, before, limit+1)
	if err != nil {
		return done, fmt.Errorf("delete recordings: %w", err)
	}
	rows, err := all(ctx, db.reads, scanRecording, query, args...)
	if err != nil {
		return done, db.failed("delete recordings", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		done.Next = cursorAfter(rows[limit-1])
	}
	for _, r := range rows {
		now, err := db.deleteOne(ctx, r, dry)
		switch {
		case errors.Is(err, media.ErrConflict):
			done.Left = append(done.Left, media.LeftRecording{Recording: now, Err: err})
		case err != nil:
			return done, err
		default:
			done.Deleted = append(done.Deleted, now)
		}
	}
	return done, nil
}

// PreviewDelete says what RequestDelete would: its errors, and the row as it is.
func (db *DB) PreviewDelete(ctx context.Context, id media.RecordingID, revisions ...int64) (media.Recording, error) {
	r, err := db.Recording(ctx, id)
	if err == nil && (r.Keep || r.Held || r.State != media.Ended && r.State != media.Archived) {
		err = deletable(r, revisions)
	}
	if err == nil && r.State != media.Deleting && r.State != media.Deleted {
		err = checkRevision(r.Revision, revisions)
	}
	if err != nil {
		return media.Recording{}, db.failed("delete recording "+shown(string(id)), err)
	}
	return r, nil
}

func (db *DB) deleteOne(ctx context.Context, r media.Recording, dry bool) (media.Recording, error) {
	ask := db.RequestDelete
	if dry {
		ask = db.PreviewDelete
	}
	now, err := ask(ctx, r.ID)
	if err != nil {
		return r, err
	}
	return now, nil
}

func deletionQuery(f media.RecordingFilter, before time.Time, limit int) (string, []any, error) {
	named, timed := f.Publisher != "" || f.Stream != "", !f.Since.IsZero() || !f.Until.IsZero() || !before.IsZero()
	if !named && !timed && len(f.States) == 0 {
		return "", nil, &media.FieldError{
			Field: "publisher", Want: "it would delete every recording: say publisher, stream, state, since, until or before",
		}
	}
	var where conditions
	cursor := f.Cursor
	f.Cursor = ""
	if err := where.filter(f); err != nil {
		return "", nil, err
	}
	where.add(`state NOT IN ('deleting', 'deleted')`)
	if !before.IsZero() {
		// The start as well, which the indexes have.
		where.add(`started_at < ` + where.arg(before.UnixMilli()))
		where.add(`(ended_at IS NULL OR ended_at < ` + where.arg(before.UnixMilli()) + `)`)
	}
	if cursor != "" {
		started, id, err := parseCursor(cursor)
		if err != nil {
			return "", nil, err
		}
		where.add(`(started_at, id) > (` + where.arg(started) + `, ` + where.arg(id) + `)`)
	}
	return `SELECT ` + recordingColumns + ` FROM recordings r WHERE ` + strings.Join(where.terms, " AND ") +
		` ORDER BY started_at, id LIMIT ` + strconv.Itoa(limit), where.args, nil
}
