package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestTokenLife(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	a := f.must(201, "POST", "/v1/tokens",
		`{"label":"studio","publisher":"acme","scopes":["sign","read"],"expires_at":"2096-11-22T12:00:00+01:00"}`)
	text, id := fmt.Sprint(a.json["token"]), fmt.Sprint(a.json["id"])
	if !regexp.MustCompile(`^oxt_[a-z2-7]{26}$`).MatchString(text) || a.Header().Get("Location") != "/v1/tokens/"+id {
		t.Errorf("created: %s at %q", a.Body, a.Header().Get("Location"))
	}
	for field, want := range map[string]string{
		"label": "studio", "publisher": "acme", "scopes": "[read sign]", "expires_at": "2096-11-22T11:00:00Z",
		"last_used_at": "<nil>",
	} {
		if got := fmt.Sprint(a.json[field]); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
	own := f.as("Bearer "+text, "GET", "/v1/token", "")
	if own.Code != 200 || own.json["id"] != id || own.json["last_used_at"] == nil {
		t.Errorf("its own record: %s", own.Body)
	}
	one := f.must(200, "GET", "/v1/tokens/"+id, "")
	list := f.must(200, "GET", "/v1/tokens", "")
	if one.json["label"] != "studio" || len(list.items()) != 2 || strings.Contains(one.Body.String()+list.Body.String(), text) {
		t.Errorf("one: %s\nall: %s", one.Body, list.Body)
	}
	if of := f.must(200, "GET", "/v1/tokens?publisher=acme", ""); len(of.items()) != 1 {
		t.Errorf("of acme: %s", of.Body)
	}
	page := f.must(200, "GET", "/v1/tokens?limit=1", "")
	rest := f.must(200, "GET", fmt.Sprint("/v1/tokens?limit=1&cursor=", page.json["next"]), "")
	if len(page.items()) != 1 || len(rest.items()) != 1 || rest.items()[0]["id"] != id || rest.json["next"] != "" {
		t.Errorf("pages: %s %s", page.Body, rest.Body)
	}

	// What is revoked here is refused at once, though it was good a moment ago.
	f.must(204, "DELETE", "/v1/tokens/"+id, "")
	if a := f.as("Bearer "+text, "GET", "/v1/token", ""); a.Code != 401 {
		t.Errorf("revoked: %d %s", a.Code, a.Body)
	}
	f.must(404, "DELETE", "/v1/tokens/"+id, "")
	f.must(404, "GET", "/v1/tokens/"+id, "")

	mine := f.must(200, "GET", "/v1/token", "")
	a = f.must(409, "DELETE", fmt.Sprint("/v1/tokens/", mine.json["id"]), "")
	if !slices.Equal(a.locations(), []string{"path.id"}) || !strings.Contains(a.Body.String(), "another admin token") {
		t.Errorf("the token that asks: %s", a.Body)
	}

	// A publisher's tokens go with it, at once.
	acmes := f.give("acme", media.ScopeRead)
	if a := f.as(acmes, "GET", "/v1/token", ""); a.Code != 200 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	f.must(204, "DELETE", "/v1/publishers/acme", "")
	if a := f.as(acmes, "GET", "/v1/token", ""); a.Code != 401 {
		t.Errorf("of a publisher that is gone: %d %s", a.Code, a.Body)
	}
}

func TestTokensThatCanNotBe(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	for _, c := range []struct{ body, location, says string }{
		{`{}`, "body.scopes", "missing"},
		{`{"scopes":[]}`, "body.scopes", "1"},
		{`{"scopes":["root"]}`, "body.scopes[0]", "admin"},
		{`{"scopes":["read","read"]}`, "body.scopes", "twice"},
		{`{"scopes":"read"}`, "body.scopes", "array"},
		{`{"scopes":["admin"],"publisher":"acme"}`, "body.scopes", "one publisher"},
		{`{"scopes":["read"],"publisher":"nobody"}`, "body.publisher", "create it first"},
		{`{"scopes":["read"],"publisher":"A"}`, "body.publisher", "a-z"},
		{`{"scopes":["read"],"label":"` + strings.Repeat("x", 101) + `"}`, "body.label", "100"},
		{`{"scopes":["read"],"label":"a\u0007"}`, "body.label", "printable"},
		{`{"scopes":["read"],"label":"admin"}`, "body.label", "another"},
		{`{"scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`, "body.expires_at", "future"},
		{`{"scopes":["read"],"expires_at":"0001-01-01T00:00:00Z"}`, "body.expires_at", "future"},
		{`{"scopes":["read"],"expires_at":"tomorrow"}`, "body.expires_at", "2026-"},
		{`{"scopes":["read"],"expires":"2096-01-01T00:00:00Z"}`, "body.expires", "unexpected"},
	} {
		a := f.must(422, "POST", "/v1/tokens", c.body)
		if l := a.locations(); len(l) != 1 || l[0] != c.location || !strings.Contains(a.Body.String(), c.says) {
			t.Errorf("%s: %s", c.body, a.Body)
		}
	}
	if a := f.must(422, "GET", "/v1/tokens?publisher=A", ""); !slices.Equal(a.locations(), []string{"query.publisher"}) {
		t.Errorf("%s", a.Body)
	}
}

// countedTokens counts the looks at the catalog.
type countedTokens struct {
	*catalog.DB
	looks int
	away  error
}

func (c *countedTokens) CheckToken(ctx context.Context, token string) (media.Token, error) {
	c.looks++
	if c.away != nil {
		return media.Token{}, c.away
	}
	return c.DB.CheckToken(ctx, token)
}

func TestTokensAreRememberedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := &countedTokens{}
		f := newFixture(t, func(_ *Config, d *Deps) {
			counted.DB, _ = d.Tokens.(*catalog.DB)
			d.Tokens = counted
		})
		status := func(header string) int { return f.as(header, "GET", "/v1/token", "").Code }
		made := f.must(201, "POST", "/v1/tokens",
			`{"scopes":["read"],"expires_at":"`+time.Now().Add(7*time.Second).UTC().Format(time.RFC3339)+`"}`)
		header := fmt.Sprint("Bearer ", made.json["token"])
		counted.looks = 0
		for range 10 {
			if got := status(header); got != 200 {
				t.Fatalf("got %d", got)
			}
		}
		if counted.looks != 1 {
			t.Errorf("%d looks for 10 requests", counted.looks)
		}
		counted.away = media.ErrUnavailable
		time.Sleep(tokenAge - time.Millisecond)
		if got := status(header); got != 200 {
			t.Errorf("while it is remembered, and the catalog is away: %d", got)
		}
		time.Sleep(time.Millisecond)
		if got := status(header); got != 503 {
			t.Errorf("when it is forgotten, and the catalog is away: %d", got)
		}
		counted.away = nil
		if got := status(header); got != 200 {
			t.Errorf("with the catalog back: %d", got)
		}

		// It expires while it is remembered.
		time.Sleep(2*time.Second - time.Millisecond)
		if got := status(header); got != 200 {
			t.Errorf("just before its end: %d", got)
		}
		time.Sleep(time.Millisecond)
		counted.looks = 0
		for _, wait := range []time.Duration{0, tokenAge} { // remembered, and from the catalog
			time.Sleep(wait)
			a := f.as(header, "GET", "/v1/token", "")
			if a.Code != 401 || !strings.Contains(a.Body.String(), "expired, at 2000-01-01T00:00:07Z") ||
				a.Header().Get("WWW-Authenticate") != `Bearer realm="oxbow", error="invalid_token"` {
				t.Errorf("expired: %d %s", a.Code, a.Body)
			}
		}
		if counted.looks != 1 {
			t.Errorf("%d looks", counted.looks)
		}

		// What another process revokes stops within the time.
		other := f.must(201, "POST", "/v1/tokens", `{"scopes":["read"]}`)
		header = fmt.Sprint("Bearer ", other.json["token"])
		status(header)
		if err := f.db.DeleteToken(t.Context(), fmt.Sprint(other.json["id"])); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tokenAge)
		if got := status(header); got != 401 {
			t.Errorf("revoked elsewhere: %d", got)
		}
	})
}

func TestRememberedTokensAreBounded(t *testing.T) {
	k, now := newKnownTokens(), time.Now()
	hash := func(n int) (h [32]byte) { h[0], h[1] = byte(n), byte(n>>8); return h }
	for n := range 3 * maxKnownTokens {
		k.put(hash(n), knownToken{until: now.Add(time.Duration(n) * time.Second)}, now, k.begin())
		if len(k.mu.of) > maxKnownTokens {
			t.Fatalf("%d are remembered", len(k.mu.of))
		}
		if _, ok := k.get(hash(n), now); ok != (n > 0) {
			t.Fatalf("the newest is not among %d", len(k.mu.of))
		}
	}
	later := now.Add(3 * maxKnownTokens * time.Second)
	for n := range maxKnownTokens {
		k.put(hash(n), knownToken{until: later.Add(time.Hour)}, later, k.begin())
	}
	if _, ok := k.get(hash(0), later); !ok {
		t.Error("those that are good were forgotten for those that are old")
	}
}

func BenchmarkKnownToken(b *testing.B) {
	s := &Server{known: newKnownTokens()}
	s.known.put(sha256.Sum256([]byte(token)), knownToken{until: time.Now().Add(time.Hour)}, time.Now(), s.known.begin())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.checkToken(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
