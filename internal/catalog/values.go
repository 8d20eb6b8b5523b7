package catalog

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oxbow-video/oxbow/internal/media"
)

// at scans a time as millis stores it.
type at struct{ t *time.Time }

// Scan implements sql.Scanner.
func (a at) Scan(src any) error {
	var ms sql.Null[int64]
	err := ms.Scan(src)
	*a.t = time.Time{}
	if ms.Valid {
		*a.t = time.UnixMilli(ms.V).UTC()
	}
	return err
}

// inMillis scans a duration in milliseconds.
type inMillis struct{ d *time.Duration }

// Scan implements sql.Scanner.
func (m inMillis) Scan(src any) error {
	var ms sql.Null[int64]
	err := ms.Scan(src)
	*m.d = time.Duration(ms.V) * time.Millisecond
	return err
}

// millis gives a time as the catalog stores it; the zero time is null.
func millis(t time.Time) sql.Null[int64] {
	return sql.Null[int64]{V: t.UnixMilli(), Valid: !t.IsZero()}
}

// inJSON scans labels as encodeLabels writes them; none are nil.
type inJSON struct{ labels *media.Labels }

// Scan implements sql.Scanner.
func (j inJSON) Scan(src any) error {
	var text sql.Null[string]
	if err := text.Scan(src); err != nil {
		return err
	}
	*j.labels = nil
	if text.V == "{}" {
		return nil
	}
	if err := json.Unmarshal([]byte(text.V), j.labels); err != nil {
		return fmt.Errorf("%w: labels %.80q: %w", media.ErrCorrupt, text.V, err)
	}
	return nil
}

func encodeLabels(l media.Labels) string {
	if len(l) == 0 {
		return "{}"
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic("BUG: labels do not marshal: " + err.Error())
	}
	return string(text)
}

// shortened cuts the text of an error to what a row should hold.
func shortened(text string) string {
	const most = 1000
	// PostgreSQL takes neither a zero byte nor what is no UTF-8.
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?")
	if len(text) <= most {
		return text
	}
	cut := most
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
