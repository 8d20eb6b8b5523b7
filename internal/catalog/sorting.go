package catalog

import (
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// listingQuery lists in the filter's order. The id breaks ties, in the direction of the order, so that paging is exact;
// what grows is in no order but that of its start, since all else of it changes.
func listingQuery(f media.RecordingFilter, limit int) (string, []any, error) {
	column, down, err := orderOf(f.Sort)
	if err != nil {
		return "", nil, err
	}
	var c conditions
	if err := c.filter(f); err != nil {
		return "", nil, err
	}
	if f.Sort.Ended() {
		if len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s media.State) bool { return !s.Growing() }) {
			return "", nil, &media.FieldError{Field: "sort", Want: "what is live can be sorted by started_at only"}
		}
		c.add(`ended_at IS NOT NULL`)
		if !slices.Contains(f.States, media.Deleted) && len(f.States) > 0 {
			c.add(`state <> 'deleted'`)
		}
	}
	direction, beyond := ``, ` > `
	if down {
		direction, beyond = ` DESC`, ` < `
	}
	if f.Cursor != "" {
		value, id, err := parseSortCursor(f.Sort, f.Cursor)
		if err != nil {
			return "", nil, err
		}
		c.add(`(` + column + `, id)` + beyond + `(` + c.arg(value) + `, ` + c.arg(id) + `)`)
	}
	return `SELECT ` + recordingColumns + ` FROM recordings r WHERE ` + c.where() + ` ORDER BY ` + column + direction +
		`, id` + direction + ` LIMIT ` + strconv.Itoa(limit), c.args, nil
}

// orderOf gives the column of an order, and whether it goes down.
func orderOf(sort media.Sort) (column string, down bool, err error) {
	if sort == "" {
		sort = media.SortNewest
	}
	if !slices.Contains(media.Sorts(), sort) {
		return "", false, &media.FieldError{Field: "sort", Want: "use one of " + joined(media.Sorts())}
	}
	name, down := strings.CutPrefix(string(sort), "-")
	if name == "duration" {
		name = "duration_ms"
	}
	return name, down, nil
}

func joined(sorts []media.Sort) string {
	var names []string
	for _, s := range sorts {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// sortVersion marks the cursors of every order but the first, which name their order.
const sortVersion = "2"

// sortCursor gives the cursor that continues an order after a recording.
func sortCursor(sort media.Sort, r media.Recording) string {
	var value int64
	switch sort {
	case "", media.SortNewest:
		return cursorAfter(r)
	case media.SortOldest:
		value = r.StartedAt.UnixMilli()
	case media.SortEnd, media.SortEndDown:
		value = r.EndedAt.UnixMilli()
	case media.SortShort, media.SortLong:
		value = r.Duration.Milliseconds()
	case media.SortSmall, media.SortBig:
		value = r.Bytes
	}
	return newCursor(sortVersion, value, string(sort), string(r.ID))
}

// parseSortCursor reads a cursor of that order; any other is refused.
func parseSortCursor(sort media.Sort, cursor string) (value int64, id media.RecordingID, err error) {
	if sort == "" || sort == media.SortNewest {
		return parseCursor(cursor)
	}
	value, fields, id, err := openRecordingCursor(cursor, sortVersion, 2)
	if err == nil && fields[0] != string(sort) {
		err = errCursor
	}
	return value, id, err
}
