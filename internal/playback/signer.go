package playback

import (
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MaxKeyFile is the most bytes of a signing key's file.
const MaxKeyFile = 16 << 10

// Errors of ParseSigner about what the file does not say and the caller may.
var (
	ErrNoKID       = fmt.Errorf("%w: the key has no id (kid)", media.ErrInvalid)
	ErrNoAlgorithm = fmt.Errorf("%w: the key says no algorithm", media.ErrInvalid)
)

// Signer signs tokens with one key.
type Signer struct {
	kid    string
	method jwt.SigningMethod
	key    any
}

// KID is the key's id.
func (s Signer) KID() string { return s.kid }

// NewSigner takes a key that the server has the secret of; media.ErrInvalid when it has not.
func NewSigner(k media.PlaybackKey) (Signer, error) {
	switch {
	case k.Algorithm == media.PlaybackHS256 && len(k.Key) >= minSecret:
		return Signer{kid: k.ID, method: jwt.SigningMethodHS256, key: k.Key}, nil
	case k.Algorithm == media.PlaybackEdDSA && len(k.Private) == ed25519.SeedSize:
		return Signer{kid: k.ID, method: jwt.SigningMethodEdDSA, key: ed25519.NewKeyFromSeed(k.Private)}, nil
	}
	return Signer{}, fmt.Errorf("%w: playback key %s has no secret here to sign with", media.ErrInvalid, k.ID)
}

// ParseSigner reads the file of a key: the API's answer to its making, a JSON Web Key (RFC 7517), a private key in PEM
// (PKCS #8), or a key alone: HS256's secret as it is, EdDSA's seed in base64url. The kid holds over that in the file;
// the algorithm is needed where the key is alone, and must else be the file's, or empty. Errors are media.ErrInvalid.
func ParseSigner(kid, algorithm string, file []byte) (Signer, error) {
	if len(file) > MaxKeyFile {
		return Signer{}, fmt.Errorf("%w: the key has more than %d bytes", media.ErrInvalid, MaxKeyFile)
	}
	text := strings.TrimSpace(string(file))
	var key media.PlaybackKey
	var err error
	switch {
	case strings.HasPrefix(text, "{"):
		key, err = parseKeyDocument(text)
	case strings.HasPrefix(text, "-----BEGIN"):
		key, err = parsePrivate(text)
	case algorithm == "":
		err = ErrNoAlgorithm
	default:
		key, err = parseKey(algorithm, text)
	}
	switch {
	case err != nil:
		return Signer{}, err
	case algorithm != "" && algorithm != key.Algorithm:
		return Signer{}, fmt.Errorf("%w: the key is one of %s, not of %.20q", media.ErrInvalid, key.Algorithm, algorithm)
	}
	if key.ID = cmp.Or(kid, key.ID); key.ID == "" {
		return Signer{}, ErrNoKID
	}
	if err := media.CheckKID(key.ID); err != nil {
		return Signer{}, err
	}
	return NewSigner(key)
}

// parseKeyDocument reads the JSON of a key, the API's or a JSON Web Key.
func parseKeyDocument(text string) (media.PlaybackKey, error) {
	var doc struct {
		KID       string `json:"kid"`
		Alg       string `json:"alg"`       // of a JSON Web Key
		Algorithm string `json:"algorithm"` // of the API
		Secret    string `json:"secret"`
		K         string `json:"k"`
		Private   string `json:"private_key"`
		D         string `json:"d"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return media.PlaybackKey{}, fmt.Errorf("%w: no JSON of a key: %w", media.ErrInvalid, err)
	}
	var key media.PlaybackKey
	var err error
	switch {
	case doc.Secret != "":
		key, err = parseKey(media.PlaybackHS256, doc.Secret)
	case doc.K != "":
		var secret []byte
		if secret, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(doc.K, "=")); err != nil {
			return key, fmt.Errorf("%w: the key's k is no base64url", media.ErrInvalid)
		}
		key, err = parseKey(media.PlaybackHS256, string(secret))
	case doc.Private != "":
		key, err = parseKey(media.PlaybackEdDSA, doc.Private)
	case doc.D != "":
		key, err = parseKey(media.PlaybackEdDSA, doc.D)
	default:
		err = fmt.Errorf("%w: it has no secret and no private key: only what making it answered has them", media.ErrInvalid)
	}
	if said := cmp.Or(doc.Alg, doc.Algorithm); err == nil && said != "" && said != key.Algorithm {
		err = fmt.Errorf("%w: it says that its algorithm is %.20q, and is a key of %s", media.ErrInvalid, said, key.Algorithm)
	}
	key.ID = doc.KID
	return key, err
}

// parseKey reads a key that is a text: a secret as it is, a private key as PEM or as its seed in base64url.
func parseKey(algorithm, text string) (media.PlaybackKey, error) {
	switch {
	case algorithm == media.PlaybackHS256 && len(text) < minSecret:
		return media.PlaybackKey{}, fmt.Errorf("%w: a secret of HS256 has %d bytes or more", media.ErrInvalid, minSecret)
	case algorithm == media.PlaybackHS256:
		return media.PlaybackKey{Algorithm: algorithm, Key: []byte(text)}, nil
	case algorithm != media.PlaybackEdDSA:
		return media.PlaybackKey{}, fmt.Errorf("%w: algorithm %.20q: use HS256 or EdDSA", media.ErrInvalid, algorithm)
	case strings.HasPrefix(text, "-----BEGIN"):
		return parsePrivate(text)
	}
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return media.PlaybackKey{}, fmt.Errorf("%w: no private key of EdDSA: use PEM, or its %d bytes in base64url",
			media.ErrInvalid, ed25519.SeedSize)
	}
	return media.PlaybackKey{Algorithm: algorithm, Private: seed}, nil
}

// parsePrivate reads an Ed25519 private key in PEM.
func parsePrivate(text string) (media.PlaybackKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "PRIVATE KEY" {
		return media.PlaybackKey{}, fmt.Errorf("%w: no PEM of a PRIVATE KEY (PKCS #8)", media.ErrInvalid)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	switch {
	case err != nil:
		return media.PlaybackKey{}, fmt.Errorf("%w: no private key (PKCS #8): %w", media.ErrInvalid, err)
	case !ok:
		return media.PlaybackKey{}, fmt.Errorf("%w: a %T: use a private key of Ed25519", media.ErrInvalid, key)
	}
	return media.PlaybackKey{Algorithm: media.PlaybackEdDSA, Private: private.Seed()}, nil
}

// Sign makes a token. Claims that no edge would take are media.ErrInvalid.
func (s Signer) Sign(c Claims) (string, error) {
	claims := c.wire()
	if _, err := claims.grant(c.Publisher); err != nil {
		return "", fmt.Errorf("sign playback token: %w: %s", media.ErrInvalid, err.Error()) // which is an ErrDenied
	}
	if c.Recording != "" {
		if _, err := media.ParseRecordingID(string(c.Recording)); err != nil {
			return "", fmt.Errorf("sign playback token: %w: its claim recording: %s", media.ErrInvalid, err.Error())
		}
	}
	t := jwt.NewWithClaims(s.method, claims)
	t.Header["kid"] = s.kid
	token, err := t.SignedString(s.key)
	if err == nil && len(token) > MaxToken {
		err = fmt.Errorf("%w: it has %d bytes, more than %d", media.ErrTooLarge, len(token), MaxToken)
	}
	if err != nil {
		return "", fmt.Errorf("sign playback token: %w", err)
	}
	return token, nil
}
