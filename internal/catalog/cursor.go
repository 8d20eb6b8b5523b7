package catalog

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// cursorVersion marks the form of a cursor, so that a later form can tell it apart.
	cursorVersion = "1"
	// maxCursor bounds a cursor, in bytes.
	maxCursor = 120
)

// errCursor is of a cursor that no page gave.
var errCursor = &media.FieldError{
	Field: "cursor", Want: "it is damaged, or of another order: use the next value of the last page as it came",
}

// newCursor gives the cursor that continues a list behind a row: the value that the list's order goes by, and what
// breaks ties. It is opaque to clients, and of no use but to continue.
func newCursor(version string, value int64, rest ...string) string {
	fields := append([]string{version, strconv.FormatInt(value, 10)}, rest...)
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(fields, ".")))
}

// openCursor reads a cursor of that version with as many further fields, in the one spelling that newCursor gives. What
// the fields hold is for the caller to check. Others are errCursor.
func openCursor(cursor, version string, rest int) (value int64, fields []string, err error) {
	if len(cursor) > maxCursor {
		return 0, nil, errCursor
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, nil, errCursor
	}
	fields = strings.Split(string(text), ".")
	if len(fields) != rest+2 || fields[0] != version {
		return 0, nil, errCursor
	}
	value, err = strconv.ParseInt(fields[1], 10, 64)
	if err != nil || newCursor(version, value, fields[2:]...) != cursor {
		return 0, nil, errCursor
	}
	return value, fields[2:], nil
}

// openRecordingCursor is openCursor where the last field is a recording's id.
func openRecordingCursor(cursor, version string, rest int) (
	value int64, fields []string, id media.RecordingID, err error,
) {
	value, fields, err = openCursor(cursor, version, rest)
	if err == nil {
		if id, err = media.ParseRecordingID(fields[rest-1]); err != nil {
			err = errCursor
		}
	}
	return value, fields, id, err
}
