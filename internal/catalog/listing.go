package catalog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Recordings lists recordings, newest first or in the filter's order, and gives the cursor of the next page, empty on
// the last. Deleted ones are listed only when the filter's states ask for them. A page neither skips nor repeats what
// was there when the listing began, whatever is added meanwhile.
func (db *DB) Recordings(ctx context.Context, f media.RecordingFilter) (
	items []media.Recording, next string, err error,
) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return nil, "", fmt.Errorf("list recordings: %w", err)
	}
	query, args, err := listingQuery(f, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list recordings: %w", err)
	}
	items, err = all(ctx, db.reads, scanRecording, query, args...)
	if err != nil {
		return nil, "", db.failed("list recordings", err)
	}
	if len(items) > limit {
		items = items[:limit]
		next = sortCursor(f.Sort, items[limit-1])
	}
	return items, next, nil
}

// conditions collects the terms of a WHERE and their arguments.
type conditions struct {
	terms []string
	args  []any
}

// arg adds an argument and gives its placeholder.
func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

func (c *conditions) add(term string) { c.terms = append(c.terms, term) }

func (c *conditions) filter(f media.RecordingFilter) error {
	if len(f.States) == 0 {
		c.add(`state <> 'deleted'`)
	} else if err := c.states(f.States); err != nil {
		return err
	}
	if f.Publisher != "" {
		c.add(`publisher = ` + c.arg(f.Publisher))
	}
	if f.Stream != "" {
		c.add(`stream = ` + c.arg(f.Stream))
	}
	if f.Cluster != "" {
		c.add(`cluster = ` + c.arg(f.Cluster))
	}
	if f.ClipOf != "" {
		c.add(`clip_of <> '' AND state <> 'deleted' AND clip_of = ` + c.arg(f.ClipOf))
	}
	if f.Shows {
		c.add(`clip_of = ''`)
	}
	if f.Clips {
		c.add(`clip_of <> ''`)
	}
	c.named(f)
	if f.Listed {
		c.add(`EXISTS (SELECT 1 FROM streams s WHERE s.publisher = r.publisher AND s.name = r.stream AND s.listed)`)
	}
	if !f.Since.IsZero() {
		c.add(`started_at >= ` + c.arg(f.Since.UnixMilli()))
	}
	if !f.Until.IsZero() {
		c.add(`started_at < ` + c.arg(f.Until.UnixMilli()))
	}
	return nil
}

// where gives the terms.
func (c *conditions) where() string { return strings.Join(c.terms, " AND ") }

// states spells the states out, in the order of a recording's life: the index of growing recordings has them so. That
// one is the smallest, and no other is offered beside it.
func (c *conditions) states(states []media.State) error {
	for _, state := range states {
		if !slices.Contains(media.States(), state) {
			return &media.FieldError{Field: "state", Want: fmt.Sprintf("%.40q is unknown: use one of %v", state, media.States())}
		}
	}
	var in []string
	for _, state := range media.States() {
		if slices.Contains(states, state) {
			in = append(in, "'"+string(state)+"'")
		}
	}
	c.add(`state IN (` + strings.Join(in, ", ") + `)`)
	if slices.ContainsFunc(states, func(s media.State) bool { return !s.Growing() }) &&
		!slices.Contains(states, media.Deleted) {
		c.add(`state <> 'deleted'`) // word for word as the other indexes have it
	}
	return nil
}

// cursorAfter gives the cursor that continues after a recording.
func cursorAfter(r media.Recording) string {
	return newCursor(cursorVersion, r.StartedAt.UnixMilli(), string(r.ID))
}

func parseCursor(cursor string) (started int64, id media.RecordingID, err error) {
	started, _, id, err = openRecordingCursor(cursor, cursorVersion, 1)
	return started, id, err
}
