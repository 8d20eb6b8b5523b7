package operator

import "net/http"

// PurgeCommands is `oxbow purge`.
type PurgeCommands struct {
	Connection `embed:""`

	Publisher PurgePublisher `cmd:"" help:"Have all edges forget what they have cached of a publisher."`
	Stream    PurgeStream    `cmd:"" help:"Have all edges forget what they have cached of a stream."`
	Recording PurgeRecording `cmd:"" help:"Have all edges forget what they have cached of a recording."`
}

const purgedText = "edges forget what they have of %s"

// PurgePublisher is `oxbow purge publisher`.
type PurgePublisher struct {
	Name string `arg:"" help:"The publisher's name."`
}

// Run purges.
func (p *PurgePublisher) Run(c *Call) error {
	return c.act(Request{Method: http.MethodPost, Path: place("/v1/publishers/", p.Name, "/purge")}, purgedText, p.Name)
}

// PurgeStream is `oxbow purge stream`.
type PurgeStream struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
}

// Run purges.
func (p *PurgeStream) Run(c *Call) error {
	return c.act(Request{Method: http.MethodPost, Path: p.Stream.path("/purge")}, purgedText, p.Stream)
}

// PurgeRecording is `oxbow purge recording`.
type PurgeRecording struct {
	ID string `arg:"" help:"The recording's id."`
}

// Run purges.
func (p *PurgeRecording) Run(c *Call) error {
	return c.act(Request{Method: http.MethodPost, Path: place("/v1/recordings/", p.ID, "/purge")}, purgedText, p.ID)
}
