package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// maxToken bounds what is shown of a playback token, and of a URL with one, in bytes.
const maxToken = 8192

// PlayToken is `oxbow token play`.
type PlayToken struct {
	Scope     scopeName `arg:"" name:"publisher[/stream]" help:"What may be watched: one stream, or all of a publisher."`
	Expires   ahead     `name:"expires" required:"" placeholder:"WHEN" help:"When it ends: a duration from now like 2h, or a time."`
	NotBefore ahead     `name:"not-before" placeholder:"WHEN" help:"When it begins: likewise. Default: now."`
	Recording string    `name:"recording" placeholder:"ID" help:"Only this recording."`
	IP        string    `name:"ip" placeholder:"ADDRESS" help:"Only viewers at this address or prefix, like 192.0.2.7 or 2001:db8::/32."`
	Origin    string    `name:"origin" placeholder:"ORIGIN" help:"Only pages of this origin, like https://www.example.com."`
	KID       string    `name:"kid" placeholder:"ID" help:"Sign with this playback key. Default: the server chooses."`
	KeyFile   string    `name:"key-file" placeholder:"FILE" help:"Sign here, without the API: a file with what playback-key create --json printed, a JWK, a PEM private key (EdDSA), or the secret itself (HS256, needs --alg); - is stdin."`
	Alg       string    `name:"alg" placeholder:"ALG" help:"HS256 or EdDSA, where --key-file does not say it."`
}

// Run makes it, and prints it alone in its line: that is what goes into a URL.
func (p *PlayToken) Run(c *Call) error {
	if !p.NotBefore.IsZero() && !p.NotBefore.Before(p.Expires.Time) {
		return usage("--not-before must be earlier than --expires")
	}
	left := time.Until(p.Expires.Time).Round(time.Second)
	switch {
	case left <= 0:
		return usage("--expires: it must be in the future")
	case p.KeyFile != "":
		return p.sign(c)
	case p.Alg != "":
		return usage("--alg goes with --key-file")
	}
	body := fields{"expires_in": left.String()}
	body.text("stream", p.Scope.Stream)
	body.text("recording", p.Recording)
	body.text("not_before", rfc3339(p.NotBefore.Time))
	body.text("ip", p.IP)
	body.text("origin", p.Origin)
	body.text("kid", p.KID)
	answer, err := c.do(Request{
		Method: http.MethodPost, Path: place("/v1/publishers/", p.Scope.Publisher, "/playback-tokens"), Body: body,
	})
	if err != nil {
		return err
	}
	return c.print(answer, by("token"), func(out io.Writer, o object) error {
		if url := o.text("url"); url != "" {
			c.note("Players open %s", clean(url, maxToken))
		}
		_, err := fmt.Fprintln(out, clean(o.text("token"), maxToken))
		return err
	})
}

// sign makes the token with the key in the file.
func (p *PlayToken) sign(c *Call) error {
	text, err := c.process.readFile(p.KeyFile, playback.MaxKeyFile)
	if err != nil {
		return fmt.Errorf("--key-file: %w", err)
	}
	signer, err := playback.ParseSigner(p.KID, p.Alg, text)
	switch {
	case errors.Is(err, playback.ErrNoKID):
		return usage("--key-file %s: %w: give --kid, as `oxbow playback-key list` tells it", p.KeyFile, err)
	case errors.Is(err, playback.ErrNoAlgorithm):
		return usage("--key-file %s: %w: give --alg HS256 or --alg EdDSA", p.KeyFile, err)
	case err != nil:
		return usage("--key-file %s: %w", p.KeyFile, err)
	}
	// Edges know times to the second.
	claims := playback.Claims{
		Publisher: p.Scope.Publisher, Stream: p.Scope.Stream, Recording: media.RecordingID(p.Recording), IP: p.IP,
		Origin: p.Origin, IssuedAt: time.Now(), NotBefore: p.NotBefore.Time, ExpiresAt: p.Expires.Truncate(time.Second),
	}
	token, err := signer.Sign(claims)
	if err != nil {
		return UsageError{err}
	}
	if !c.JSON {
		_, err = fmt.Fprintln(c.process.Stdout, token)
		return err
	}
	return json.NewEncoder(c.process.Stdout).Encode(map[string]any{
		"token": token, "kid": signer.KID(), "expires_at": rfc3339(claims.ExpiresAt),
	})
}
