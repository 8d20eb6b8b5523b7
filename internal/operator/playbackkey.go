package operator

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/oxbow-video/oxbow/internal/playback"
)

// PlaybackKeyCommands is `oxbow playback-key`.
type PlaybackKeyCommands struct {
	Connection `embed:""`

	List   ListPlaybackKeys  `cmd:"" help:"List a publisher's keys for playback tokens."`
	Show   ShowPlaybackKey   `cmd:"" help:"Show a key, without what is secret of it."`
	Create CreatePlaybackKey `cmd:"" help:"Make a key, or tell the server a public one; a secret is printed this once."`
	Revoke RevokePlaybackKey `cmd:"" help:"Revoke a key: the tokens that it signed end within seconds."`
}

// ListPlaybackKeys is `oxbow playback-key list`.
type ListPlaybackKeys struct {
	Publisher string `arg:"" help:"Whose keys."`
	Paging    `embed:""`
}

// Run lists them.
func (l *ListPlaybackKeys) Run(c *Call) error {
	return c.list(place("/v1/publishers/", l.Publisher, "/playback-keys"), nil, l.Paging, table{
		columns: []string{
			"KID=kid", "ALG=algorithm", "LABEL=label", "CREATED=~created_at", "EXPIRES=~expires_at", "SIGNS HERE=signs",
		},
		id: by("kid"), whole: true,
	})
}

// ShowPlaybackKey is `oxbow playback-key show`.
type ShowPlaybackKey struct {
	Publisher string `arg:"" help:"Whose key."`
	KID       string `arg:"" help:"Its id."`
}

// Run shows it.
func (s *ShowPlaybackKey) Run(c *Call) error {
	return c.show(place("/v1/publishers/", s.Publisher, "/playback-keys/", s.KID), by("kid"))
}

// CreatePlaybackKey is `oxbow playback-key create`.
type CreatePlaybackKey struct {
	Publisher string `arg:"" help:"Whose key."`
	KID       string `name:"kid" placeholder:"ID" help:"Its id. Default: the server makes one."`
	Alg       string `name:"alg" placeholder:"ALG" help:"HS256 or EdDSA. Default: HS256, with --public-key EdDSA."`
	PublicKey string `name:"public-key" placeholder:"FILE" help:"EdDSA: the public key, as PEM or the x of its JWK, of a pair whose private key only you have; - is stdin."`
	Label     string `name:"label" placeholder:"TEXT" help:"Who has the key: for people."`
	Expires   ahead  `name:"expires" placeholder:"WHEN" help:"When its tokens end: a duration from now like 720h, or a time. Default: never."`
}

// Run makes it.
func (k *CreatePlaybackKey) Run(c *Call) error {
	body := fields{}
	body.text("algorithm", k.Alg)
	body.text("kid", k.KID)
	body.text("label", k.Label)
	body.text("expires_at", rfc3339(k.Expires.Time))
	if k.PublicKey != "" {
		text, err := c.process.readFile(k.PublicKey, playback.MaxKeyFile)
		if err != nil {
			return fmt.Errorf("--public-key: %w", err)
		}
		body["public_key"] = strings.TrimSpace(string(text))
	}
	secret := "secret"
	if k.Alg == "EdDSA" {
		secret = "private_key"
	}
	return c.create(place("/v1/publishers/", k.Publisher, "/playback-keys"), body, secret, by("kid"))
}

// RevokePlaybackKey is `oxbow playback-key revoke`.
type RevokePlaybackKey struct {
	Publisher string `arg:"" help:"Whose key."`
	KID       string `arg:"" help:"Its id."`
}

// Run revokes it.
func (r *RevokePlaybackKey) Run(c *Call) error {
	return c.act(Request{
		Method: http.MethodDelete, Path: place("/v1/publishers/", r.Publisher, "/playback-keys/", r.KID),
	}, "playback key %s of %s is revoked", r.KID, r.Publisher)
}
