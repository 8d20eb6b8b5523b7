package operator

import "net/url"

// ListAudit is `oxbow audit`.
type ListAudit struct {
	Connection `embed:""`

	Publisher string `name:"publisher" placeholder:"NAME" help:"Only what concerns this publisher."`
	Operation string `name:"operation" placeholder:"ID" help:"Only this operation of the API, like delete-recording."`
	TokenID   string `name:"by" placeholder:"ID" help:"Only what was done with the token of this id."`
	Since     past   `name:"since" placeholder:"WHEN" help:"Only since: a duration ago like 24h, or a time."`
	Until     past   `name:"until" placeholder:"WHEN" help:"Only before: likewise."`
	Paging    `embed:""`
}

// Run lists the audit log.
func (l *ListAudit) Run(c *Call) error {
	q := query{}
	q.text("publisher", l.Publisher)
	q.text("operation", l.Operation)
	q.text("token", l.TokenID)
	q.moment("since", l.Since.Time)
	q.moment("until", l.Until.Time)
	return c.list("/v1/audit", url.Values(q), l.Paging, table{
		columns: []string{
			"AT=at", "TOKEN=token_label", "PUBLISHER=publisher", "OPERATION=operation", "STATUS=status", "REMOTE=remote",
			"PATH=path", "+FIELDS=fields", "+TOKEN ID=token_id", "+METHOD=method",
		},
		id: by("id"),
	})
}
