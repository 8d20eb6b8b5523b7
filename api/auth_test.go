package api

import (
	"context"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestToken(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		name, header string
		status       int
		challenge    string
	}{
		{"none", "", 401, `Bearer realm="oxbow"`},
		{"other scheme", "Basic " + token, 401, `Bearer realm="oxbow"`},
		{"empty", "Bearer ", 401, `Bearer realm="oxbow"`},
		{"wrong", "Bearer wrong", 401, `Bearer realm="oxbow", error="invalid_token"`},
		{"huge", "Bearer " + strings.Repeat("x", 4000), 401, `Bearer realm="oxbow", error="invalid_token"`},
		{"right", "Bearer " + token, 200, ""},
		{"scheme in other case", "bearer " + token, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.do("GET", "/v1/publishers", "", "Authorization", c.header)
			if a.Code != c.status || a.Header().Get("WWW-Authenticate") != c.challenge {
				t.Fatalf("got %d %q: %s", a.Code, a.Header().Get("WWW-Authenticate"), a.Body)
			}
			if c.status == 401 && !strings.Contains(a.Body.String(), "OXBOW_ADMIN_TOKEN") {
				t.Errorf("it does not say what to do: %s", a.Body)
			}
		})
	}
	// Every operation but the listing is closed, whatever comes after the path.
	for path, item := range openAPI(t, f)["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if path == "/v1/listing" {
				continue
			}
			a := f.send(f.Public(), strings.ToUpper(method), path, `{"x":1}`)
			if a.Code != 401 {
				t.Errorf("%s %s without a token: got %d", method, path, a.Code)
			}
		}
	}
}

// awayTokens can not check.
type awayTokens struct{ *catalog.DB }

func (awayTokens) CheckToken(context.Context, string) (media.Token, error) {
	return media.Token{}, media.ErrUnavailable
}

func TestTokenThatCanNotBeCheckedIsNotDenied(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Tokens = awayTokens{} })
	if a := f.do("GET", "/v1/publishers", ""); a.Code != 503 {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}
