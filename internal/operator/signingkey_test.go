package operator

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func mustPEM(tb testing.TB, key any) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func mustJSON(tb testing.TB, v any) string {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestTokensAreSignedOffline(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Repeat("s3cret-", 6)
	seed := base64.RawURLEncoding.EncodeToString(private.Seed())
	for name, c := range map[string]struct {
		file, alg, kid string
		verify         any
	}{
		"the API's answer, HS256": {file: mustJSON(t, fields{"kid": "k", "algorithm": "HS256", "secret": secret}), verify: []byte(secret)},
		"the API's answer, EdDSA": {file: mustJSON(t, fields{"kid": "k", "algorithm": "EdDSA", "private_key": mustPEM(t, private)}), verify: public},
		"a JWK, oct":              {file: mustJSON(t, fields{"kty": "oct", "kid": "k", "k": base64.RawURLEncoding.EncodeToString([]byte(secret))}), verify: []byte(secret)},
		"a JWK, OKP":              {file: mustJSON(t, fields{"kty": "OKP", "kid": "k", "alg": "EdDSA", "d": seed}), verify: public},
		"PEM":                     {file: mustPEM(t, private), kid: "k", verify: public},
		"a secret alone":          {file: secret + "\n", alg: "HS256", kid: "k", verify: []byte(secret)},
		"a seed alone":            {file: seed, alg: "EdDSA", kid: "k", verify: public},
		"another id":              {file: mustJSON(t, fields{"kid": "old", "secret": secret}), kid: "k", verify: []byte(secret)},
	} {
		key, err := readSigningKey([]byte(c.file), c.alg, c.kid)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		end := time.Now().Add(time.Hour)
		token, err := key.sign(playbackClaims{
			Publisher: "acme", Stream: "show", IP: "192.0.2.0/24", IssuedAt: time.Now(), ExpiresAt: end,
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		claims := jwt.MapClaims{}
		read, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return c.verify, nil })
		if err != nil || read.Header["kid"] != "k" || read.Header["alg"] != key.alg {
			t.Errorf("%s: %v, %v", name, read, err)
			continue
		}
		if claims["publisher"] != "acme" || claims["stream"] != "show" || claims["ip"] != "192.0.2.0/24" ||
			claims["exp"] != float64(end.Unix()) || len(claims) != 5 {
			t.Errorf("%s: %v", name, claims)
		}
	}
}

func TestKeysThatDoNotSign(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"":                                    "give --alg",
		"short":                               "give --alg",
		"{":                                   "no JSON of a key",
		`{"kid":"k","algorithm":"HS256"}`:     "only what create printed has them",
		`{"kid":"k","secret":"short"}`:        "32 bytes or more",
		`{"kid":"k","k":"c2hvcnQ"}`:           "32 bytes or more",
		`{"kid":"k","d":"c2hvcnQ"}`:           "no private key of EdDSA",
		`{"kid":"k","alg":"none","d":"AAAA"}`: "no private key of EdDSA",
		`{"kid":"k","alg":"RS256","secret":"` + strings.Repeat("x", 32) + `"}`: "algorithm is \"RS256\"",
		`{"secret":"` + strings.Repeat("x", 32) + `"}`:                         "give --kid",
		"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----":                 "no PEM of a PRIVATE KEY",
		mustPEM(t, other): "use one of Ed25519",
	} {
		if _, err := readSigningKey([]byte(file), "", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", file, err, want)
		}
	}
	if _, err := readSigningKey([]byte(strings.Repeat("x", 32)), "none", "k"); err == nil {
		t.Error("alg none is taken")
	}
}

func TestClaimsThatNoEdgeTakes(t *testing.T) {
	for _, p := range []playbackClaims{
		{Recording: "x"}, {IP: "localhost"}, {IP: "192.0.2.1/99"}, {Origin: "www.example.com"}, {Origin: "https://h/path"},
		{Origin: "ftp://h"},
	} {
		if p.check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	good := playbackClaims{IP: "2001:db8::/32", Origin: "https://www.example.com:8443"}
	if err := good.check(); err != nil {
		t.Error(err)
	}
}

func FuzzReadSigningKey(f *testing.F) {
	f.Add(`{"kid":"k","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, "", "")
	f.Add("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "EdDSA", "k")
	f.Add(strings.Repeat("x", 40), "HS256", "k")
	f.Fuzz(func(t *testing.T, text, alg, kid string) {
		key, err := readSigningKey([]byte(text), alg, kid)
		if err != nil {
			return
		}
		if _, err := key.sign(playbackClaims{Publisher: "a", ExpiresAt: time.Unix(1, 0)}); err != nil {
			t.Errorf("a key of %s that was read does not sign: %v", key.alg, err)
		}
	})
}
