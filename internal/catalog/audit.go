package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const auditColumns = `id, at, token, token_label, publisher, operation, method, path, status, remote, fields`

func scanAudit(row scanner) (media.AuditEntry, error) {
	var e media.AuditEntry
	var fields string
	err := row.Scan(&e.ID, at{&e.Time}, &e.TokenID, &e.TokenLabel, &e.Publisher, &e.Operation, &e.Method, &e.Path,
		&e.Status, &e.Remote, &fields)
	e.Fields = json.RawMessage(fields)
	return e, err
}

// AddAudit adds an entry to the audit log and gives it its id, and the time if it has none.
func (db *DB) AddAudit(ctx context.Context, e media.AuditEntry) (media.AuditEntry, error) {
	e.ID = newID()
	if e.Time.IsZero() {
		e.Time = db.clock()
	}
	if e.Fields == nil {
		e.Fields = json.RawMessage("{}")
	}
	// Some of it is as the client wrote it.
	for _, text := range []*string{&e.TokenLabel, &e.Publisher, &e.Operation, &e.Method, &e.Path, &e.Remote} {
		*text = shortened(*text)
	}
	_, err := changed(ctx, db.writes, `
		INSERT INTO audit (`+auditColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		e.ID, e.Time.UnixMilli(), e.TokenID, e.TokenLabel, e.Publisher, e.Operation, e.Method, e.Path, e.Status, e.Remote,
		string(e.Fields))
	if err != nil {
		return e, db.failed("add to audit log", err)
	}
	return e, nil
}

// Audit lists entries, newest first, and gives the cursor of the next page, empty on the last.
func (db *DB) Audit(ctx context.Context, f media.AuditFilter) (items []media.AuditEntry, next string, err error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return nil, "", fmt.Errorf("list audit log: %w", err)
	}
	query, args, err := auditQuery(f, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list audit log: %w", err)
	}
	if items, err = all(ctx, db.reads, scanAudit, query, args...); err != nil {
		return nil, "", db.failed("list audit log", err)
	}
	if len(items) > limit {
		items = items[:limit]
		next = newCursor(cursorVersion, items[limit-1].Time.UnixMilli(), items[limit-1].ID)
	}
	return items, next, nil
}

func auditQuery(f media.AuditFilter, limit int) (string, []any, error) {
	where := conditions{terms: []string{`TRUE`}}
	for _, equal := range []struct{ column, value string }{
		{"publisher", f.Publisher}, {"token", f.TokenID}, {"operation", f.Operation},
	} {
		if equal.value != "" {
			where.add(equal.column + ` = ` + where.arg(equal.value))
		}
	}
	if !f.Since.IsZero() {
		where.add(`at >= ` + where.arg(f.Since.UnixMilli()))
	}
	if !f.Until.IsZero() {
		where.add(`at < ` + where.arg(f.Until.UnixMilli()))
	}
	if f.Cursor != "" {
		at, id, err := parseAuditCursor(f.Cursor)
		if err != nil {
			return "", nil, err
		}
		where.add(`(at, id) < (` + where.arg(at) + `, ` + where.arg(id) + `)`)
	}
	return `SELECT ` + auditColumns + ` FROM audit WHERE ` + strings.Join(where.terms, " AND ") +
		` ORDER BY at DESC, id DESC LIMIT ` + strconv.Itoa(limit), where.args, nil
}

// parseAuditCursor reads a cursor of when an entry was made, and its id.
func parseAuditCursor(cursor string) (at int64, id string, err error) {
	at, fields, err := openCursor(cursor, cursorVersion, 1)
	if err != nil {
		return 0, "", err
	}
	id = fields[0]
	if len(id) != len(firstTokenID) ||
		strings.ContainsFunc(id, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
		return 0, "", errCursor
	}
	return at, id, nil
}

// auditBatch is how many entries one statement prunes, so that none holds up others for long.
const auditBatch = 1000

const pruneAuditQuery = `DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`

// PruneAudit removes the entries from before a time and says how many. An error comes with what was done before it.
func (db *DB) PruneAudit(ctx context.Context, before time.Time) (pruned int64, err error) {
	for {
		n, err := changed(ctx, db.writes, pruneAuditQuery, before.UnixMilli(), auditBatch)
		pruned += n
		if err != nil {
			return pruned, db.failed("prune audit log", err)
		}
		if n < auditBatch {
			return pruned, nil
		}
	}
}
