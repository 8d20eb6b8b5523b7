package operator

import (
	"fmt"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const nameForm = "of a-z 0-9 _ -, and the first a letter or digit"

// streamName is an argument PUBLISHER/STREAM.
type streamName media.StreamPath

// UnmarshalText reads it.
func (s *streamName) UnmarshalText(text []byte) error {
	path, err := media.ParseStreamPath(string(text))
	if err != nil {
		return fmt.Errorf("%.130q is no stream: write PUBLISHER/STREAM, like acme/show, each %s", text, nameForm)
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
		return fmt.Errorf("%.130q is neither a publisher nor a stream: write acme or acme/show, each %s", text, nameForm)
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
