package operator

import (
	"net/http"
	"time"
)

// KeyCommands is `oxbow key`.
type KeyCommands struct {
	Connection `embed:""`

	List   ListKeys  `cmd:"" help:"List a stream's keys; the keys themselves are never shown again."`
	Create CreateKey `cmd:"" help:"Make another key for a stream; it is printed this once."`
	Rotate RotateKey `cmd:"" help:"Make a new key in the place of one that works on for a while."`
	Revoke RevokeKey `cmd:"" help:"Revoke a key; who publishes with it is cut off."`
}

// ListKeys is `oxbow key list`.
type ListKeys struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
	Paging `embed:""`
}

// Run lists them.
func (l *ListKeys) Run(c *Call) error {
	return c.list(l.Stream.path("/keys"), nil, l.Paging, table{
		columns: []string{
			"ID=id", "LABEL=label", "IN USE=in_use", "CREATED=~created_at", "EXPIRES=~expires_at", "LAST USED=~last_used_at",
		},
		id: by("id"), whole: true,
	})
}

// CreateKey is `oxbow key create`.
type CreateKey struct {
	Stream  streamName `arg:"" help:"PUBLISHER/STREAM."`
	Label   string     `name:"label" placeholder:"TEXT" help:"Who has the key: for people."`
	Expires ahead      `name:"expires" placeholder:"WHEN" help:"When it stops to work: a duration from now like 720h, or a time. Default: never."`
}

// Run makes it.
func (k *CreateKey) Run(c *Call) error {
	body := fields{}
	body.text("label", k.Label)
	body.text("expires_at", rfc3339(k.Expires.Time))
	return c.create(k.Stream.path("/keys"), body, "key", by("id"))
}

// RotateKey is `oxbow key rotate`.
type RotateKey struct {
	Stream  streamName     `arg:"" help:"PUBLISHER/STREAM."`
	ID      string         `arg:"" help:"The old key's id, as list tells it."`
	Grace   *time.Duration `name:"grace" placeholder:"DURATION" help:"How long the old key works on, like 1h. Default: not at all; who publishes with it is cut off."`
	Label   string         `name:"label" placeholder:"TEXT" help:"Who has the new key. Default: the old one's."`
	Expires ahead          `name:"expires" placeholder:"WHEN" help:"When the new key stops to work: a duration from now, or a time. Default: never."`
}

// Run makes the new one.
func (k *RotateKey) Run(c *Call) error {
	body := fields{}
	if k.Grace != nil {
		body["grace"] = k.Grace.String()
	}
	body.text("label", k.Label)
	body.text("expires_at", rfc3339(k.Expires.Time))
	return c.create(k.Stream.path(place("/keys/", k.ID, "/rotate")), body, "key", by("id"))
}

// RevokeKey is `oxbow key revoke`.
type RevokeKey struct {
	Stream streamName `arg:"" help:"PUBLISHER/STREAM."`
	ID     string     `arg:"" help:"The key's id, as list tells it."`
}

// Run revokes it.
func (k *RevokeKey) Run(c *Call) error {
	return c.act(Request{Method: http.MethodDelete, Path: k.Stream.path(place("/keys/", k.ID))},
		"key %s of %s is revoked", k.ID, k.Stream)
}
