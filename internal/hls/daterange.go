package hls

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// dateRange is one EXT-X-DATERANGE tag. A range that is told of in several steps has a tag for each, with one ID:
// later tags add attributes and change none (DR-1).
type dateRange struct {
	id    string
	start time.Time
	// end is where the range ends as far as its tag says; zero if that is not known yet.
	end time.Time
	// text is the tag's line.
	text []byte
}

// dateRanges makes tags of the pieces of a recording's metadata, one after the other. Its zero value is ready.
type dateRanges struct{}

// add gives the tag that a piece makes; false if it makes none.
func (d *dateRanges) add(m *media.Metadata) (dateRange, bool) {
	if m.Kind != media.DateRange {
		return dateRange{}, false
	}
	var told struct {
		Class string `json:"class"`
	}
	if json.Unmarshal(m.Payload, &told) != nil {
		return dateRange{}, false
	}
	tag := dateRange{id: "event-" + strconv.FormatInt(m.Number, 10), start: m.Date, end: m.Date}
	tag.text = append(tag.text, `#EXT-X-DATERANGE:ID="`+tag.id+`",START-DATE="`...)
	tag.text = append(m.Date.UTC().AppendFormat(tag.text, "2006-01-02T15:04:05.000Z"), "\"\n"...)
	return tag, true
}
