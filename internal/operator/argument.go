package operator

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// streamName is an argument PUBLISHER/STREAM.
type streamName media.StreamPath

// UnmarshalText reads it.
func (s *streamName) UnmarshalText(text []byte) error {
	path, err := media.ParseStreamPath(string(text))
	if err != nil {
		return fmt.Errorf("%.130q is no stream: write PUBLISHER/STREAM, like acme/show", text)
	}
	*s = streamName(path)
	return nil
}

func (s streamName) String() string { return media.StreamPath(s).String() }

// path gives the stream's place in the API.
func (s streamName) path(suffix string) string {
	return place("/v1/publishers/", s.Publisher, "/streams/", s.Stream, suffix)
}

// scopeName is an argument PUBLISHER or PUBLISHER/STREAM that narrows a list; both may be empty.
type scopeName media.StreamPath

// UnmarshalText reads it.
func (s *scopeName) UnmarshalText(text []byte) error {
	publisher, stream, both := strings.Cut(string(text), "/")
	err := media.CheckPublisherName(publisher)
	if err == nil && both {
		err = media.CheckStreamName(stream)
	}
	if err != nil {
		return fmt.Errorf("%.130q is neither a publisher nor a stream: write acme or acme/show", text)
	}
	*s = scopeName{Publisher: publisher, Stream: stream}
	return nil
}

// past is a flag's time that has usually been: 2h is two hours ago. ahead is one that is to come: 2h is in two hours.
// Both take a time of day too.
type (
	past  struct{ time.Time }
	ahead struct{ time.Time }
)

// UnmarshalText reads it.
func (p *past) UnmarshalText(text []byte) (err error) {
	p.Time, err = parseMoment(string(text), time.Now(), -1)
	return err
}

// UnmarshalText reads it.
func (a *ahead) UnmarshalText(text []byte) (err error) {
	a.Time, err = parseMoment(string(text), time.Now(), 1)
	return err
}

// parseMoment reads a duration from now, or a local time of day, or one with its offset.
func parseMoment(text string, now time.Time, direction time.Duration) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(direction * d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time: write a duration from now like 2h, or a time like "+
		"\"2026-11-20 10:38\" or 2026-11-20T10:38:00Z", text)
}

// rfc3339 is a time on the wire; empty for none.
func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// settings reads NAME=VALUE assignments of a publisher's or stream's settings as the types that the API takes. A value
// @FILE is the text of a file, for secrets. What is a wrong value of the right type the server says, by the name.
func (c *Call) settings(assignments []string, more map[string]any) (map[string]any, error) {
	known := knownSettings()
	for name, value := range more {
		known[name] = value
	}
	patch := map[string]any{}
	for _, assignment := range assignments {
		name, text, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, usage("%.80q is no setting: write NAME=VALUE, like retention=720h", assignment)
		}
		like, ok := known[name]
		if !ok {
			return nil, usage("setting %.80q is unknown: %s", name, suggest(name, known))
		}
		if _, twice := patch[name]; twice {
			return nil, usage("setting %s is given twice", name)
		}
		if file, ok := strings.CutPrefix(text, "@"); ok {
			content, err := c.readFile(file, maxTokenFile)
			if err != nil {
				return nil, fmt.Errorf("setting %s: %w", name, err)
			}
			text = strings.TrimRight(string(content), "\r\n")
		}
		value, err := typed(text, like)
		if err != nil {
			return nil, usage("setting %s: %v", name, err)
		}
		patch[name] = value
	}
	return patch, nil
}

// knownSettings gives the settings' names with their defaults, as JSON has them.
func knownSettings() map[string]any {
	text, err := json.Marshal(media.DefaultSettings())
	known := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	if err != nil {
		panic("BUG: settings do not survive JSON: " + err.Error())
	}
	return known
}

// typed reads a text as a value of the type that like has.
func typed(text string, like any) (any, error) {
	switch like.(type) {
	case bool:
		switch text {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		}
		return nil, fmt.Errorf("%.40q: use true or false", text)
	case float64:
		return parseCount(text)
	}
	return text, nil
}

// parseCount reads a whole number, with or without a unit of bytes or bits: 5000000, 20GiB, 5M.
func parseCount(text string) (int64, error) {
	number := strings.TrimRight(text, "KMGTiB")
	scale, ok := map[string]float64{
		"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[text[len(number):]]
	if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil && scale == 1 {
		return n, nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if n *= scale; !ok || err != nil || math.Abs(n) > 1<<62 || n != math.Trunc(n) {
		return 0, fmt.Errorf("%.40q: use a whole number, like 5000000, 5M or 20GiB", text)
	}
	return int64(n), nil
}

// suggest names the known name that is most like a wrong one, else all.
func suggest(name string, known map[string]any) string {
	names := make([]string, 0, len(known))
	best, least := "", 4
	for k := range known {
		names = append(names, k)
		if d := distance(name, k); d < least || d == least && k < best {
			best, least = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	slices.Sort(names)
	return "there are " + strings.Join(names, ", ")
}

// distance is how many letters are to be put in, left out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	if len(a) > 100 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// pairs reads NAME=VALUE labels.
func pairs(flag string, assignments []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, a := range assignments {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, usage("--%s %.80q: write NAME=VALUE", flag, a)
		}
		labels[name] = value
	}
	return labels, nil
}
