package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testAudit(t *testing.T) {
	ctx := t.Context()
	db := s.fresh(t)
	var want []media.AuditEntry
	for n := range 6 {
		db.now = func() time.Time { return start.Add(time.Duration(n/2) * time.Minute) } // pairs of the same time
		e := media.AuditEntry{
			TokenID: fmt.Sprint("token-", n%2), TokenLabel: "label", Publisher: []string{"acme", "beta", ""}[n%3],
			Operation: "change-publisher", Method: "PATCH", Path: "/v1/publishers/acme", Status: 200 + n, Remote: "192.0.2.7",
			Fields: json.RawMessage(`{"listed":true}`),
		}
		e, err := db.AddAudit(ctx, e)
		noError(t, err)
		want = append([]media.AuditEntry{e}, want...)
	}
	list := func(f media.AuditFilter) (statuses string) {
		t.Helper()
		for pages := 0; ; pages++ {
			items, next, err := db.Audit(ctx, f)
			noError(t, err)
			for _, e := range items {
				statuses += fmt.Sprint(e.Status-200, " ")
			}
			if f.Cursor = next; next == "" || pages > 9 {
				return strings.TrimSpace(statuses)
			}
			statuses += "| "
		}
	}
	items, next, err := db.Audit(ctx, media.AuditFilter{})
	noError(t, err)
	same(t, "whole log", want, items)
	same(t, "cursor of the last page", "", next)
	for _, c := range []struct {
		want   string
		filter media.AuditFilter
	}{
		{"5 4 3 2 1 0", media.AuditFilter{Limit: 6}},
		{"5 4 3 | 2 1 0", media.AuditFilter{Limit: 3}},
		{"4 | 1", media.AuditFilter{Publisher: "beta", Limit: 1}},
		{"5 3 | 1", media.AuditFilter{TokenID: "token-1", Limit: 2}},
		{"", media.AuditFilter{Operation: "delete-publisher"}},
		{"3 2", media.AuditFilter{Since: start.Add(time.Minute), Until: start.Add(2 * time.Minute)}},
	} {
		same(t, fmt.Sprintf("%+v", c.filter), c.want, list(c.filter))
	}
	for _, cursor := range []string{"x", "MQ", strings.Repeat("A", 101), newCursor(cursorVersion, 1, "short"), newCursor(cursorVersion, 1, want[0].ID) + "A"} {
		_, _, err := db.Audit(ctx, media.AuditFilter{Cursor: cursor})
		wantField(t, err, "cursor")
	}
	pruned, err := db.PruneAudit(ctx, start.Add(time.Minute))
	noError(t, err)
	same(t, "pruned", int64(2), pruned)
	same(t, "left", "5 4 3 2", list(media.AuditFilter{}))

	// What clients write is stored, whatever it is, and bounded.
	e, err := db.AddAudit(ctx, media.AuditEntry{Path: "/v1/\x00\xff" + strings.Repeat("x", 9000)})
	noError(t, err)
	items, _, err = db.Audit(ctx, media.AuditFilter{Limit: 1})
	noError(t, err)
	same(t, "odd entry", []media.AuditEntry{e}, items)
	if len(e.Path) > 1100 || string(e.Fields) != "{}" {
		t.Errorf("a path of %d bytes and fields %s are stored", len(e.Path), e.Fields)
	}
}
