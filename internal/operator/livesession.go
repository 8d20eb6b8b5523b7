package operator

import (
	"net/http"
	"net/url"
)

// SessionCommands is `oxbow session`.
type SessionCommands struct {
	Connection `embed:""`

	List ListSessions `cmd:"" help:"List the publishers that are connected now, and how well their streams arrive."`
	Show ShowSession  `cmd:"" help:"Show how well one live stream arrives."`
	Kick KickSession  `cmd:"" help:"Close a publisher's connection; its encoder may come back: revoke its key to keep it out."`
}

// ListSessions is `oxbow session list`.
type ListSessions struct {
	Scope  scopeName `arg:"" name:"publisher[/stream]" optional:"" help:"Only those of a publisher, or of one stream."`
	Paging `embed:""`
}

// Run lists them.
func (l *ListSessions) Run(c *Call) error {
	q := query{}
	q.scope(l.Scope)
	return c.list("/v1/sessions", url.Values(q), l.Paging, table{
		columns: []string{
			"STREAM=publisher/stream", "PROTOCOL=protocol", "REMOTE=remote", "FEED=feed", "BITRATE=bitrate_10s_bps",
			"LAG=lag_ms", "PACE=pace", "SINCE=~started_at", "+NODE=node", "+ENCODER=encoder", "+SILENT=silent_ms",
			"+GAPS=data_gaps", "+WARNINGS=warnings",
		},
		id: byPath("stream"),
	})
}

// ShowSession is `oxbow session show`.
type ShowSession struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
}

// Run shows it.
func (s *ShowSession) Run(c *Call) error { return c.show(s.Stream.path("/session"), byPath("stream")) }

// KickSession is `oxbow session kick`.
type KickSession struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
	Reason string     `name:"reason" placeholder:"TEXT" help:"Told to the publisher, where the protocol can tell it."`
}

// Run closes it.
func (k *KickSession) Run(c *Call) error {
	q := query{}
	q.text("reason", k.Reason)
	return c.act(Request{Method: http.MethodDelete, Path: k.Stream.path("/session"), Query: url.Values(q)},
		"the connection of %s is closed", k.Stream)
}
