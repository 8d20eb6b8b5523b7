package media

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// EventPlayback says that a publisher's playback keys, or who may watch what of it, changed. It names the publisher.
const EventPlayback = "playback.changed"

// The algorithms of playback keys, as JSON Web Signatures name them (RFC 7518, RFC 8037).
const (
	PlaybackHS256 = "HS256"
	PlaybackEdDSA = "EdDSA" // Ed25519
)

// PlaybackKey is a key that playback tokens of a publisher are signed with.
type PlaybackKey struct {
	Publisher string
	// ID is the kid of its tokens, unique among the publisher's keys.
	ID        string
	Algorithm string
	// Key is what a token is verified with: the secret itself with HS256, the 32 bytes of the public key with EdDSA.
	Key []byte
	// Private is the seed of an EdDSA key that the server made; empty when only its owner has it. Edges never see it.
	Private   []byte
	Label     string
	CreatedAt time.Time
	// ExpiresAt is when its tokens stop to be good, however long they say; zero is never.
	ExpiresAt time.Time
}

// Signs says whether the server can sign with the key.
func (k PlaybackKey) Signs() bool { return k.Algorithm == PlaybackHS256 || len(k.Private) > 0 }

// maxKID bounds a key's id.
const maxKID = 64

// CheckKID says whether a playback key may have the id, and if not, why.
func CheckKID(kid string) error {
	// Of dots alone it would lead elsewhere in the path of a URL.
	ok := strings.Trim(kid, ".") != "" && len(kid) <= maxKID
	for _, c := range []byte(kid) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return &FieldError{Field: "kid", Want: fmt.Sprintf("%.80q: use 1 to %d of a-z A-Z 0-9 . _ -, and not dots alone",
			kid, maxKID)}
	}
	return nil
}

// PlaybackPolicies is what an edge needs to know to let viewers in: everything about publishers of which anything is
// signed. Whoever is not in it is public.
type PlaybackPolicies struct {
	// Version counts the changes of the catalog that this is of.
	Version int64 `json:"version"`
	// Remembered says that the catalog did not answer, and this is what it said last.
	Remembered bool                               `json:"remembered,omitempty"`
	Publishers map[string]PublisherPlaybackPolicy `json:"publishers"`
	// Born is when the catalog was made; zero is not known. Public has the other publishers, and only of a catalog that
	// was made of late: who was signed in the one before it, and is in neither, was lost with it and not made public.
	Born   time.Time `json:"catalog_born,omitzero"`
	Public []string  `json:"public,omitempty"`
}

// PublisherPlaybackPolicy is one publisher's part of PlaybackPolicies.
type PublisherPlaybackPolicy struct {
	Playback string            `json:"playback"`
	Streams  map[string]string `json:"streams,omitempty"` // those that differ
	Keys     []VerifyingKey    `json:"keys,omitempty"`
}

// VerifyingKey is what of a PlaybackKey edges know.
type VerifyingKey struct {
	ID        string    `json:"kid"`
	Algorithm string    `json:"alg"`
	Key       []byte    `json:"key"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// ParseViewerIP reads where a viewer may be: an address, or a prefix like 192.0.2.0/24. IPv4 within IPv6 is IPv4.
func ParseViewerIP(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(text); err == nil {
			err = fmt.Errorf("%w: zone", ErrInvalid)
			if addr.Zone() == "" {
				prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
			}
		}
	}
	const mapped = 96 // bits before the IPv4 address
	if err == nil && prefix.Addr().Is4In6() {
		if prefix.Bits() < mapped {
			err = ErrInvalid
		} else {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
		}
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: %.80q is neither an address nor a prefix like 192.0.2.0/24 or 2001:db8::/32",
			ErrInvalid, text)
	}
	return prefix.Masked(), nil
}

// maxOrigin bounds a web origin, in bytes.
const maxOrigin = 300

// ParseOrigin reads a web origin (RFC 6454), scheme://host[:port], and gives its one spelling: in lower case, without
// the scheme's own port.
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxOrigin || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" ||
		strings.HasSuffix(u.Host, ":") || strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) ||
		strings.ContainsAny(text, "%#\\*,;'\"()<>!$&+=|^`{}~ ") {
		return "", fmt.Errorf("%w: %.80q is no origin: write it like https://www.example.com or http://host:8080",
			ErrInvalid, text)
	}
	host := strings.ToLower(u.Host)
	if usual := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; strings.HasSuffix(host, usual) {
		host = strings.TrimSuffix(host, usual)
	}
	return u.Scheme + "://" + host, nil
}
