package operator

import "net/url"

// ArchiveCommands is `oxbow archive`.
type ArchiveCommands struct {
	Connection `embed:""`

	List ListArchives `cmd:"" help:"List the archives and how they fare."`
}

// ListArchives is `oxbow archive list`.
type ListArchives struct {
	Paging `embed:""`
}

// Run lists them.
func (l *ListArchives) Run(c *Call) error {
	return c.list("/v1/archives", nil, l.Paging, table{
		columns: []string{
			"NAME=name", "CLUSTER=cluster", "STATE=state", "SINCE=~since", "CHECKED=~checked_at", "LAST ERROR=last_error",
			"+PLACE=place",
		},
		id: by("name"), whole: true,
	})
}

// RetentionCommands is `oxbow retention`.
type RetentionCommands struct {
	Connection `embed:""`

	Plan ListPlan `cmd:"" help:"List what is going to be archived, dropped and deleted, and why."`
}

// ListPlan is `oxbow retention plan`.
type ListPlan struct {
	Scope  scopeName `arg:"" name:"publisher[/stream]" optional:"" help:"Only of a publisher, or of one stream."`
	Until  ahead     `name:"until" placeholder:"WHEN" help:"Only what is due by then: a duration from now like 24h, or a time."`
	Paging `embed:""`
}

// Run lists it.
func (l *ListPlan) Run(c *Call) error {
	q := query{}
	q.scope(l.Scope)
	q.moment("until", l.Until.Time)
	return c.list("/v1/retention", url.Values(q), l.Paging, planned())
}

func planned() table {
	return table{
		columns: []string{
			"DUE=~due", "ACTION=action", "RECORDING=recording", "STREAM=publisher/stream", "REASON=reason", "HELD=held",
			"SIZE=bytes", "+STATE=state", "+ENDED=ended_at", "+LAST ERROR=last_error",
		},
		id: by("recording"),
	}
}
