package playback

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// minSecret is the least bytes of a secret: as many as its hash has (RFC 7518, section 3.2).
const minSecret = 32

// maxKeyText bounds the text of a key, in bytes.
const maxKeyText = 1024

// NewSecret makes a secret for HS256: 256 random bits, as 43 characters. Its bytes are the key as they are: nothing of
// it is decoded.
func NewSecret() []byte {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // never fails: crypto/rand ends the program instead
	return []byte(base64.RawURLEncoding.EncodeToString(bits[:]))
}

// NewPair makes an Ed25519 key: what verifies, and the seed that signs.
func NewPair() (public, seed []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	return pub, priv.Seed(), nil
}

// PrivatePEM writes an Ed25519 key's seed as PKCS #8 in PEM, which every tool reads.
func PrivatePEM(seed []byte) (string, error) {
	if len(seed) != ed25519.SeedSize {
		return "", fmt.Errorf("%w: a seed of %d bytes", media.ErrInvalid, len(seed))
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return "", fmt.Errorf("write private key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// PublicPEM writes an Ed25519 public key in PEM.
func PublicPEM(public []byte) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(public))
	if err != nil {
		return "", fmt.Errorf("write public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// ParsePublic reads an Ed25519 public key: PEM, or the x of a JSON Web Key (RFC 8037), which is the 32 bytes in
// base64url.
func ParsePublic(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	want := func(why string) error {
		return &media.FieldError{Field: "public_key", Want: why +
			": give an Ed25519 public key as PEM (openssl pkey -pubout), or the x of its JSON Web Key"}
	}
	if len(text) > maxKeyText {
		return nil, want("it is too long")
	}
	if !strings.HasPrefix(text, "-----BEGIN") {
		key, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, want("it is neither PEM nor 32 bytes in base64url")
		}
		return key, nil
	}
	block, _ := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, want("it is no whole PEM")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, want("it is a private key, which should stay with its owner")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if public, ok := key.(ed25519.PublicKey); err == nil && ok {
		return public, nil
	}
	return nil, want("it is a key of another kind")
}
