package operator

import (
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxKeyFile bounds a signing key's file, in bytes.
const maxKeyFile = 16 << 10

// minSecret is the least secret of HS256, in bytes (RFC 7518, 3.2).
const minSecret = 32

// signingKey signs playback tokens.
type signingKey struct {
	id  string // the kid
	alg string // HS256 or EdDSA
	key any    // []byte or ed25519.PrivateKey
}

// readSigningKey reads a key's file: the API's answer or a JWK (RFC 7517), a PEM private key (PKCS #8), or a secret.
func readSigningKey(text []byte, alg, kid string) (signingKey, error) {
	trimmed := strings.TrimSpace(string(text))
	var key signingKey
	var err error
	switch {
	case strings.HasPrefix(trimmed, "{"):
		key, err = readKeyDocument([]byte(trimmed))
	case strings.HasPrefix(trimmed, "-----BEGIN"):
		key, err = readPEM([]byte(trimmed))
	case alg == "":
		err = errors.New("it says no algorithm: give --alg HS256 or EdDSA")
	default:
		key, err = newSigningKey(alg, trimmed)
	}
	switch {
	case err != nil:
		return signingKey{}, err
	case alg != "" && alg != key.alg:
		return signingKey{}, fmt.Errorf("it is a key of %s: leave --alg out", key.alg)
	case kid != "":
		key.id = kid
	}
	if key.id == "" {
		return signingKey{}, errors.New("it has no id: give --kid, as `oxbow playback-key list` tells it")
	}
	return key, nil
}

func readKeyDocument(text []byte) (signingKey, error) {
	var doc struct {
		KID     string `json:"kid"`
		Alg     string `json:"alg"`       // of a JWK
		Algo    string `json:"algorithm"` // of the API
		Secret  string `json:"secret"`
		K       string `json:"k"`
		Private string `json:"private_key"`
		D       string `json:"d"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return signingKey{}, fmt.Errorf("it is no JSON of a key: %w", err)
	}
	var key signingKey
	var err error
	switch {
	case doc.Secret != "":
		key, err = newSigningKey("HS256", doc.Secret)
	case doc.K != "":
		var secret []byte
		secret, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(doc.K, "="))
		key = signingKey{alg: "HS256", key: secret}
		if err == nil && len(secret) < minSecret {
			err = errShortSecret
		}
	case doc.Private != "":
		key, err = newSigningKey("EdDSA", doc.Private)
	case doc.D != "":
		key, err = newSigningKey("EdDSA", doc.D)
	default:
		err = errors.New("it has no secret and no private key: only what create printed has them")
	}
	if said := cmp.Or(doc.Alg, doc.Algo); err == nil && said != "" && said != key.alg {
		err = fmt.Errorf("it says that its algorithm is %.20q, and it is a key of %s", said, key.alg)
	}
	key.id = doc.KID
	return key, err
}

var errShortSecret = fmt.Errorf("a secret of HS256 has %d bytes or more", minSecret)

// newSigningKey reads a key that is a text: a secret as it is, a private key as PEM or as its seed in base64url.
func newSigningKey(alg, text string) (signingKey, error) {
	switch {
	case alg == "HS256":
		if len(text) < minSecret {
			return signingKey{}, errShortSecret
		}
		return signingKey{alg: alg, key: []byte(text)}, nil
	case alg != "EdDSA":
		return signingKey{}, fmt.Errorf("algorithm %.20q: use HS256 or EdDSA", alg)
	case strings.HasPrefix(text, "-----BEGIN"):
		return readPEM([]byte(text))
	}
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return signingKey{}, errors.New("it is no private key of EdDSA: use PEM, or its 32 bytes in base64url")
	}
	return signingKey{alg: alg, key: ed25519.NewKeyFromSeed(seed)}, nil
}

func readPEM(text []byte) (signingKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return signingKey{}, errors.New("it is no PEM of a PRIVATE KEY (PKCS #8)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return signingKey{}, fmt.Errorf("it is no private key: %w", err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return signingKey{}, fmt.Errorf("it is a %T: use one of Ed25519", parsed)
	}
	return signingKey{alg: "EdDSA", key: private}, nil
}

// playbackClaims is what a playback token says.
type playbackClaims struct {
	Publisher, Stream, Recording, IP, Origin string
	IssuedAt, NotBefore, ExpiresAt           time.Time
}

// check finds what no edge would take.
func (p playbackClaims) check() error {
	if p.Recording != "" {
		if _, err := media.ParseRecordingID(p.Recording); err != nil {
			return fmt.Errorf("--recording: %w", err)
		}
	}
	if p.IP != "" {
		_, err := netip.ParseAddr(p.IP)
		if _, prefix := netip.ParsePrefix(p.IP); err != nil && prefix != nil {
			return fmt.Errorf("--ip %.60q: use an address or a prefix like 192.0.2.0/24", p.IP)
		}
	}
	if p.Origin != "" {
		u, err := url.Parse(p.Origin)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != p.Origin {
			return fmt.Errorf("--origin %.100q: write it like https://www.example.com", p.Origin)
		}
	}
	return nil
}

// sign makes the token (RFC 7519). Times are whole seconds, which every library reads.
func (k signingKey) sign(p playbackClaims) (string, error) {
	claims := jwt.MapClaims{"publisher": p.Publisher, "iat": p.IssuedAt.Unix(), "exp": p.ExpiresAt.Unix()}
	for name, value := range map[string]string{
		"stream": p.Stream, "recording": p.Recording, "ip": p.IP, "origin": p.Origin,
	} {
		if value != "" {
			claims[name] = value
		}
	}
	if !p.NotBefore.IsZero() {
		claims["nbf"] = p.NotBefore.Unix()
	}
	var method jwt.SigningMethod = jwt.SigningMethodHS256
	if k.alg == "EdDSA" {
		method = jwt.SigningMethodEdDSA
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = k.id
	return token.SignedString(k.key)
}
