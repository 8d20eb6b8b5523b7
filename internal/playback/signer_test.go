package playback

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func mustKeyPEM(tb testing.TB, key any) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func mustJSON(tb testing.TB, fields map[string]string) string {
	tb.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestKeyFilesSign(t *testing.T) {
	k := newKeyring()
	secret, pair := string(k.secret), mustKeyPEM(t, k.pair)
	seed := base64.RawURLEncoding.EncodeToString(k.pair.Seed())
	for name, c := range map[string]struct {
		kid, algorithm, file, want string // want is the kid
	}{
		"the API's answer, HS256": {file: mustJSON(t, map[string]string{"kid": "h", "algorithm": "HS256", "secret": secret}), want: "h"},
		"the API's answer, EdDSA": {file: mustJSON(t, map[string]string{"kid": "e", "algorithm": "EdDSA", "private_key": pair}), want: "e"},
		"a JWK, oct": {
			file: mustJSON(t, map[string]string{"kty": "oct", "kid": "h", "k": base64.URLEncoding.EncodeToString(k.secret)}), want: "h",
		},
		"a JWK, OKP":     {file: mustJSON(t, map[string]string{"kty": "OKP", "kid": "e", "alg": "EdDSA", "d": seed}), want: "e"},
		"PEM":            {kid: "e", file: "\n" + pair, want: "e"},
		"PEM, told":      {kid: "e", algorithm: "EdDSA", file: pair, want: "e"},
		"a secret alone": {kid: "h", algorithm: "HS256", file: secret + "\r\n", want: "h"},
		"a seed alone":   {kid: "e", algorithm: "EdDSA", file: seed + "=\n", want: "e"},
		"another id":     {kid: "h", file: mustJSON(t, map[string]string{"kid": "old", "secret": secret}), want: "h"},
	} {
		s, err := ParseSigner(c.kid, c.algorithm, []byte(c.file))
		if err != nil || s.KID() != c.want {
			t.Errorf("%s: %q %v", name, s.KID(), err)
			continue
		}
		token, err := s.Sign(Claims{Publisher: "acme", Stream: "show", IP: "192.0.2.0/24", ExpiresAt: now.Add(time.Hour)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := reasonOf(k.verifier(), token, ""); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestKeyFilesThatDoNotSign(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Repeat("x", minSecret)
	for file, want := range map[string]string{
		"":                                    "says no algorithm",
		"short":                               "says no algorithm",
		"{":                                   "no JSON of a key",
		`{"kid":"k","algorithm":"HS256"}`:     "only what making it answered has them",
		`{"kid":"k","secret":"short"}`:        "32 bytes or more",
		`{"kid":"k","k":"c2hvcnQ"}`:           "32 bytes or more",
		`{"kid":"k","k":"!"}`:                 "no base64url",
		`{"kid":"k","d":"c2hvcnQ"}`:           "no private key of EdDSA",
		`{"kid":"k","alg":"none","d":"AAAA"}`: "no private key of EdDSA",
		`{"kid":"k","alg":"RS256","secret":"` + secret + `"}`:  `algorithm is "RS256"`,
		`{"secret":"` + secret + `"}`:                          "has no id",
		`{"kid":"a/b","secret":"` + secret + `"}`:              "kid:",
		"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----": "no PEM of a PRIVATE KEY",
		"-----BEGIN PRIVATE KEY-----\n":                        "no PEM of a PRIVATE KEY",
		mustPEM(newKeyring().public()):                         "no PEM of a PRIVATE KEY",
		mustKeyPEM(t, other):                                   "use a private key of Ed25519",
		strings.Repeat("x", MaxKeyFile+1):                      "more than 16384 bytes",
	} {
		_, err := ParseSigner("", "", []byte(file))
		if !errors.Is(err, media.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", file, err, want)
		}
	}
	for algorithm, want := range map[string]string{"none": "use HS256 or EdDSA", "EdDSA": "no private key of EdDSA"} {
		if _, err := ParseSigner("k", algorithm, []byte(secret)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	if _, err := ParseSigner("k", "HS256", []byte(mustKeyPEM(t, newKeyring().pair))); err == nil ||
		!strings.Contains(err.Error(), "one of EdDSA") {
		t.Errorf("a private key is taken for a secret: %v", err)
	}
}

// FuzzParseSigner has every key that is read sign what its own public half, or the secret, verifies.
func FuzzParseSigner(f *testing.F) {
	f.Add("", "", []byte(`{"kid":"k","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
	f.Add("k", "EdDSA", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add("k", "HS256", []byte(strings.Repeat("x", 40)))
	f.Fuzz(func(t *testing.T, kid, algorithm string, file []byte) {
		s, err := ParseSigner(kid, algorithm, file)
		if err != nil {
			return
		}
		token, err := s.Sign(Claims{Publisher: "acme", ExpiresAt: now.Add(time.Minute)})
		if err != nil {
			t.Fatalf("a key that was read does not sign: %v", err)
		}
		key := media.VerifyingKey{ID: s.KID(), Algorithm: s.method.Alg()}
		switch private := s.key.(type) {
		case []byte:
			key.Key = private
		case ed25519.PrivateKey:
			key.Key = private.Public().(ed25519.PublicKey)
		}
		if got := reasonOf(NewVerifier("acme", []media.VerifyingKey{key}), token, ""); got != "" {
			t.Errorf("its token is refused: %s", got)
		}
	})
}
