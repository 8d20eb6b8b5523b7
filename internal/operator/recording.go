package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// RecordingCommands is `oxbow recording`.
type RecordingCommands struct {
	Connection `embed:""`

	List    ListRecordings   `cmd:"" help:"List recordings, newest first."`
	Show    ShowRecording    `cmd:"" help:"Show a recording."`
	Hold    HoldRecording    `cmd:"" help:"Hold recordings against retention and deletion."`
	Release ReleaseRecording `cmd:"" help:"Let held recordings go."`
	Set     SetRecording     `cmd:"" help:"Set a recording's name and labels."`
	Delete  DeleteRecording  `cmd:"" help:"Delete recordings everywhere: by their ids, or all that flags select."`
	Clips   ListClips        `cmd:"" help:"List the clips that were made of a recording."`
}

// Selection is the flags that select recordings.
type Selection struct {
	State   []string `name:"state" placeholder:"STATE" help:"Only these states, like live, ended or archived; may be repeated."`
	Cluster string   `name:"cluster" placeholder:"NAME" help:"Only what this cluster's nodes recorded."`
	Since   past     `name:"since" placeholder:"WHEN" help:"Only those that started since: a duration ago like 24h, or a time."`
	Until   past     `name:"until" placeholder:"WHEN" help:"Only those that started before."`
}

func (s *Selection) query() query {
	q := query{}
	q.texts("state", s.State)
	q.text("cluster", s.Cluster)
	q.moment("since", s.Since.Time)
	q.moment("until", s.Until.Time)
	return q
}

func recordings() table {
	return table{
		columns: []string{
			"ID=id", "STREAM=publisher/stream", "STATE=state", "STARTED=~started_at", "LENGTH=duration_ms", "SIZE=bytes",
			"NAME=name", "+KEEP=keep", "+EXPIRES=expire_due", "+ENDED=ended_at", "+LABELS=labels", "+ARCHIVED=archived_at",
			"+CLUSTER=cluster", "+CLIP OF=clip.of", "+LAST ERROR=last_error", "+URL=url", "+REVISION=revision",
		},
		id: by("id"),
	}
}

// ListRecordings is `oxbow recording list`.
type ListRecordings struct {
	Scope       scopeName `arg:"" name:"publisher[/stream]" optional:"" help:"Only those of a publisher, or of one stream."`
	Selection   `embed:""`
	Label       []string      `name:"label" sep:"none" placeholder:"NAME[=VALUE]" help:"Only those with this label; may be repeated."`
	Name        string        `name:"name" placeholder:"TEXT" help:"Only those whose name has this text."`
	Kind        string        `name:"kind" enum:"all,shows,clips" default:"all" help:"Only shows, or only clips: ${enum}."`
	MinDuration time.Duration `name:"min-duration" placeholder:"DURATION" help:"Only those at least this long."`
	MaxDuration time.Duration `name:"max-duration" placeholder:"DURATION" help:"Only those at most this long."`
	Sort        string        `name:"sort" type:"signed" placeholder:"FIELD" help:"started_at, ended_at, duration or bytes; the largest first with - before it, like -bytes. All but started_at list only what has ended."`
	Paging      `embed:""`
}

// Run lists them.
func (l *ListRecordings) Run(c *Call) error {
	q := l.query()
	q.scope(l.Scope)
	q.texts("label", l.Label)
	q.text("name", l.Name)
	if l.Kind != "all" {
		q.text("clips", strconv.FormatBool(l.Kind == "clips"))
	}
	if l.MinDuration > 0 {
		q.text("min_duration", l.MinDuration.String())
	}
	if l.MaxDuration > 0 {
		q.text("max_duration", l.MaxDuration.String())
	}
	q.text("sort", l.Sort)
	return c.list("/v1/recordings", url.Values(q), l.Paging, recordings())
}

// ShowRecording is `oxbow recording show`.
type ShowRecording struct {
	ID string `arg:"" help:"The recording's id."`
}

// Run shows it.
func (s *ShowRecording) Run(c *Call) error { return c.show(place("/v1/recordings/", s.ID), by("id")) }

// HoldRecording is `oxbow recording hold`.
type HoldRecording struct {
	IDs   []string `arg:"" name:"id" help:"The recordings' ids."`
	Match `embed:""`
}

// Run holds them.
func (h *HoldRecording) Run(c *Call) error {
	return c.keep(h.IDs, true, h.IfMatch, "recording %s is held")
}

// ReleaseRecording is `oxbow recording release`.
type ReleaseRecording struct {
	IDs   []string `arg:"" name:"id" help:"The recordings' ids."`
	Match `embed:""`
}

// Run releases them.
func (r *ReleaseRecording) Run(c *Call) error {
	return c.keep(r.IDs, false, r.IfMatch, "recording %s is released")
}

func (c *Call) keep(ids []string, keep bool, match, done string) error {
	if match != "" && len(ids) > 1 {
		return usage("--if-match is of one recording: give one id")
	}
	for _, id := range ids {
		r := Request{
			Method: http.MethodPatch, Path: place("/v1/recordings/", id), Body: fields{"keep": keep}, IfMatch: match,
		}
		if err := c.act(r, done, id); err != nil {
			return err
		}
	}
	return nil
}

// SetRecording is `oxbow recording set`.
type SetRecording struct {
	ID     string   `arg:"" help:"The recording's id."`
	Name   *string  `name:"name" placeholder:"TEXT" help:"What people call it; empty is nothing."`
	Label  []string `name:"label" sep:"none" placeholder:"NAME=VALUE" help:"A label; may be repeated. They replace all that it has."`
	Labels bool     `name:"no-labels" help:"Take all labels off."`
	Match  `embed:""`
}

// Run sets them.
func (s *SetRecording) Run(c *Call) error {
	body := fields{}
	if s.Name != nil {
		body["name"] = *s.Name
	}
	labels, err := pairs("label", s.Label)
	switch {
	case err != nil:
		return err
	case s.Labels && len(labels) > 0:
		return usage("--label and --no-labels: use one of them")
	case s.Labels || len(labels) > 0:
		body["labels"] = labels
	}
	if len(body) == 0 {
		return usage("nothing to set: give --name, --label or --no-labels")
	}
	return c.act(Request{Method: http.MethodPatch, Path: place("/v1/recordings/", s.ID), Body: body, IfMatch: s.IfMatch},
		"recording %s is changed", s.ID)
}

// DeleteRecording is `oxbow recording delete`.
type DeleteRecording struct {
	IDs       []string  `arg:"" name:"id" optional:"" help:"The recordings' ids; without one the flags select."`
	Of        scopeName `name:"of" placeholder:"PUBLISHER[/STREAM]" help:"Only those of a publisher, or of one stream."`
	Selection `embed:""`
	Before    past `name:"before" placeholder:"WHEN" help:"Only those that ended before: a duration ago like 720h, or a time."`
	DryRun    bool `name:"dry-run" help:"Delete nothing: say what would be."`
	Yes       bool `name:"yes" help:"Needed where flags select and it is no --dry-run."`
	Match     `embed:""`
}

// Run deletes them.
func (d *DeleteRecording) Run(c *Call) error {
	q := d.query()
	q.scope(d.Of)
	q.moment("before", d.Before.Time)
	switch {
	case len(d.IDs) > 0 && len(q) > 0:
		return usage("ids and flags that select: use one of them")
	case len(d.IDs) == 0 && len(q) == 0:
		return usage("nothing is selected: give ids, or flags like --of and --before")
	case len(d.IDs) != 1 && d.IfMatch != "":
		return usage("--if-match is of one recording: give one id")
	case len(d.IDs) == 0 && !d.DryRun && !d.Yes:
		return usage("this deletes all that the flags select: look with --dry-run first, then give --yes")
	}
	done := "recording %s is being deleted"
	if d.DryRun {
		q.text("dry_run", "true")
		done = "recording %s would be deleted"
	}
	if len(d.IDs) == 0 {
		return c.deleteSelected(q)
	}
	for _, id := range d.IDs {
		r := Request{
			Method: http.MethodDelete, Path: place("/v1/recordings/", id), Query: url.Values(q), IfMatch: d.IfMatch,
		}
		if err := c.act(r, done, id); err != nil {
			return err
		}
	}
	return nil
}

// deleteSelected deletes what a filter selects, a page at a time.
func (c *Call) deleteSelected(q query) error {
	columns := []string{
		"ID=recording", "STREAM=publisher/stream", "STATE=state", "ENDED=ended_at", "SIZE=bytes", "LEFT BECAUSE=reason",
	}
	out := c.newRows(table{columns: columns, id: by("recording")})
	deleted, size := 0, 0.0
	for {
		answer, err := c.do(Request{Method: http.MethodDelete, Path: "/v1/recordings", Query: url.Values(q)})
		if err != nil {
			return err
		}
		var p struct {
			Deleted int
			Bytes   float64
			Items   []json.RawMessage
			Left    []json.RawMessage
			Next    string
		}
		if err := json.Unmarshal(answer, &p); err != nil {
			return fmt.Errorf("%w: %w", errShape, err)
		}
		deleted, size = deleted+p.Deleted, size+p.Bytes
		if deleted == 0 && len(p.Left) == 0 && p.Next == "" && !url.Values(q).Has("cursor") {
			if err := c.nobody(url.Values(q)); err != nil {
				return err
			}
		}
		items := p.Items
		if !c.Quiet { // ids are of what is deleted
			items = append(items, p.Left...)
		}
		if err := out.write(items); err != nil {
			return err
		}
		if p.Next == "" || p.Next == url.Values(q).Get("cursor") {
			break
		}
		q.text("cursor", p.Next)
	}
	if err := out.end(); err != nil {
		return err
	}
	if url.Values(q).Has("dry_run") {
		c.note("%d recordings (%s) would be deleted. Nothing is changed.", deleted, humanBytes(size))
	} else {
		c.note("%d recordings (%s) are being deleted.", deleted, humanBytes(size))
	}
	return nil
}

// ListClips is `oxbow recording clips`.
type ListClips struct {
	ID     string `arg:"" help:"The recording's id."`
	Paging `embed:""`
}

// Run lists them.
func (l *ListClips) Run(c *Call) error {
	return c.list(place("/v1/recordings/", l.ID, "/clips"), nil, l.Paging, recordings())
}
