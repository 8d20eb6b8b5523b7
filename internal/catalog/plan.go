package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The ways that a recording goes, each with what it is due by. A deletion that comes first makes the others needless,
// but not while it is held up. What is being deleted is due for deletion whatever holds it.
var planned = []struct {
	action media.Action
	due    string
	reason string
	where  string
}{
	{
		media.ActArchive, `archive_due`, `CASE WHEN continuous THEN 'archive_mode' ELSE 'archive_delay' END`,
		`state IN ('ended', 'archiving') AND local AND archive_due IS NOT NULL
			AND (state = 'archiving' OR keep OR held OR expire_due IS NULL OR expire_due > archive_due)`,
	},
	{
		media.ActDropLocal, `drop_due`, `drop_reason`,
		`state = 'archived' AND local AND drop_due IS NOT NULL
			AND (keep OR held OR expire_due IS NULL OR expire_due > drop_due)`,
	},
	{
		media.ActDelete, `expire_due`, `expire_reason`,
		`state <> 'deleted' AND expire_due IS NOT NULL AND state IN ('ended', 'archiving', 'archived', 'deleting')`,
	},
}

// Plan lists what is going to be done to recordings by the settings in force, the first due first, and gives the cursor
// of the next page, empty on the last. What would be due but for a hold is listed as held.
func (db *DB) Plan(ctx context.Context, f media.PlanFilter) (items []media.Planned, next string, err error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return nil, "", fmt.Errorf("plan: %w", err)
	}
	query, args, err := planQuery(f, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("plan: %w", err)
	}
	if items, err = all(ctx, db.reads, scanPlanned, query, args...); err != nil {
		return nil, "", db.failed("plan", err)
	}
	if len(items) > limit {
		items = items[:limit]
		next = planCursor(items[limit-1])
	}
	return items, next, nil
}

// planQuery asks each way for as much as the page may need of it, in order, so that none is read further.
func planQuery(f media.PlanFilter, limit int) (string, []any, error) {
	var parts []string
	var c conditions
	for _, way := range planned {
		c.terms = nil
		c.add(way.where)
		if f.Publisher != "" {
			c.add(`publisher = ` + c.arg(f.Publisher))
			c.add(`state <> 'deleted'`) // word for word as the publishers' index has it
		}
		if f.Stream != "" {
			c.add(`stream = ` + c.arg(f.Stream))
		}
		if !f.Until.IsZero() {
			c.add(way.due + ` <= ` + c.arg(f.Until.UnixMilli()))
		}
		if f.Cursor != "" {
			due, id, action, err := parsePlanCursor(f.Cursor)
			if err != nil {
				return "", nil, err
			}
			// Two terms, so that the index of the first serves.
			c.add(way.due + ` >= ` + c.arg(due))
			c.add(`(` + way.due + `, id, '` + string(way.action) + `') > (` + c.arg(due) + `, ` + c.arg(id) + `, ` +
				c.arg(string(action)) + `)`)
		}
		parts = append(parts, `SELECT * FROM (SELECT `+recordingColumns+`, '`+string(way.action)+`' AS action, `+
			way.due+` AS due, `+way.reason+` AS reason FROM recordings WHERE `+strings.Join(c.terms, " AND ")+
			` ORDER BY `+way.due+`, id LIMIT `+strconv.Itoa(limit)+`) AS way_`+string(way.action))
	}
	return strings.Join(parts, ` UNION ALL `) + ` ORDER BY due, id, action LIMIT ` + strconv.Itoa(limit), c.args, nil
}

func scanPlanned(row scanner) (media.Planned, error) {
	var p media.Planned
	err := row.Scan(append(recordingFields(&p.Recording), &p.Action, at{&p.Due}, &p.Reason)...)
	p.Held = p.Action == media.ActDelete && p.Recording.State != media.Deleting && (p.Recording.Keep || p.Recording.Held)
	return p, err
}

func planCursor(p media.Planned) string {
	return newCursor(cursorVersion, p.Due.UnixMilli(), string(p.Action), string(p.Recording.ID))
}

func parsePlanCursor(cursor string) (due int64, id media.RecordingID, action media.Action, err error) {
	due, fields, id, err := openRecordingCursor(cursor, cursorVersion, 2)
	if err != nil {
		return 0, "", "", err
	}
	action = media.Action(fields[0])
	if action != media.ActArchive && action != media.ActDropLocal && action != media.ActDelete {
		return 0, "", "", errCursor
	}
	return due, id, action, nil
}

// errPreviewed ends a transaction that was only to see what would come of it.
var errPreviewed = errors.New("previewed")

// PreviewPublisher gives what UpdatePublisher would, and what it would make due at once. It changes nothing: the change
// is made and taken back. media's errors are those of the change.
func (db *DB) PreviewPublisher(
	ctx context.Context, name string, patch media.SettingsPatch, revisions ...int64,
) (p media.Publisher, v media.Preview, err error) {
	if err := checkPublisherPatch(patch); err != nil {
		return p, v, fmt.Errorf("preview of publisher %s: %w", shown(name), err)
	}
	v, err = db.preview(ctx, media.StreamPath{Publisher: name}, func(tx *sql.Tx) error {
		var err error
		p, err = db.updatePublisher(ctx, tx, name, patch, revisions)
		return err
	})
	if err != nil {
		return media.Publisher{}, media.Preview{}, db.failed("preview of publisher "+shown(name), err)
	}
	return p, v, nil
}

// PreviewStream is PreviewPublisher for ChangeStream.
func (db *DB) PreviewStream(
	ctx context.Context, path media.StreamPath, patch media.SettingsPatch, revisions ...int64,
) (s media.Stream, v media.Preview, err error) {
	if err := patch.Check(); err != nil {
		return s, v, fmt.Errorf("preview of stream %s: %w", shown(path.String()), err)
	}
	v, err = db.preview(ctx, path, func(tx *sql.Tx) error {
		var err error
		s, err = db.updateStream(ctx, tx, path, media.StreamChange{Settings: patch}, revisions)
		return err
	})
	if err != nil {
		return media.Stream{}, media.Preview{}, db.failed("preview of stream "+shown(path.String()), err)
	}
	return s, v, nil
}

// previewList bounds each list of a preview.
const previewList = 1000

// preview has a change made under the publisher's lock, compares what is due before and after, and rolls it back. Of a
// stream's change the whole publisher is looked at, whose bounds count all streams together.
func (db *DB) preview(ctx context.Context, path media.StreamPath, change func(tx *sql.Tx) error) (
	media.Preview, error,
) {
	var v media.Preview
	err := db.write(ctx, func(tx *sql.Tx) error {
		p, err := lockPublisher(ctx, tx, path.Publisher)
		if err != nil {
			return err
		}
		now := db.clock()
		// What the engine would do anyway is not the change's.
		if _, err := judgeIn(ctx, tx, p, now, judgeAll); err != nil {
			return err
		}
		before, err := dueNow(ctx, tx, p.Name, now)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := dueNow(ctx, tx, p.Name, db.clock()) // the change's own time has come meanwhile
		if err != nil {
			return err
		}
		if v, err = compared(ctx, tx, before, after); err != nil {
			return err
		}
		return errPreviewed
	})
	if !errors.Is(err, errPreviewed) {
		return media.Preview{}, err
	}
	return v, nil
}

// dueRow is what is compared of a row that is due.
type dueRow struct {
	id     media.RecordingID
	action media.Action
	due    time.Time
	reason string
	bytes  int64
}

type dueKey struct {
	id     media.RecordingID
	action media.Action
}

func (r *dueRow) key() dueKey { return dueKey{r.id, r.action} }

// dueNow lists what is due for deletion, and for dropping alone, the oldest first.
func dueNow(ctx context.Context, q querier, publisher string, now time.Time) ([]dueRow, error) {
	const query = `
		SELECT id, 'delete', expire_due, expire_reason, bytes, ended_at FROM recordings
		WHERE publisher = $1 AND state IN ('ended', 'archiving', 'archived') AND NOT keep AND NOT held AND expire_due <= $2
		UNION ALL
		SELECT id, 'drop_local', drop_due, drop_reason, bytes, ended_at FROM recordings
		WHERE publisher = $1 AND state = 'archived' AND local AND drop_due <= $2
			AND (keep OR held OR expire_due IS NULL OR expire_due > $2)
		ORDER BY 6, 1`
	return all(ctx, q, func(row scanner) (r dueRow, err error) {
		var ended time.Time
		err = row.Scan(&r.id, &r.action, at{&r.due}, &r.reason, &r.bytes, at{&ended})
		return r, err
	}, query, publisher, now.UnixMilli())
}

func compared(ctx context.Context, q querier, before, after []dueRow) (v media.Preview, err error) {
	was := make(map[dueKey]bool, len(before))
	deletes := 0
	for i := range before {
		was[before[i].key()] = true
		if before[i].action == media.ActDelete {
			deletes++
		}
	}
	for i := range after {
		r := &after[i]
		if was[r.key()] {
			if r.action == media.ActDelete {
				deletes--
			}
			continue
		}
		list, n, bytes := &v.Delete, &v.Deletes, &v.DeleteBytes
		if r.action == media.ActDropLocal {
			list, n, bytes = &v.Drop, &v.Drops, &v.DropBytes
		}
		*n++
		*bytes += r.bytes
		if len(*list) == previewList {
			continue
		}
		row, err := recording(ctx, q, r.id)
		if err != nil {
			return v, err
		}
		*list = append(*list, media.Planned{Recording: row, Action: r.action, Due: r.due, Reason: r.reason})
	}
	v.Spared = deletes
	return v, nil
}
