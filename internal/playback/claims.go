package playback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// MaxToken is the most bytes of a token.
	MaxToken = 2048
	// Skew is by how much the clock of who signs may differ from ours.
	Skew = 30 * time.Second
)

// Claims are what a token says. Only Publisher and ExpiresAt are needed; what is empty narrows nothing.
type Claims struct {
	Publisher string
	Stream    string
	Recording media.RecordingID
	ExpiresAt time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	// IP is an address or a prefix, as media.ParseViewerIP reads it.
	IP string
	// Origin is a web origin, as media.ParseOrigin reads it.
	Origin string
}

// wire is the claims in JSON. Times are in seconds of Unix, which may have fractions.
type wire struct {
	Publisher string   `json:"publisher"`
	Stream    string   `json:"stream,omitempty"`
	Recording string   `json:"recording,omitempty"`
	ExpiresAt *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf,omitempty"`
	IssuedAt  *float64 `json:"iat,omitempty"`
	IP        string   `json:"ip,omitempty"`
	Origin    string   `json:"origin,omitempty"`
}

func (c Claims) wire() *wire {
	return &wire{
		Publisher: c.Publisher, Stream: c.Stream, Recording: string(c.Recording),
		ExpiresAt: seconds(c.ExpiresAt), NotBefore: seconds(c.NotBefore), IssuedAt: seconds(c.IssuedAt),
		IP: c.IP, Origin: c.Origin,
	}
}

// seconds are whole ones: that is what every library reads.
func seconds(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := float64(t.Unix())
	return &s
}

// The rest of jwt.Claims. The library's own validation is not used: its answers could not be remembered.

// GetExpirationTime implements jwt.Claims.
func (*wire) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil } //nolint:nilnil // never asked

// GetIssuedAt implements jwt.Claims.
func (*wire) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil } //nolint:nilnil // never asked

// GetNotBefore implements jwt.Claims.
func (*wire) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil } //nolint:nilnil // never asked

// GetIssuer implements jwt.Claims.
func (*wire) GetIssuer() (string, error) { return "", nil }

// GetSubject implements jwt.Claims.
func (*wire) GetSubject() (string, error) { return "", nil }

// GetAudience implements jwt.Claims.
func (*wire) GetAudience() (jwt.ClaimStrings, error) { return nil, nil }

// UnmarshalJSON implements json.Unmarshaler. Names are taken as they are written, each once.
func (w *wire) UnmarshalJSON(text []byte) error {
	fields := map[string]any{
		"publisher": &w.Publisher, "stream": &w.Stream, "recording": &w.Recording,
		"exp": &w.ExpiresAt, "nbf": &w.NotBefore, "iat": &w.IssuedAt, "ip": &w.IP, "origin": &w.Origin,
	}
	return eachField(text, func(name string, value json.RawMessage) error {
		into, ours := fields[name]
		if !ours {
			return nil
		}
		if bytes.Equal(value, []byte("null")) {
			return fmt.Errorf("%w: %s is null", media.ErrInvalid, name)
		}
		return json.Unmarshal(value, into)
	})
}

// eachField reads a JSON object, no name of which is there twice.
func eachField(text []byte, field func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	first, err := d.Token()
	if err != nil || first != json.Delim('{') {
		return errors.Join(fmt.Errorf("%w: no JSON object", media.ErrInvalid), err)
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if seen[name] {
			return fmt.Errorf("%w: %.40q is there twice", media.ErrInvalid, name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := field(name, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more behind the object", media.ErrInvalid)
	}
	return nil
}

// grant checks the claims' form.
func (w *wire) grant(publisher string) (Grant, error) {
	g := Grant{stream: w.Stream, recording: media.RecordingID(w.Recording)}
	switch {
	case w.Publisher == "":
		return g, refuse(ReasonMalformed, "the playback token has no claim publisher")
	case w.Publisher != publisher:
		return g, refuse(ReasonPublisher, "the playback token is for another publisher")
	case w.ExpiresAt == nil:
		return g, refuse(ReasonMalformed, "the playback token has no claim exp: every token must end")
	}
	for _, moment := range []struct {
		name    string
		seconds *float64
		into    *time.Time
	}{{"exp", w.ExpiresAt, &g.expires}, {"nbf", w.NotBefore, &g.from}, {"iat", w.IssuedAt, &g.issued}} {
		if moment.seconds == nil {
			continue
		}
		const most = 1 << 37 // some four thousand years; milliseconds, given by mistake, are past it
		if *moment.seconds < 0 || *moment.seconds > most {
			return g, refuse(ReasonMalformed, "the playback token's claim "+moment.name+" is no time in seconds since 1970")
		}
		*moment.into = time.UnixMilli(int64(*moment.seconds * 1000))
	}
	if g.issued.After(g.from) {
		g.from = g.issued
	}
	var err error
	if w.IP != "" {
		if g.ip, err = media.ParseViewerIP(w.IP); err != nil {
			return g, refuse(ReasonMalformed, "the playback token's claim ip is neither an address nor a prefix")
		}
	}
	if w.Origin != "" {
		if g.origin, err = media.ParseOrigin(w.Origin); err != nil {
			return g, refuse(ReasonMalformed, "the playback token's claim origin is no origin like https://www.example.com")
		}
	}
	return g, nil
}

// Request is what a viewer asks for, and from where.
type Request struct {
	Stream    string
	Recording string // empty for the stream's own URL
	// Client gives the viewer's address, Origin the web origin of the page that asks; they are called only when a grant
	// asks, and give their zero values for what is not known.
	Client func() netip.Addr
	Origin func() string
}

// Grant is what a good token allows. It is never modified.
type Grant struct {
	stream     string
	recording  media.RecordingID
	from       time.Time // the later of nbf and iat
	issued     time.Time
	expires    time.Time
	keyExpires time.Time // zero: never
	ip         netip.Prefix
	origin     string
}

// ByOrigin says that what it allows depends on the page that asks.
func (g *Grant) ByOrigin() bool { return g.origin != "" }

// Admit is nil when the grant covers the request, else a *RefusalError.
func (g *Grant) Admit(r Request, now time.Time) error {
	switch {
	case !now.Before(g.expires.Add(Skew)):
		return refuse(ReasonExpired, "the playback token has expired: get a new one")
	case !g.keyExpires.IsZero() && !now.Before(g.keyExpires):
		return refuse(ReasonKey, "the key of the playback token has expired")
	case now.Before(g.from.Add(-Skew)):
		return refuse(ReasonNotYet, "the playback token is not valid yet: see its nbf and iat, and its signer's clock")
	case g.stream != "" && g.stream != r.Stream:
		return refuse(ReasonStream, "the playback token is for another stream")
	case g.recording != "" && r.Recording == "":
		return refuse(ReasonRecording, "the playback token is for one recording: open that, not its stream")
	case g.recording != "" && string(g.recording) != r.Recording:
		return refuse(ReasonRecording, "the playback token is for another recording")
	}
	if g.ip.IsValid() {
		if addr := r.Client(); !addr.IsValid() || !g.ip.Contains(addr.Unmap().WithZone("")) {
			return refuse(ReasonIP, "the playback token is for another address")
		}
	}
	if g.origin != "" && r.Origin() != g.origin {
		return refuse(ReasonOrigin, "the playback token is for pages of another origin")
	}
	return nil
}
