package operator

import (
	"net/http"
	"net/url"
)

// TokenCommands is `oxbow token`.
type TokenCommands struct {
	Connection `embed:""`

	List   ListTokens  `cmd:"" help:"List the API tokens; the tokens themselves are never shown again."`
	Show   ShowToken   `cmd:"" help:"Show an API token's record; without an id, that of the token in use."`
	Create CreateToken `cmd:"" help:"Make an API token; it is printed this once."`
	Revoke RevokeToken `cmd:"" help:"Revoke an API token."`
	Play   PlayToken   `cmd:"" help:"Make a playback token, which lets a viewer watch what is signed."`
}

// ListTokens is `oxbow token list`.
type ListTokens struct {
	Publisher string `name:"publisher" placeholder:"NAME" help:"Only those of this publisher."`
	Paging    `embed:""`
}

// Run lists them.
func (l *ListTokens) Run(c *Call) error {
	q := query{}
	q.text("publisher", l.Publisher)
	return c.list("/v1/tokens", url.Values(q), l.Paging, table{
		columns: []string{
			"ID=id", "LABEL=label", "PUBLISHER=publisher", "SCOPES=scopes", "EXPIRES=~expires_at", "LAST USED=~last_used_at",
			"+CREATED=created_at",
		},
		id: by("id"),
	})
}

// ShowToken is `oxbow token show`.
type ShowToken struct {
	ID string `arg:"" optional:"" help:"The token's id, as list tells it."`
}

// Run shows it.
func (s *ShowToken) Run(c *Call) error {
	if s.ID == "" {
		return c.show("/v1/token", by("id"))
	}
	return c.show(place("/v1/tokens/", s.ID), by("id"))
}

// CreateToken is `oxbow token create`.
type CreateToken struct {
	Label     string   `name:"label" placeholder:"TEXT" help:"Who has the token: for people."`
	Publisher string   `name:"publisher" placeholder:"NAME" help:"The only publisher that it is for. Default: all."`
	Scope     []string `name:"scope" required:"" placeholder:"SCOPE" help:"What it may: admin, read, write (and read), sign; may be repeated."`
	Expires   ahead    `name:"expires" placeholder:"WHEN" help:"When it stops to work: a duration from now like 720h, or a time. Default: never."`
}

// Run makes it.
func (t *CreateToken) Run(c *Call) error {
	body := fields{}
	body.text("label", t.Label)
	body.text("publisher", t.Publisher)
	body.texts("scopes", t.Scope)
	body.text("expires_at", rfc3339(t.Expires.Time))
	return c.create("/v1/tokens", body, "token", by("id"))
}

// RevokeToken is `oxbow token revoke`.
type RevokeToken struct {
	ID string `arg:"" help:"The token's id, as list tells it."`
}

// Run revokes it.
func (r *RevokeToken) Run(c *Call) error {
	return c.act(Request{Method: http.MethodDelete, Path: place("/v1/tokens/", r.ID)}, "token %s is revoked", r.ID)
}
