package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// dueKind is one action that claims give.
type dueKind struct {
	action media.Action
	// column has the time that it is due at, and rows are the rows that may have one: the conditions of the indexes.
	column, rows string
	// more must hold for what is due, beside the time and that nobody has it.
	more string
	// state and begun are what a claim makes of the columns state and archive_begun.
	state, begun string
}

// dueKinds are in order: of a row that is due for several, the first is done. $1 is now, $4 the cluster.
func dueKinds() []dueKind {
	return []dueKind{
		{
			action: media.ActDelete, column: "expire_due",
			rows:  `cluster = $4 AND state IN ('ended', 'archived', 'deleting') AND NOT keep AND NOT held`,
			state: `'deleting'`, begun: `archive_begun`,
		},
		{
			action: media.ActDropLocal, column: "drop_due",
			rows: `cluster = $4 AND state = 'archived' AND local`, state: `state`, begun: `archive_begun`,
		},
		{
			action: media.ActArchive, column: "archive_due",
			rows: `cluster = $4 AND state IN ('ended', 'archiving') AND local`,
			// What has expired is deleted, not archived first. An archiving row is due again once its claim ran out.
			more:  ` AND (state = 'archiving' OR keep OR held OR expire_due IS NULL OR expire_due > $1)`,
			state: `'archiving'`, begun: `TRUE`,
		},
		{ // what was uploaded while it grew, once the cluster's storage of it is gone
			action: media.ActArchive, column: "archive_due",
			rows:  `cluster = $4 AND state IN ('ended', 'archiving') AND NOT local AND uploaded`,
			more:  ` AND (state = 'archiving' OR keep OR held OR expire_due IS NULL OR expire_due > $1)`,
			state: `'archiving'`, begun: `TRUE`,
		},
	}
}

// free says that nobody has a row, and that it is not to be left alone.
const free = ` AND (claim_until IS NULL OR claim_until <= $1) AND (retry_at IS NULL OR retry_at <= $1)`

// chosenKinds are those that are asked for: all, if none is named.
func chosenKinds(actions []media.Action) ([]dueKind, error) {
	kinds := slices.DeleteFunc(dueKinds(), func(k dueKind) bool {
		return len(actions) > 0 && !slices.Contains(actions, k.action)
	})
	if len(kinds) == 0 || (len(actions) > 0 && len(kinds) < len(actions)) {
		return nil, fmt.Errorf("%w: actions %.80q", media.ErrInvalid, actions)
	}
	return kinds, nil
}

// due is the condition of what may be claimed.
func (k dueKind) due() string {
	return `(` + k.rows + ` AND ` + k.column + ` <= $1` + free + k.more + `)`
}

// claimDue takes the row that has been due for longest, of all publishers or of the one that is $5. The outer condition
// repeats the inner, because PostgreSQL looks again at a row that another claim has just changed, and at the outer
// condition only. Where the database can, lock passes over the rows that other claims are just taking, so that
// archivers do not queue for one row.
func claimDue(kinds []dueKind, lock string, ofPublisher bool) string {
	var action, state, begun, rows, either []string
	of := ""
	if ofPublisher {
		of = ` AND publisher = $5`
	}
	for i, k := range kinds {
		action = append(action, fmt.Sprintf(`WHEN %s THEN '%s'`, k.due(), k.action))
		state = append(state, fmt.Sprintf(`WHEN %s THEN %s`, k.due(), k.state))
		begun = append(begun, fmt.Sprintf(`WHEN %s THEN %s`, k.due(), k.begun))
		rows = append(rows, fmt.Sprintf(`SELECT * FROM (SELECT id, %s AS due FROM recordings
				WHERE %s%s ORDER BY %[1]s LIMIT 1%[4]s) AS k%[5]d`, k.column, k.due(), of, lock, i))
		either = append(either, k.due())
	}
	return `
	UPDATE recordings SET
		claim_action = CASE ` + strings.Join(action, " ") + ` END,
		state = CASE ` + strings.Join(state, " ") + ` END,
		archive_begun = CASE ` + strings.Join(begun, " ") + ` END,
		attempts = attempts + CASE WHEN claim_until IS NULL THEN 0 ELSE 1 END,
		last_error = CASE WHEN claim_until IS NULL THEN last_error
			ELSE 'archiver ' || claim_owner || ' stopped in the middle of ' || claim_action END,
		claim_owner = $2,
		claim_epoch = claim_epoch + 1,
		claim_until = $3,
		updated_at = $1
	WHERE id = (
		SELECT id FROM (` + strings.Join(rows, ` UNION ALL `) + `) AS due_rows ORDER BY due, id LIMIT 1
	) AND (` + strings.Join(either, " OR ") + `)
	RETURNING ` + recordingColumns + `, claim_action, claim_epoch, archive_begun`
}

// duePublishers goes from one publisher to the next by an index, and looks at one row of each, so that its price is
// that of the publishers and not of their recordings. $1 is now, $4 the cluster; $2 and $3 are used by claims only.
func duePublishers(kinds []dueKind) string {
	var with, from []string
	for i, k := range kinds {
		rows := fmt.Sprintf(`%s AND %s IS NOT NULL`, k.rows, k.column)
		with = append(with, fmt.Sprintf(`p%d (publisher) AS (
			SELECT MIN(publisher) FROM recordings WHERE %s
			UNION ALL
			SELECT (SELECT MIN(r.publisher) FROM recordings r WHERE %[2]s AND r.publisher > p%[1]d.publisher)
			FROM p%[1]d WHERE p%[1]d.publisher IS NOT NULL)`, i, rows))
		from = append(from, fmt.Sprintf(`SELECT publisher, (
			SELECT %s FROM recordings r WHERE %s AND r.publisher = p%[3]d.publisher ORDER BY %[1]s LIMIT 1
		) AS due FROM p%[3]d WHERE publisher IS NOT NULL`, k.column, k.due(), i))
	}
	query := `WITH RECURSIVE ` + strings.Join(with, ", ") + `
		SELECT publisher, MIN(due) FROM (` + strings.Join(from, ` UNION ALL `) + `) AS d
		WHERE due IS NOT NULL GROUP BY publisher ORDER BY 2, 1`
	return strings.ReplaceAll(query, "$4", "$2")
}

// DuePublishers gives the publishers that have something due, with what has been due for longest at the head. Of the
// argument, Publisher is not looked at.
func (db *DB) DuePublishers(ctx context.Context, due media.Due, now time.Time) ([]media.DuePublisher, error) {
	kinds, err := chosenKinds(due.Actions)
	if err != nil {
		return nil, fmt.Errorf("publishers with something due: %w", err)
	}
	list, err := all(ctx, db.reads, func(row scanner) (media.DuePublisher, error) {
		var p media.DuePublisher
		err := row.Scan(&p.Publisher, at{&p.Due})
		return p, err
	}, duePublishers(kinds), now.UnixMilli(), due.Cluster)
	if err != nil {
		return nil, db.failed("publishers with something due", err)
	}
	return list, nil
}

// overdue is the condition of what was due at $1, whoever has it and whether it is tried again. $2 is the cluster.
func (k dueKind) overdue() string {
	query := fmt.Sprintf(`SELECT %s FROM recordings WHERE %s AND %[1]s <= $1%[3]s ORDER BY %[1]s LIMIT 1`,
		k.column, k.rows, k.more)
	return strings.ReplaceAll(query, "$4", "$2")
}

// OldestDue gives for each action when the row that is due for longest was due: who is at it, and whether it waits for
// its next try, does not count. Actions without any are not in it.
func (db *DB) OldestDue(ctx context.Context, cluster string, now time.Time) (map[media.Action]time.Time, error) {
	oldest := make(map[media.Action]time.Time)
	for _, k := range dueKinds() {
		var due time.Time
		err := db.reads.QueryRowContext(ctx, k.overdue(), now.UnixMilli(), cluster).Scan(at{&due})
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, db.failed("oldest recording that is due", err)
		}
		if was, ok := oldest[k.action]; !ok || due.Before(was) {
			oldest[k.action] = due
		}
	}
	return oldest, nil
}
