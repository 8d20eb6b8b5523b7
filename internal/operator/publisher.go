package operator

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"
)

// PublisherCommands is `oxbow publisher`.
type PublisherCommands struct {
	Connection `embed:""`

	List   ListPublishers  `cmd:"" help:"List the publishers."`
	Show   ShowPublisher   `cmd:"" help:"Show a publisher with the settings in force."`
	Create CreatePublisher `cmd:"" help:"Create a publisher."`
	Set    SetPublisher    `cmd:"" help:"Change settings of a publisher; --dry-run says what retention would do of it."`
	Delete DeletePublisher `cmd:"" help:"Delete a publisher that has no streams."`
}

// ListPublishers is `oxbow publisher list`.
type ListPublishers struct {
	Paging `embed:""`
}

// Run lists them.
func (l *ListPublishers) Run(c *Call) error {
	return c.list("/v1/publishers", nil, l.Paging, table{
		columns: []string{
			"NAME=name", "RETENTION=retention", "ARCHIVE DELAY=archive_delay", "RECORD=record", "PLAYBACK=playback",
			"KEEP=keep", "CREATED=~created_at", "+LATENCY=latency", "+ARCHIVE MODE=archive_mode", "+ARCHIVE=archive",
			"+LISTED=listed", "+REVISION=revision",
		},
		id: by("name"),
	})
}

// ShowPublisher is `oxbow publisher show`.
type ShowPublisher struct {
	Publisher string `arg:"" help:"Its name."`
}

// Run shows it.
func (s *ShowPublisher) Run(c *Call) error {
	return c.show(place("/v1/publishers/", s.Publisher), by("name"))
}

// CreatePublisher is `oxbow publisher create`.
type CreatePublisher struct {
	Publisher string   `arg:"" help:"Its name: 1 to 63 of a-z 0-9 _ -, the first a letter or digit."`
	Set       []string `name:"set" sep:"none" placeholder:"NAME=VALUE" help:"A setting, like retention=720h; may be repeated. NAME=@FILE takes the value from a file."`
}

// Run creates it.
func (p *CreatePublisher) Run(c *Call) error {
	body, err := c.settings(p.Set, nil)
	if err != nil {
		return err
	}
	body["name"] = p.Publisher
	return c.create("/v1/publishers", body, "", by("name"))
}

// SetPublisher is `oxbow publisher set`.
type SetPublisher struct {
	Publisher string   `arg:"" help:"Its name."`
	Settings  []string `arg:"" name:"setting" optional:"" sep:"none" help:"NAME=VALUE, like retention=24h; NAME=@FILE takes the value from a file."`
	Change    `embed:""`
}

// Run changes it.
func (p *SetPublisher) Run(c *Call) error {
	return c.change(place("/v1/publishers/", p.Publisher), "publisher "+p.Publisher, p.Settings, nil, p.Change, by("name"))
}

// DeletePublisher is `oxbow publisher delete`.
type DeletePublisher struct {
	Publisher string `arg:"" help:"Its name."`
	Match     `embed:""`
}

// Run deletes it.
func (p *DeletePublisher) Run(c *Call) error {
	return c.act(Request{Method: http.MethodDelete, Path: place("/v1/publishers/", p.Publisher), IfMatch: p.IfMatch},
		"publisher %s is deleted", p.Publisher)
}

// Match is the flag of changes that are made only to what the operator has seen.
type Match struct {
	IfMatch string `name:"if-match" placeholder:"REVISION" help:"Only if it still has this revision, as show tells it."`
}

// Change is the flags of a change of settings.
type Change struct {
	Match  `embed:""`
	Reset  []string `name:"reset" placeholder:"NAME" help:"Take a setting back: a stream gets its publisher's, a publisher the default; may be repeated."`
	DryRun bool     `name:"dry-run" help:"Change nothing: say which recordings the change would have deleted, dropped or spared."`
}

// change sets settings of a publisher or stream, and prints those that were set, and what a dry run shows.
func (c *Call) change(
	path, what string, assignments, more []string, how Change, id func(object) string,
) error {
	body, err := c.settings(assignments, more)
	if err != nil {
		return err
	}
	if len(body) == 0 && len(how.Reset) == 0 {
		return usage("nothing to set: give NAME=VALUE or --reset NAME")
	}
	if err := checkReset(how.Reset); err != nil {
		return err
	}
	body.texts("reset", how.Reset)
	r := Request{Method: http.MethodPatch, Path: path, Body: body, IfMatch: how.IfMatch}
	if how.DryRun {
		r.Query = url.Values{"dry_run": {"true"}}
	}
	answer, err := c.do(r)
	if err != nil {
		return err
	}
	return c.print(answer, id, func(out io.Writer, o object) error {
		w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		if how.DryRun {
			_, _ = fmt.Fprintf(w, "%s would have\n", what) // Flush gives the error
		} else {
			_, _ = fmt.Fprintf(w, "%s has\n", what)
		}
		for _, f := range o {
			if _, set := body[f.name]; set || slices.Contains(how.Reset, f.name) {
				_, _ = fmt.Fprintf(w, "  %s\t%s\n", f.name, human(f.name, f.value))
			}
		}
		if err := w.Flush(); err != nil || !how.DryRun {
			return err
		}
		return c.preview(out, o)
	})
}

// preview prints what a change would make due at once.
func (c *Call) preview(out io.Writer, o object) error {
	number := func(name string) string { return human(name, o.get("dry_run."+name)) }
	_, err := fmt.Fprintf(out, "It would delete %s recordings (%s), drop the local copies of %s (%s), and spare %s that "+
		"are due now. Nothing is changed.\n", number("deletes"), number("delete_bytes"), number("drops"),
		number("drop_bytes"), number("spared"))
	if err != nil {
		return err
	}
	deletes, _ := o.get("dry_run.delete").([]any)
	drops, _ := o.get("dry_run.drop").([]any)
	var items []object
	for _, v := range slices.Concat(deletes, drops) {
		if item, ok := v.(object); ok {
			items = append(items, item)
		}
	}
	if len(items) == 0 {
		return nil
	}
	return c.newRows(planned()).show(items)
}
