package operator

import (
	"net/http"
)

// StreamCommands is `oxbow stream`.
type StreamCommands struct {
	Connection `embed:""`

	List   ListStreams  `cmd:"" help:"List a publisher's streams."`
	Show   ShowStream   `cmd:"" help:"Show a stream with the settings in force, and which are its own."`
	Create CreateStream `cmd:"" help:"Create a stream; its first key is printed this once."`
	Set    SetStream    `cmd:"" help:"Change settings of a stream; --dry-run says what retention would do of it."`
	Delete DeleteStream `cmd:"" help:"Delete a stream and its keys; who publishes to it is cut off."`
}

// ListStreams is `oxbow stream list`.
type ListStreams struct {
	Publisher string `arg:"" help:"Whose streams."`
	Paging    `embed:""`
}

// Run lists them.
func (l *ListStreams) Run(c *Call) error {
	return c.list(place("/v1/publishers/", l.Publisher, "/streams"), nil, l.Paging, table{
		columns: []string{
			"STREAM=publisher/name", "RETENTION=retention", "RECORD=record", "PLAYBACK=playback", "OWN SETTINGS=overrides",
			"CREATED=~created_at", "+URL=url", "+LATENCY=latency", "+SRT ENCRYPTED=srt_encrypted", "+REVISION=revision",
		},
		id: byPath("name"),
	})
}

// ShowStream is `oxbow stream show`.
type ShowStream struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
}

// Run shows it.
func (s *ShowStream) Run(c *Call) error { return c.show(s.Stream.path(""), byPath("name")) }

// streamOnly is what can be set of a stream beside the settings that publishers have too.
func streamOnly() []string { return []string{"srt_passphrase"} }

// CreateStream is `oxbow stream create`.
type CreateStream struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
	Set    []string   `name:"set" sep:"none" placeholder:"NAME=VALUE" help:"A setting of its own, like latency=standard; may be repeated. NAME=@FILE takes the value from a file, as srt_passphrase should be."`
}

// Run creates it.
func (s *CreateStream) Run(c *Call) error {
	body, err := c.settings(s.Set, streamOnly())
	if err != nil {
		return err
	}
	body["name"] = s.Stream.Stream
	return c.create(place("/v1/publishers/", s.Stream.Publisher, "/streams"), body, "key", byPath("name"))
}

// SetStream is `oxbow stream set`.
type SetStream struct {
	Stream   streamName `arg:"" help:"PUBLISHER/STREAM."`
	Settings []string   `arg:"" name:"setting" optional:"" sep:"none" help:"NAME=VALUE, like retention=24h; NAME=@FILE takes the value from a file."`
	Change   `embed:""`
}

// Run changes it.
func (s *SetStream) Run(c *Call) error {
	return c.change(s.Stream.path(""), "stream "+s.Stream.String(), s.Settings, streamOnly(), s.Change, byPath("name"))
}

// DeleteStream is `oxbow stream delete`.
type DeleteStream struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
	Match  `embed:""`
}

// Run deletes it.
func (s *DeleteStream) Run(c *Call) error {
	return c.act(Request{Method: http.MethodDelete, Path: s.Stream.path(""), IfMatch: s.IfMatch},
		"stream %s is deleted", s.Stream)
}
