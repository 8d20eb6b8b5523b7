package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
)

// EventCommands is `oxbow event`.
type EventCommands struct {
	Connection `embed:""`

	List   ListEvents   `cmd:"" help:"List what happened, as the event log keeps it."`
	Follow FollowEvents `cmd:"" help:"Print events as they happen; it connects again by itself and misses none."`
}

// EventSelection is the flags that select events.
type EventSelection struct {
	Scope scopeName `arg:"" name:"publisher[/stream]" optional:"" help:"Only those of a publisher, or of one stream."`
	Type  []string  `name:"type" placeholder:"TYPE" help:"Only this type, like recording.ended; may be repeated."`
}

func (s *EventSelection) query() query {
	q := query{}
	q.scope(s.Scope)
	q.texts("type", s.Type)
	return q
}

// ListEvents is `oxbow event list`.
type ListEvents struct {
	EventSelection `embed:""`
	Recording      string `name:"recording" placeholder:"ID" help:"Only those of this recording."`
	Since          past   `name:"since" placeholder:"WHEN" help:"Only since: a duration ago like 24h, or a time."`
	Until          past   `name:"until" placeholder:"WHEN" help:"Only before: likewise."`
	Paging         `embed:""`
}

// Run lists them.
func (l *ListEvents) Run(c *Call) error {
	q := l.query()
	q.text("recording", l.Recording)
	q.moment("since", l.Since.Time)
	q.moment("until", l.Until.Time)
	return c.list("/v1/events", url.Values(q), l.Paging, table{
		columns: []string{
			"ID=id", "TIME=time", "TYPE=type", "STREAM=publisher/stream", "RECORDING=recording", "DATA=data",
			"+CLUSTER=cluster",
		},
		id: func(o object) string { return human("id", o.get("id")) },
	})
}

// FollowEvents is `oxbow event follow`.
type FollowEvents struct {
	EventSelection `embed:""`
	After          string `name:"after" placeholder:"EVENT" help:"Begin behind the event of this id. Default: now."`
	Count          int    `name:"count" placeholder:"N" help:"End after so many events. Default: never."`
}

// Run follows them until it is interrupted.
func (f *FollowEvents) Run(c *Call) error {
	if f.After != "" {
		if n, err := strconv.ParseInt(f.After, 10, 64); err != nil || n < 0 {
			return usage("--after %.40q: use an event's id, as `oxbow event list` tells it", f.After)
		}
	}
	client, err := c.ask()
	if err != nil {
		return err
	}
	printed := 0
	return client.Follow(c.process.Context, Feed{
		Path: "/v1/events/stream", Query: url.Values(f.query()), After: f.After,
		Gap:  func() { c.warn("the log does not go back to where this was to begin: events are missing") },
		Lost: func(err error) { c.warn("event stream: %v: trying again", err) },
		Take: func(e ServerEvent) error {
			if err := c.event(e.Data); err != nil {
				return err
			}
			if printed++; printed == f.Count {
				return ErrEnough
			}
			return nil
		},
	})
}

// event prints one event in a line.
func (c *Call) event(data []byte) error {
	if !json.Valid(data) {
		return fmt.Errorf("event: %w", errShape)
	}
	if c.JSON {
		_, err := fmt.Fprintf(c.process.Stdout, "%s\n", data)
		return err
	}
	o, err := decodeObject(data)
	if err != nil {
		return errors.Join(errShape, err)
	}
	id := human("id", o.get("id"))
	if c.Quiet {
		_, err = fmt.Fprintln(c.process.Stdout, id)
		return err
	}
	subject := ""
	for _, name := range []string{"publisher", "stream", "recording", "cluster"} {
		if text := o.text(name); text != "" {
			subject += " " + name + "=" + clean(text, maxCell)
		}
	}
	if data, ok := o.get("data").(object); ok && len(data) > 0 {
		subject += "  " + clean(human("data", data), maxCell)
	}
	_, err = fmt.Fprintf(c.process.Stdout, "%s  %s  %s%s\n", human("time", o.get("time")), id,
		clean(o.text("type"), maxCell), subject)
	return err
}
