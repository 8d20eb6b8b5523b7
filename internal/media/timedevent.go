package media

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a timed event.
const (
	MaxEventAttributes = 32
	maxEventID         = 128  // bytes, as of a class
	maxAttributeName   = 64   // bytes
	maxAttribute       = 2048 // bytes of a string or of what hexadecimal digits stand for
	// MaxEventSeconds bounds an event's duration: a year.
	MaxEventSeconds = 366 * 86400
)

// Interstitial is the class of what players play instead of the recording, or beside it (draft, appendix D).
const Interstitial = "com.apple.hls.interstitial"

// TimedEvent is a range of a recording's time that the API was told of; playlists have it as EXT-X-DATERANGE, whose
// attributes its fields are (draft-pantos-hls-rfc8216bis, 4.4.5.1). Its JSON is the payload of Metadata of the kind
// DateRange: a later piece of the same ID adds to it.
type TimedEvent struct {
	ID        string    `json:"id" doc:"Unique in the recording"`
	Class     string    `json:"class,omitempty" doc:"What kind of event it is, like com.example.goal"`
	StartDate time.Time `json:"start_date" doc:"When it begins, to the millisecond"`

	EndDate         *time.Time `json:"end_date,omitempty" doc:"When it ends"`
	Duration        *float64   `json:"duration_s,omitempty" doc:"How long it is, in seconds"`
	PlannedDuration *float64   `json:"planned_duration_s,omitempty" doc:"How long it is expected to be, in seconds"`

	EndOnNext bool     `json:"end_on_next,omitempty" doc:"It ends where the next of its class begins"`
	Cue       []string `json:"cue,omitempty" doc:"When an interstitial is played: PRE, POST, ONCE"`
	// Attributes are strings, numbers that are not negative, or objects of one member hex: "0x" and digits.
	Attributes map[string]any `json:"attributes,omitempty" doc:"Further attributes of the tag"`
}

var (
	eventID       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~:-]*$`)
	attributeName = regexp.MustCompile(`^X-[A-Z0-9][A-Z0-9-]*$`)
	hexSequence   = regexp.MustCompile(`^0[xX]([0-9A-F]{2})+$`)
	spliceNames   = []string{"SCTE35-CMD", "SCTE35-OUT", "SCTE35-IN"}
	// madeIDs are how the IDs of ranges begin that stand for what the publisher told.
	madeIDs = []string{"scte35-", "cue-", "id3-"}
)

// Round makes times whole milliseconds, which is what playlists tell.
func (e *TimedEvent) Round() {
	e.StartDate = e.StartDate.Round(time.Millisecond).UTC()
	if e.EndDate != nil {
		end := e.EndDate.Round(time.Millisecond).UTC()
		e.EndDate = &end
	}
	for _, p := range []**float64{&e.Duration, &e.PlannedDuration} {
		if *p != nil {
			rounded := math.Round(**p*1000) / 1000
			*p = &rounded
		}
	}
}

// Check says which field breaks a rule, as a *FieldError. Times are whole milliseconds.
func (e *TimedEvent) Check() error {
	bad := func(field, format string, args ...any) error {
		return &FieldError{Field: field, Want: fmt.Sprintf(format, args...)}
	}
	if len(e.ID) > maxEventID || !eventID.MatchString(e.ID) {
		return bad("id", "must be 1 to %d letters, digits and . _ ~ : -, the first a letter or digit", maxEventID)
	}
	for _, prefix := range madeIDs {
		if strings.HasPrefix(e.ID, prefix) {
			return bad("id", "must not begin with %s: ranges that the publisher told of are called so", prefix)
		}
	}
	if why := quotable(e.Class, maxEventID); why != "" {
		return bad("class", "%s", why)
	}
	if year := e.StartDate.Year(); year < 1970 || year > 9000 {
		return bad("start_date", "the year %d is out of range", year)
	}
	for field, seconds := range map[string]*float64{"duration_s": e.Duration, "planned_duration_s": e.PlannedDuration} {
		if seconds != nil && !(*seconds >= 0 && *seconds <= MaxEventSeconds) {
			return bad(field, "must be from 0 to %d", MaxEventSeconds)
		}
	}
	if err := e.checkEnd(bad); err != nil {
		return err
	}
	for i, word := range e.Cue {
		if !slices.Contains([]string{"PRE", "POST", "ONCE"}, word) || slices.Contains(e.Cue[:i], word) {
			return bad("cue", "must be PRE or POST, and ONCE, each at most once")
		}
	}
	if slices.Contains(e.Cue, "PRE") && slices.Contains(e.Cue, "POST") {
		return bad("cue", "must not be both PRE and POST")
	}
	return e.checkAttributes(bad)
}

func (e *TimedEvent) checkEnd(bad func(field, format string, args ...any) error) error {
	switch {
	case e.EndOnNext && e.Class == "":
		return bad("end_on_next", "needs a class")
	case e.EndOnNext && e.Duration != nil:
		return bad("duration_s", "must not be set along with end_on_next")
	case e.EndOnNext && e.EndDate != nil:
		return bad("end_date", "must not be set along with end_on_next")
	case e.EndDate == nil:
		return nil
	}
	length := e.EndDate.Sub(e.StartDate)
	switch {
	case length < 0:
		return bad("end_date", "must not be before start_date")
	case length > MaxEventSeconds*time.Second:
		return bad("end_date", "must be within %d s of start_date", MaxEventSeconds)
	case e.Duration != nil && Seconds(*e.Duration) != length:
		return bad("duration_s", "must be the time from start_date to end_date, %v", length.Seconds())
	}
	return nil
}

func (e *TimedEvent) checkAttributes(bad func(field, format string, args ...any) error) error {
	if len(e.Attributes) > MaxEventAttributes {
		return bad("attributes", "must be at most %d", MaxEventAttributes)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		splice := slices.Contains(spliceNames, name)
		if len(name) > maxAttributeName || !splice && !attributeName.MatchString(name) {
			return bad("attributes", "%.80q must be X- and letters A-Z, digits and hyphens, at most %d in all, or one of %s",
				name, maxAttributeName, strings.Join(spliceNames, ", "))
		}
		field := "attributes." + name
		switch v := e.Attributes[name].(type) {
		case string:
			if why := quotable(v, maxAttribute); why != "" {
				return bad(field, "%s", why)
			}
		case float64:
			if !(v >= 0 && v < 1<<53) {
				return bad(field, "must be from 0 to 2^53; write other numbers as text")
			}
		default:
			hex, ok := HexOf(v)
			if !ok || len(hex) > 2+2*maxAttribute {
				return bad(field, `must be text, a number or {"hex":"0x..."}, pairs of 0-9 and A-F, at most %d bytes`,
					maxAttribute)
			}
			continue
		}
		if splice {
			return bad(field, `must be {"hex":"0x..."}`)
		}
	}
	_, out := e.Attributes["SCTE35-OUT"]
	if _, in := e.Attributes["SCTE35-IN"]; in && !out {
		return bad("attributes.SCTE35-IN", "needs SCTE35-OUT")
	}
	_, uri := e.Attributes["X-ASSET-URI"]
	_, list := e.Attributes["X-ASSET-LIST"]
	if e.Class == Interstitial && uri == list {
		return bad("attributes", "an interstitial needs either X-ASSET-URI or X-ASSET-LIST")
	}
	return nil
}

// HexOf gives an attribute's hexadecimal digits, 0x before them, if it is an object of those.
func HexOf(attribute any) (string, bool) {
	object, ok := attribute.(map[string]any)
	if !ok || len(object) != 1 {
		return "", false
	}
	hex, ok := object["hex"].(string)
	if !ok || !hexSequence.MatchString(hex) {
		return "", false
	}
	return "0x" + hex[2:], true // the other spelling is allowed, and few readers know it
}

// Seconds makes a duration of seconds, in whole milliseconds.
func Seconds(s float64) time.Duration {
	return time.Duration(math.Round(s*1000)) * time.Millisecond
}

// quotable says what is wrong with a text that a playlist is to quote (SYN-1, SYN-3).
func quotable(text string, most int) string {
	if len(text) > most {
		return fmt.Sprintf("must be at most %d bytes", most)
	}
	unfit := func(r rune) bool { return r == '"' || unicode.IsControl(r) }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unfit) {
		return "must be text without double quotes and control characters"
	}
	return ""
}

// Add gives the event with what more says of it, and that alone; changed is false if it says nothing new. What more
// leaves out stays. What was told never changes: a field that more has otherwise is a *FieldError (DR-1). Class, start,
// cue and end_on_next are told at the begin.
func (e *TimedEvent) Add(more TimedEvent) (whole, added TimedEvent, changed bool, err error) {
	whole, added = *e, TimedEvent{ID: e.ID, Class: e.Class, StartDate: e.StartDate}
	refuse := func(field string) error {
		return &FieldError{Field: field, Want: "was told already and can't change: players may have seen it"}
	}
	if more.EndDate != nil {
		if e.EndDate == nil {
			whole.EndDate, added.EndDate, changed = more.EndDate, more.EndDate, true
		} else if !e.EndDate.Equal(*more.EndDate) {
			return whole, added, false, refuse("end_date")
		}
	}
	for _, f := range []struct {
		name              string
		old, more         *float64
		whole, difference **float64
	}{
		{"duration_s", e.Duration, more.Duration, &whole.Duration, &added.Duration},
		{"planned_duration_s", e.PlannedDuration, more.PlannedDuration, &whole.PlannedDuration, &added.PlannedDuration},
	} {
		switch {
		case f.more == nil:
		case f.old == nil:
			*f.whole, *f.difference, changed = f.more, f.more, true
		case *f.old != *f.more:
			return whole, added, false, refuse(f.name)
		}
	}
	whole.Attributes = maps.Clone(e.Attributes)
	for name, value := range more.Attributes {
		if old, told := e.Attributes[name]; told {
			if !reflect.DeepEqual(old, value) {
				return whole, added, false, refuse("attributes." + name)
			}
			continue
		}
		if whole.Attributes == nil {
			whole.Attributes = make(map[string]any)
		}
		if added.Attributes == nil {
			added.Attributes = make(map[string]any)
		}
		whole.Attributes[name], added.Attributes[name], changed = value, value, true
	}
	return whole, added, changed, whole.Check()
}

// ShowEvent is an event as a live recording has it.
type ShowEvent struct {
	TimedEvent
	// Number is that of the piece of metadata that told of it first.
	Number int64 `json:"number" doc:"Counts what the recording was told, in the order of arrival"`
}
