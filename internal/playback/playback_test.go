package playback

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	recordingA = "01kabcdefghjkmnpqrstvwxyz0"
	recordingB = "01kabcdefghjkmnpqrstvwxyz1"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// keyring is a publisher's keys, with what signs.
type keyring struct {
	secret []byte
	pair   ed25519.PrivateKey
}

func newKeyring() keyring {
	return keyring{
		secret: []byte(strings.Repeat("s", 43)), pair: ed25519.NewKeyFromSeed([]byte(strings.Repeat("e", ed25519.SeedSize))),
	}
}

func (k keyring) public() []byte { return k.pair.Public().(ed25519.PublicKey) }

func (k keyring) verifier() *Verifier {
	return NewVerifier("acme", []media.VerifyingKey{
		{ID: "h", Algorithm: media.PlaybackHS256, Key: k.secret},
		{ID: "e", Algorithm: media.PlaybackEdDSA, Key: k.public()},
		{ID: "old", Algorithm: media.PlaybackHS256, Key: k.secret, ExpiresAt: now.Add(-time.Second)},
		{ID: "weak", Algorithm: media.PlaybackHS256, Key: []byte("short")},
		{ID: "odd", Algorithm: "RS256", Key: k.secret},
	})
}

// raw writes a token by hand, with whatever header.
func raw(header, claims string, sign func(text string) []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
}

func hs256(secret []byte) func(string) []byte {
	return func(text string) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
}

func (k keyring) eddsa(text string) []byte { return ed25519.Sign(k.pair, []byte(text)) }

func unsigned(string) []byte { return nil }

// claims gives those of a good token with changes over them; nil takes one away.
func claims(changes map[string]any) string {
	all := map[string]any{"publisher": "acme", "exp": now.Add(time.Hour).Unix()}
	for name, value := range changes {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

const (
	hmacHeader = `{"alg":"HS256","typ":"JWT","kid":"h"}`
	pairHeader = `{"alg":"EdDSA","kid":"e"}`
)

// tokens are the table of what is let in and what is not: to stream show, at noon, from 192.0.2.7.
func tokens(k keyring) map[string]struct{ token, recording, want string } {
	type row = struct{ token, recording, want string }
	good := func(changes map[string]any) string { return raw(hmacHeader, claims(changes), hs256(k.secret)) }
	at := func(name string, d time.Duration) string { return good(map[string]any{name: now.Add(d).Unix()}) }
	return map[string]row{
		"HS256":                     {good(nil), "", ""},
		"EdDSA":                     {raw(pairHeader, claims(nil), k.eddsa), "", ""},
		"unknown claims":            {good(map[string]any{"sub": "you", "Stream": "other"}), "", ""},
		"another secret":            {raw(hmacHeader, claims(nil), hs256([]byte(strings.Repeat("x", 43)))), "", ReasonSignature},
		"changed afterwards":        {swapClaims(good(nil), claims(map[string]any{"sub": "me"})), "", ReasonSignature},
		"alg none":                  {raw(`{"alg":"none","kid":"h"}`, claims(nil), unsigned), "", ReasonAlgorithm},
		"alg None":                  {raw(`{"alg":"None","kid":"h"}`, claims(nil), unsigned), "", ReasonAlgorithm},
		"no alg":                    {raw(`{"kid":"h"}`, claims(nil), unsigned), "", ReasonAlgorithm},
		"no signature":              {raw(hmacHeader, claims(nil), unsigned), "", ReasonSignature},
		"HS256 with the public key": {raw(`{"alg":"HS256","kid":"e"}`, claims(nil), hs256(k.public())), "", ReasonAlgorithm},
		"HS256 with its PEM": {
			raw(`{"alg":"HS256","kid":"e"}`, claims(nil), hs256([]byte(mustPEM(k.public())))), "", ReasonAlgorithm,
		},
		"EdDSA of the HS256 key": {raw(`{"alg":"EdDSA","kid":"h"}`, claims(nil), k.eddsa), "", ReasonAlgorithm},
		"HS512":                  {raw(`{"alg":"HS512","kid":"h"}`, claims(nil), hs256(k.secret)), "", ReasonAlgorithm},
		"a key of another alg":   {raw(`{"alg":"RS256","kid":"odd"}`, claims(nil), hs256(k.secret)), "", ReasonAlgorithm},
		"a weak key": {
			raw(`{"alg":"HS256","kid":"weak"}`, claims(nil), hs256([]byte("short"))), "", ReasonKey,
		},
		"no kid":          {raw(`{"alg":"HS256"}`, claims(nil), hs256(k.secret)), "", ReasonKey},
		"unknown kid":     {raw(`{"alg":"HS256","kid":"x"}`, claims(nil), hs256(k.secret)), "", ReasonKey},
		"kid is a number": {raw(`{"alg":"HS256","kid":1}`, claims(nil), hs256(k.secret)), "", ReasonMalformed},
		"kid twice": {
			raw(`{"alg":"HS256","kid":"x","kid":"h"}`, claims(nil), hs256(k.secret)), "", ReasonMalformed,
		},
		"expired key": {raw(`{"alg":"HS256","kid":"old"}`, claims(nil), hs256(k.secret)), "", ReasonKey},
		"crit": {
			raw(`{"alg":"HS256","kid":"h","crit":["b64"],"b64":false}`, claims(nil), hs256(k.secret)), "", ReasonCritical,
		},
		"empty crit": {raw(`{"alg":"HS256","kid":"h","crit":[]}`, claims(nil), hs256(k.secret)), "", ReasonCritical},
		"too long":   {good(map[string]any{"sub": strings.Repeat("x", MaxToken)}), "", ReasonTooLong},
		"two parts":  {"a.b", "", ReasonMalformed},
		"four parts": {good(nil) + ".x", "", ReasonMalformed},
		"no base64":  {"!." + good(nil), "", ReasonMalformed},
		"padded":     {good(nil) + "=", "", ReasonMalformed},
		"no JSON":    {raw(hmacHeader, "acme", hs256(k.secret)), "", ReasonMalformed},
		"claim twice": {
			raw(hmacHeader, `{"publisher":"acme","publisher":"acme","exp":9999999999}`, hs256(k.secret)), "", ReasonMalformed,
		},
		"trailing JSON": {raw(hmacHeader, claims(nil)+"{}", hs256(k.secret)), "", ReasonMalformed},
		"null stream": {
			raw(hmacHeader, `{"publisher":"acme","exp":9999999999,"stream":null}`, hs256(k.secret)), "", ReasonMalformed,
		},
		"stream list":       {good(map[string]any{"stream": []string{"show"}}), "", ReasonMalformed},
		"no publisher":      {good(map[string]any{"publisher": nil}), "", ReasonMalformed},
		"other publisher":   {good(map[string]any{"publisher": "beta"}), "", ReasonPublisher},
		"no exp":            {good(map[string]any{"exp": nil}), "", ReasonMalformed},
		"exp as text":       {good(map[string]any{"exp": "9999999999"}), "", ReasonMalformed},
		"exp in ms":         {good(map[string]any{"exp": now.UnixMilli()}), "", ReasonMalformed},
		"exp below zero":    {good(map[string]any{"exp": -1}), "", ReasonMalformed},
		"expired":           {at("exp", -31*time.Second), "", ReasonExpired},
		"expired just now":  {at("exp", -30*time.Second), "", ReasonExpired},
		"within the skew":   {at("exp", -29*time.Second), "", ""},
		"not yet":           {at("nbf", 31*time.Second), "", ReasonNotYet},
		"nbf in the skew":   {at("nbf", 30*time.Second), "", ""},
		"made in future":    {at("iat", 31*time.Second), "", ReasonNotYet},
		"iat in the skew":   {at("iat", 30*time.Second), "", ""},
		"this stream":       {good(map[string]any{"stream": "show"}), "", ""},
		"its recording":     {good(map[string]any{"stream": "show"}), recordingA, ""},
		"other stream":      {good(map[string]any{"stream": "shows"}), "", ReasonStream},
		"this recording":    {good(map[string]any{"recording": recordingA}), recordingA, ""},
		"other recording":   {good(map[string]any{"recording": recordingB}), recordingA, ReasonRecording},
		"recording, stream": {good(map[string]any{"recording": recordingA}), "", ReasonRecording},
		"this address":      {good(map[string]any{"ip": "192.0.2.7"}), "", ""},
		"this prefix":       {good(map[string]any{"ip": "192.0.2.9/24"}), "", ""},
		"mapped address":    {good(map[string]any{"ip": "::ffff:192.0.2.7"}), "", ""},
		"mapped prefix":     {good(map[string]any{"ip": "::ffff:192.0.2.0/120"}), "", ""},
		"other address":     {good(map[string]any{"ip": "192.0.2.8"}), "", ReasonIP},
		"other family":      {good(map[string]any{"ip": "::/0"}), "", ReasonIP},
		"no address":        {good(map[string]any{"ip": "here"}), "", ReasonMalformed},
		"this origin":       {good(map[string]any{"origin": "HTTPS://Www.Example.com:443"}), "", ""},
		"other origin":      {good(map[string]any{"origin": "https://www.example.com:8443"}), "", ReasonOrigin},
		"no origin":         {good(map[string]any{"origin": "www.example.com"}), "", ReasonMalformed},
	}
}

func swapClaims(token, claims string) string {
	parts := strings.Split(token, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(claims))
	return strings.Join(parts, ".")
}

func mustPEM(public []byte) string {
	text, err := PublicPEM(public)
	if err != nil {
		panic(err)
	}
	return text
}

func reasonOf(v *Verifier, token, recording string) string {
	grant, err := v.Verify(token)
	if err == nil {
		err = grant.Admit(Request{
			Stream: "show", Recording: recording,
			Client: func() netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.7") },
			Origin: func() string { return "https://www.example.com" },
		}, now)
	}
	var refused *RefusalError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused) && errors.Is(err, media.ErrDenied) && refused.Detail != "":
		return refused.Reason
	}
	return "no refusal: " + err.Error()
}

func TestTokens(t *testing.T) {
	k := newKeyring()
	for name, c := range tokens(k) {
		if got := reasonOf(k.verifier(), c.token, c.recording); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
	}
	if got := reasonOf(NewVerifier("acme", nil), raw(hmacHeader, claims(nil), hs256(k.secret)), ""); got != ReasonKey {
		t.Errorf("a revoked key: %q", got)
	}
	if got := reasonOf(NewVerifier("beta", []media.VerifyingKey{{ID: "h", Algorithm: media.PlaybackHS256, Key: k.secret}}),
		raw(hmacHeader, claims(nil), hs256(k.secret)), ""); got != ReasonPublisher {
		t.Errorf("with another publisher that has the same key: %q", got)
	}
}

func TestSignedTokensVerify(t *testing.T) {
	k := newKeyring()
	pem, err := PrivatePEM(k.pair.Seed())
	if err != nil {
		t.Fatal(err)
	}
	for kid, file := range map[string]string{"h": string(k.secret) + "\n", "e": pem} {
		s, err := ParseSigner(kid, map[string]string{"h": media.PlaybackHS256}[kid], []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		token, err := s.Sign(Claims{
			Publisher: "acme", Stream: "show", Recording: recordingA, IssuedAt: now, NotBefore: now, ExpiresAt: now.Add(time.Minute),
			IP: "192.0.2.0/24", Origin: "https://www.example.com",
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := reasonOf(k.verifier(), token, recordingA); got != "" {
			t.Errorf("%s: %s", kid, got)
		}
		if got := reasonOf(k.verifier(), token, recordingB); got != ReasonRecording {
			t.Errorf("%s: %s", kid, got)
		}
		for what, c := range map[string]Claims{
			"no publisher": {ExpiresAt: now}, "no end": {Publisher: "acme"},
			"address": {Publisher: "acme", ExpiresAt: now, IP: "x"}, "origin": {Publisher: "acme", ExpiresAt: now, Origin: "x"},
			"recording": {Publisher: "acme", ExpiresAt: now, Recording: "x"},
		} {
			if _, err := s.Sign(c); !errors.Is(err, media.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

func TestPublicKeys(t *testing.T) {
	k := newKeyring()
	private, err := PrivatePEM(k.pair.Seed())
	if err != nil {
		t.Fatal(err)
	}
	x := base64.RawURLEncoding.EncodeToString(k.public())
	for _, text := range []string{mustPEM(k.public()), x, " " + x + "=\n"} {
		if got, err := ParsePublic(text); err != nil || string(got) != string(k.public()) {
			t.Errorf("%.40q: %x %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", x + "AA", private, "-----BEGIN PUBLIC KEY-----\n", strings.Repeat("A", 5000)} {
		var wrong *media.FieldError
		if _, err := ParsePublic(text); !errors.As(err, &wrong) || wrong.Field != "public_key" {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// FuzzVerify has no token pass but those whose signature is right, whatever their bytes.
func FuzzVerify(f *testing.F) {
	k := newKeyring()
	good := make(map[string]bool)
	for _, c := range tokens(k) {
		f.Add(c.token)
		if _, err := k.verifier().Verify(c.token); err == nil {
			good[c.token] = true
		}
	}
	v := k.verifier()
	f.Fuzz(func(t *testing.T, token string) {
		grant, err := v.Verify(token)
		var refused *RefusalError
		switch {
		case err != nil && (!errors.As(err, &refused) || grant != nil):
			t.Fatalf("%v %v", grant, err)
		case err == nil && !good[token] && !signedByUs(k, token):
			t.Fatalf("passed: %q", token)
		}
	})
}

// signedByUs checks a signature without the code under test.
func signedByUs(k keyring, token string) bool {
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[at+1:])
	if err != nil {
		return false
	}
	return hmac.Equal(signature, hs256(k.secret)(token[:at])) || ed25519.Verify(k.public(), []byte(token[:at]), signature)
}

func BenchmarkVerify(b *testing.B) {
	k := newKeyring()
	v := k.verifier()
	for name, token := range map[string]string{
		"HS256": raw(hmacHeader, claims(nil), hs256(k.secret)), "EdDSA": raw(pairHeader, claims(nil), k.eddsa),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
