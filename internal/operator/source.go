package operator

import (
	"net/http"
	"strings"
	"time"
)

// SourceCommands is `oxbow source`.
type SourceCommands struct {
	Connection `embed:""`

	Put    PutSource    `cmd:"" help:"Have the server fetch a stream from a URL."`
	Show   ShowSource   `cmd:"" help:"Show a stream's source and what it does."`
	Delete DeleteSource `cmd:"" help:"Remove a stream's source and end its show."`
}

// PutSource is `oxbow source put`.
type PutSource struct {
	Stream      streamName     `arg:"" help:"PUBLISHER/STREAM."`
	URL         string         `arg:"" help:"http(s)://HOST/x.m3u8, rtmp(s)://HOST/APP/NAME or srt://HOST:PORT; @FILE takes it from a file, for one with secrets."`
	Mode        string         `name:"mode" placeholder:"MODE" help:"always, or on_demand: while somebody watches. Default: always."`
	IdleTimeout *time.Duration `name:"idle-timeout" placeholder:"DURATION" help:"How long on_demand goes on unwatched. Default: 1m."`
	Disabled    bool           `name:"disabled" help:"Keep it, and fetch nothing."`
}

// Run puts it.
func (p *PutSource) Run(c *Call) error {
	body := fields{"url": p.URL}
	if file, ok := strings.CutPrefix(p.URL, "@"); ok {
		text, err := c.process.readFile(file, maxTokenFile)
		if err != nil {
			return err
		}
		body["url"] = strings.TrimSpace(string(text))
	}
	body.text("mode", p.Mode)
	if p.IdleTimeout != nil {
		body["idle_timeout"] = p.IdleTimeout.String()
	}
	if p.Disabled {
		body["enabled"] = false
	}
	answer, err := c.do(Request{Method: http.MethodPut, Path: p.Stream.path("/source"), Body: body})
	if err != nil {
		return err
	}
	return c.print(answer, func(object) string { return p.Stream.String() }, showAll)
}

// ShowSource is `oxbow source show`.
type ShowSource struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
}

// Run shows it.
func (s *ShowSource) Run(c *Call) error {
	return c.show(s.Stream.path("/source"), func(object) string { return s.Stream.String() })
}

// DeleteSource is `oxbow source delete`.
type DeleteSource struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
}

// Run deletes it.
func (d *DeleteSource) Run(c *Call) error {
	return c.act(Request{Method: http.MethodDelete, Path: d.Stream.path("/source")},
		"the source of %s is deleted", d.Stream)
}
