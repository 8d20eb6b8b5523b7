package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// viewingFigures is the column of that name.
type viewingFigures struct {
	Samples []int64 `json:"samples,omitempty"`
	media.Viewing
}

func (f viewingFigures) text() string {
	text, err := json.Marshal(f)
	if err != nil {
		panic("BUG: figures of viewing: " + err.Error())
	}
	return string(text)
}

// AddViewing keeps the rows of a run of an edge: all or none. Those that it has it replaces.
func (db *DB) AddViewing(ctx context.Context, edge, run string, rows []media.ViewingRow) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		for i := range rows {
			r := &rows[i]
			path, err := media.ParseStreamPath(r.Stream)
			if err != nil {
				return err
			}
			if _, err := changed(ctx, tx, `
				INSERT INTO viewing_minutes (publisher, stream, recording, minute, edge, run, figures)
				VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (publisher, stream, minute, recording, edge, run) DO UPDATE SET figures = excluded.figures`,
				path.Publisher, path.Stream, string(r.Recording), r.Minute, edge, run,
				viewingFigures{r.Samples, r.Viewing}.text()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return db.failed("add viewing at edge "+shown(edge), err)
	}
	return nil
}

// Viewing gives the rows that a filter selects, each once, in no order. An error of visit ends it and is given.
func (db *DB) Viewing(ctx context.Context, f media.ViewingFilter, visit func(media.EdgeViewing) error) error {
	var failed error
	for _, of := range []struct {
		table, at, edge, run string
		span                 time.Duration
	}{
		{"viewing_hours", "hour", "''", "''", time.Hour}, {"viewing_minutes", "minute", "edge", "run", time.Minute},
	} {
		where, args := viewingWhere(f, of.at)
		query := `SELECT publisher, stream, recording, ` + of.at + `, ` + of.edge + `, ` + of.run + `, figures FROM ` +
			of.table + where
		failed = db.eachViewing(ctx, query, args, of.span, visit)
		if failed != nil {
			return db.failed("viewing", failed)
		}
	}
	return nil
}

func viewingWhere(f media.ViewingFilter, at string) (string, []any) {
	var where conditions
	where.add(at + ` >= ` + where.arg(f.Since.Unix()))
	if !f.Until.IsZero() {
		where.add(at + ` < ` + where.arg(f.Until.Unix()))
	}
	for _, c := range []struct{ column, value string }{
		{"publisher", f.Stream.Publisher}, {"stream", f.Stream.Stream}, {"recording", string(f.Recording)},
	} {
		if c.value != "" {
			where.add(c.column + ` = ` + where.arg(c.value))
		}
	}
	return ` WHERE ` + strings.Join(where.terms, " AND "), where.args
}

func (db *DB) eachViewing(
	ctx context.Context, query string, args []any, span time.Duration, visit func(media.EdgeViewing) error,
) (err error) {
	rows, err := db.reads.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scanViewing(rows)
		if err != nil {
			return err
		}
		v.Span = span
		if err := visit(v); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanViewing(row scanner) (media.EdgeViewing, error) {
	var v media.EdgeViewing
	var path media.StreamPath
	var text string
	err := row.Scan(&path.Publisher, &path.Stream, &v.Recording, &v.Minute, &v.Edge, &v.Run, &text)
	if err != nil {
		return v, err
	}
	var f viewingFigures
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return v, fmt.Errorf("%w: figures of viewing: %w", media.ErrCorrupt, err)
	}
	v.Stream, v.Samples, v.Viewing = path.String(), f.Samples, f.Viewing
	return v, nil
}

// FoldViewing puts the rows of the oldest minute, if that is before a time, into their hours, and gives their number.
// Zero: there is none.
func (db *DB) FoldViewing(ctx context.Context, before time.Time) (n int, err error) {
	err = db.write(ctx, func(tx *sql.Tx) error {
		var oldest sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT MIN(minute) FROM viewing_minutes`).Scan(&oldest)
		if err != nil || !oldest.Valid || oldest.Int64 >= before.Unix() {
			return err
		}
		// What is deleted here nobody else folds.
		rows, err := all(ctx, tx, scanViewing, `DELETE FROM viewing_minutes WHERE minute = $1
			RETURNING publisher, stream, recording, minute, edge, run, figures`, oldest.Int64)
		if err != nil {
			return err
		}
		n = len(rows)
		for _, sum := range sumViewing(rows) {
			if err := foldInto(ctx, tx, sum); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, db.failed("fold viewing", err)
	}
	return n, nil
}

// sumViewing adds up one minute's rows of all edges.
func sumViewing(rows []media.EdgeViewing) []media.ViewingRow {
	sums := make(map[media.ViewingKey]*media.ViewingRow)
	for i := range rows {
		r := &rows[i]
		sum := sums[r.ViewingKey]
		if sum == nil {
			sum = &media.ViewingRow{ViewingKey: r.ViewingKey, Samples: make([]int64, media.ViewingSamples)}
			sums[r.ViewingKey] = sum
		}
		sum.Add(r.Viewing)
		for i, n := range r.Samples[:min(len(r.Samples), media.ViewingSamples)] {
			sum.Samples[i] += n
		}
	}
	list := make([]media.ViewingRow, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	return list
}

// foldInto adds a minute to its hour. Who folds at the same time waits for the row, or is the second to insert it.
func foldInto(ctx context.Context, tx *sql.Tx, r media.ViewingRow) error {
	path, err := media.ParseStreamPath(r.Stream)
	if err != nil {
		return err
	}
	hour := r.Minute / 3600 * 3600
	key := []any{path.Publisher, path.Stream, string(r.Recording), hour}
	if _, err := changed(ctx, tx, `INSERT INTO viewing_hours (publisher, stream, recording, hour, figures)
		VALUES ($1, $2, $3, $4, '{}') ON CONFLICT DO NOTHING`, key...); err != nil {
		return err
	}
	// An update that changes nothing locks the row where there are other writers.
	var text string
	err = tx.QueryRowContext(ctx, `UPDATE viewing_hours SET hour = hour
		WHERE publisher = $1 AND stream = $2 AND recording = $3 AND hour = $4 RETURNING figures`, key...).Scan(&text)
	if err != nil {
		return err
	}
	var had viewingFigures
	if err := json.Unmarshal([]byte(text), &had); err != nil {
		return fmt.Errorf("%w: figures of viewing: %w", media.ErrCorrupt, err)
	}
	had.Add(r.Viewing)
	had.Samples = []int64{slices.Max(append(had.Samples, r.Samples...))}
	_, err = changed(ctx, tx, `UPDATE viewing_hours SET figures = $5
		WHERE publisher = $1 AND stream = $2 AND recording = $3 AND hour = $4`, append(key, had.text())...)
	return err
}

// PruneViewing removes the hours before a time, and gives the number of their rows.
func (db *DB) PruneViewing(ctx context.Context, before time.Time) (int, error) {
	n, err := changed(ctx, db.writes, `DELETE FROM viewing_hours WHERE hour < $1`, before.Unix())
	if err != nil {
		return 0, db.failed("prune viewing", err)
	}
	return int(n), nil
}

// removeViewing removes what viewers saw of a stream, before the stream: another of its name is another stream.
func removeViewing(ctx context.Context, tx *sql.Tx, path media.StreamPath) error {
	for _, table := range []string{"viewing_minutes", "viewing_hours"} {
		_, err := changed(ctx, tx, `DELETE FROM `+table+` WHERE publisher = $1 AND stream = $2`, path.Publisher, path.Stream)
		if err != nil {
			return err
		}
	}
	return nil
}
