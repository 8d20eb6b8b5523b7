package playback

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Verifier checks the tokens of one publisher. It is never modified.
type Verifier struct {
	publisher string
	keys      map[string]verifyingKey
	parser    *jwt.Parser
}

type verifyingKey struct {
	algorithm string
	key       any // []byte or ed25519.PublicKey, as the algorithm's method takes it
	expires   time.Time
}

// NewVerifier takes a publisher's keys. One that is none is left out: it verifies nothing.
func NewVerifier(publisher string, keys []media.VerifyingKey) *Verifier {
	v := &Verifier{
		publisher: publisher, keys: make(map[string]verifyingKey, len(keys)),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{media.PlaybackHS256, media.PlaybackEdDSA}),
			jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding()),
	}
	for _, k := range keys {
		own := verifyingKey{algorithm: k.Algorithm, expires: k.ExpiresAt}
		switch {
		case k.Algorithm == media.PlaybackHS256 && len(k.Key) >= minSecret:
			own.key = k.Key
		case k.Algorithm == media.PlaybackEdDSA && len(k.Key) == ed25519.PublicKeySize:
			own.key = ed25519.PublicKey(k.Key)
		default:
			continue
		}
		v.keys[k.ID] = own
	}
	return v
}

// Verify checks a token but for the time and what is asked for: that is Grant.Admit's. Errors are *RefusalError.
func (v *Verifier) Verify(token string) (*Grant, error) {
	if len(token) > MaxToken {
		return nil, refuse(ReasonTooLong, "the playback token is longer than 2048 bytes")
	}
	head, err := v.header(token)
	if err != nil {
		return nil, err
	}
	key, ok := v.keys[head.kid]
	switch {
	case !ok:
		return nil, refuse(ReasonKey, "the playback token's kid is no key of the publisher, or was revoked")
	case head.alg != key.algorithm:
		return nil, refuse(ReasonAlgorithm, "the playback token's alg is not that of its key")
	}
	var claims wire
	_, err = v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if t.Method.Alg() != key.algorithm { // the library read the same header, and must have come to the same
			return nil, jwt.ErrTokenUnverifiable
		}
		return key.key, nil
	})
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, refuse(ReasonSignature, "the playback token is not signed with the key that its kid names")
	default:
		return nil, malformed()
	}
	grant, err := claims.grant(v.publisher)
	if err != nil {
		return nil, err
	}
	grant.keyExpires = key.expires
	return &grant, nil
}

func malformed() *RefusalError {
	return refuse(ReasonMalformed, "the playback token is no JSON Web Token, or a claim of it has the wrong form")
}

// header is what matters of a token's first part.
type header struct{ alg, kid string }

// header reads the first part of a token, more strictly than the library does.
func (v *Verifier) header(token string) (header, error) {
	first, rest, ok := strings.Cut(token, ".")
	if !ok || strings.Count(rest, ".") != 1 {
		return header{}, malformed()
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return header{}, malformed()
	}
	var h header
	critical := false
	err = eachField(text, func(name string, value json.RawMessage) error {
		switch name {
		case "alg":
			return json.Unmarshal(value, &h.alg)
		case "kid":
			return json.Unmarshal(value, &h.kid)
		case "crit": // RFC 7515, section 4.1.11: what we do not understand, which is all, is refused
			critical = true
		}
		return nil
	})
	switch {
	case err != nil:
		return h, malformed()
	case critical:
		return h, refuse(ReasonCritical, "the playback token has a header parameter crit: none is understood")
	case h.alg != media.PlaybackHS256 && h.alg != media.PlaybackEdDSA:
		return h, refuse(ReasonAlgorithm, "the playback token's alg is neither HS256 nor EdDSA")
	case h.kid == "":
		return h, refuse(ReasonKey, "the playback token has no kid: its header must name the key")
	}
	return h, nil
}
