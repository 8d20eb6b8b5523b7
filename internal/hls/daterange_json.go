package hls

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The classes of ranges that we make of what publishers tell.
const (
	cuePointClass = "io.github.oxbow-video.cue-point"
	id3Class      = "org.id3"
)

// Limits of what a tag has of a cue point.
const (
	maxCueAttributes = 16
	maxCueName       = 64  // bytes
	maxCueValue      = 256 // bytes
)

// cuePoint makes an instant range of a cue point. Its simple members become attributes, those of its objects with the
// object's name before their own: {"name":"goal","parameters":{"team":"A"}} has X-NAME and X-PARAMETERS-TEAM. A
// duration is the range's planned one, in seconds.
func (d *dateRanges) cuePoint(m *media.Metadata) []dateRange {
	var object map[string]any
	if len(m.Payload) > media.MaxMetadata || json.Unmarshal(m.Payload, &object) != nil || object == nil ||
		d.repeated(m) {
		return nil
	}
	t := newRangeText("cue-"+strconv.FormatInt(m.Number, 10), cuePointClass, m.Date)
	end := m.Date
	if s, is := object["duration"].(float64); is && s >= 0.001 && s <= media.MaxEventSeconds {
		planned := media.Seconds(s)
		t.seconds("PLANNED-DURATION", planned)
		end = end.Add(planned)
	} else {
		t.seconds("DURATION", 0)
	}
	c := cueText{rangeText: t, names: make(map[string]bool)}
	c.members("X", object, 0)
	return []dateRange{t.finish(end)}
}

// cueText writes the members of a cue point.
type cueText struct {
	*rangeText
	names map[string]bool // that the tag has
}

func (c *cueText) members(prefix string, object map[string]any, depth int) {
	const deepest = 1
	for _, key := range slices.Sorted(maps.Keys(object)) {
		name := prefix + "-" + attributeName(key)
		_, isObject := object[key].(map[string]any)
		if len(c.names) >= maxCueAttributes || len(name) > maxCueName || strings.HasSuffix(name, "-") ||
			c.names[name] && !isObject {
			continue
		}
		switch v := object[key].(type) {
		case string:
			c.quoted(name, quotedValue(v))
		case bool:
			c.quoted(name, strconv.FormatBool(v))
		case float64:
			if v >= 0 && v < 1<<53 {
				c.decimal(name, v)
			} else {
				c.quoted(name, strconv.FormatFloat(v, 'g', -1, 64))
			}
		case map[string]any:
			if depth < deepest {
				c.members(name, v, depth+1)
			}
			continue
		default:
			continue
		}
		c.names[name] = true
	}
}

// attributeName makes a name of [A-Z0-9-] of a member's, without hyphens at its ends.
func attributeName(key string) string {
	if len(key) > maxCueName {
		return ""
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, key)
	return strings.Trim(name, "-")
}

// quotedValue makes a text fit to be quoted (SYN-1, SYN-3), and cuts it.
func quotedValue(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > maxCueValue {
		text = strings.ToValidUTF8(text[:maxCueValue], "")
	}
	return text
}

// event makes the tag of what the API was told: all of a new event, of a known one what is new.
func (d *dateRanges) event(m *media.Metadata) []dateRange {
	var e media.TimedEvent
	if len(m.Payload) > media.MaxMetadata || json.Unmarshal(m.Payload, &e) != nil {
		return nil
	}
	e.Round()
	whole, told := d.events[e.ID]
	if !told {
		if e.Check() != nil {
			return nil
		}
		d.events[e.ID] = e
		tags := []dateRange{eventTag(&e, &e)}
		if e.Class != "" {
			tags = append(tags, d.follow(&e, &tags[0])...)
		}
		return tags
	}
	whole, added, changed, err := whole.Add(e)
	if err != nil || !changed {
		return nil
	}
	d.events[e.ID] = whole
	return []dateRange{eventTag(&whole, &added)}
}

// eventClass is what END-ON-NEXT needs of the events of one class.
type eventClass struct {
	open   []dateRange // that end where the next begins
	latest time.Time   // the latest begin
}

// follow gives the ends of ranges that end where an event begins. One that is told of later than those behind it ends
// no later than the last of them.
func (d *dateRanges) follow(e *media.TimedEvent, tag *dateRange) (ends []dateRange) {
	c := d.classes[e.Class]
	if c == nil {
		c = new(eventClass)
		d.classes[e.Class] = c
	}
	c.open = slices.DeleteFunc(c.open, func(r dateRange) bool {
		if !r.start.Before(e.StartDate) {
			return false
		}
		r.end = e.StartDate
		ends = append(ends, r)
		return true
	})
	switch {
	case !e.EndOnNext:
	case c.latest.After(e.StartDate):
		tag.end = c.latest
	default:
		c.open = append(c.open, dateRange{id: tag.id, start: tag.start})
	}
	if e.StartDate.After(c.latest) {
		c.latest = e.StartDate
	}
	return ends
}

// eventTag writes the tag of what is told of an event now; whole is all that is known of it.
func eventTag(whole, told *media.TimedEvent) dateRange {
	t := newRangeText(told.ID, told.Class, told.StartDate)
	if len(told.Cue) > 0 {
		t.quoted("CUE", strings.Join(told.Cue, ","))
	}
	if told.EndDate != nil {
		t.date("END-DATE", *told.EndDate)
	}
	if told.Duration != nil {
		t.seconds("DURATION", media.Seconds(*told.Duration))
	}
	if told.PlannedDuration != nil {
		t.seconds("PLANNED-DURATION", media.Seconds(*told.PlannedDuration))
	}
	for _, name := range slices.Sorted(maps.Keys(told.Attributes)) {
		switch v := told.Attributes[name].(type) {
		case string:
			t.quoted(name, v)
		case float64:
			t.decimal(name, v)
		default:
			if hex, ok := media.HexOf(v); ok {
				t.bare(name, hex)
			}
		}
	}
	if told.EndOnNext {
		t.bare("END-ON-NEXT", "YES")
	}
	var end time.Time
	switch {
	case whole.EndDate != nil:
		end = *whole.EndDate
	case whole.Duration != nil:
		end = whole.StartDate.Add(media.Seconds(*whole.Duration))
	}
	return t.finish(end)
}
