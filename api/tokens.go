package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// scopeNames are scopes on the wire.
type scopeNames []string

// Schema describes one or more of those that there are.
func (scopeNames) Schema(huma.Registry) *huma.Schema {
	least, most := 1, len(media.Scopes())
	scopes := &huma.Schema{Type: huma.TypeString}
	for _, name := range media.Scopes() {
		scopes.Enum = append(scopes.Enum, name)
	}
	return &huma.Schema{
		Type: huma.TypeArray, Items: scopes, MinItems: &least, MaxItems: &most,
		Description: "What the token may do: read, write (and read), sign (make playback tokens), admin (everything, of " +
			"every publisher)",
	}
}

// tokenRow is a token in answers: all but the token.
type tokenRow struct {
	ID         string     `json:"id" doc:"The token's id, which is no secret"`
	Label      string     `json:"label" doc:"Who has it: for people"`
	Publisher  string     `json:"publisher" doc:"The only publisher that it is for; empty is all"`
	Scopes     scopeNames `json:"scopes"`
	CreatedAt  *time.Time `json:"created_at" doc:"When it was made"`
	ExpiresAt  *time.Time `json:"expires_at" doc:"From when on it is refused; null is never"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"To the minute; null is never"`
}

func newTokenRow(t media.Token) tokenRow {
	return tokenRow{
		ID: t.ID, Label: t.Label, Publisher: t.Publisher, Scopes: t.Scopes, CreatedAt: moment(t.CreatedAt),
		ExpiresAt: moment(t.ExpiresAt), LastUsedAt: moment(t.LastUsedAt),
	}
}

type tokenOutput struct {
	Body tokenRow
}

type tokensOutput struct {
	Body list[tokenRow]
}

type createdTokenOutput struct {
	Location string `header:"Location"`
	Body     struct {
		TokenRow
		Token string `json:"token" doc:"The token. It is shown this once"`
	}
}

type createTokenInput struct {
	Body struct {
		Label     string     `json:"label,omitempty" maxLength:"100" doc:"Who has it: for people"`
		Publisher string     `json:"publisher,omitempty" maxLength:"63" doc:"The only publisher it is for; left out, all"`
		Scopes    scopeNames `json:"scopes"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"From when on it is refused; left out, never"`
	}
}

type listTokensInput struct {
	Publisher string `query:"publisher" doc:"Only tokens of this publisher alone"`
	Page
}

type tokenInput struct {
	ID string `path:"id" maxLength:"64" doc:"The token's id"`
}

func (s *Server) tokenRoutes(v1 huma.API) {
	const all, one = "/v1/tokens", "/v1/tokens/{id}"
	admin := scope(media.ScopeAdmin)
	describe := func(text string) func(*huma.Operation) {
		return func(op *huma.Operation) { op.Description = text }
	}
	route(s, v1, http.MethodPost, all, "create-token", "Make an API token", s.createToken, admin, describe(
		"The answer has the token, which is kept as a hash only. 409: there are 10,000 tokens."))
	route(s, v1, http.MethodGet, all, "list-tokens", "List the API tokens, oldest first", s.listTokens, admin)
	route(s, v1, http.MethodGet, one, "get-token", "Get an API token's record", s.getToken, admin)
	route(s, v1, http.MethodDelete, one, "revoke-token", "Revoke an API token", s.revokeToken, admin, describe(
		"It works on for 5 s at most, where another process has just seen it. 409: it is the token that asks."))
	route(s, v1, http.MethodGet, "/v1/token", "get-own-token", "Get the record of the token that asks", s.getOwnToken,
		scope(""))
}

// newToken makes an API token: 128 random bits, as newKey does.
func newToken() string { return newSecret("oxt_") }

func (s *Server) createToken(ctx context.Context, in *createTokenInput) (*createdTokenOutput, error) {
	record := media.Token{Label: in.Body.Label, Publisher: in.Body.Publisher, Scopes: in.Body.Scopes}
	if in.Body.ExpiresAt != nil {
		if record.ExpiresAt = *in.Body.ExpiresAt; record.ExpiresAt.IsZero() {
			record.ExpiresAt = time.Unix(0, 0) // the year 1 is no wish for a token without an end
		}
	}
	token := newToken()
	made, err := s.deps.Tokens.CreateToken(ctx, record, token)
	switch {
	case errors.Is(err, media.ErrLimit):
		return nil, at("body", err)
	case err != nil:
		return nil, err // it names its field
	}
	out := &createdTokenOutput{Location: "/v1/tokens/" + made.ID}
	out.Body.TokenRow, out.Body.Token = newTokenRow(made), token
	return out, nil
}

func (s *Server) listTokens(ctx context.Context, in *listTokensInput) (*tokensOutput, error) {
	if err := checkFilter(media.RecordingFilter{Publisher: in.Publisher}); err != nil {
		return nil, err
	}
	items, err := s.deps.Tokens.Tokens(ctx, in.Publisher, in.Cursor, in.Limit+1)
	if err != nil {
		return nil, err
	}
	id := func(t media.Token) string { return t.ID }
	return &tokensOutput{Body: paged(items, in.Limit, id, newTokenRow)}, nil
}

func (s *Server) getToken(ctx context.Context, in *tokenInput) (*tokenOutput, error) {
	t, err := s.deps.Tokens.Token(ctx, in.ID)
	if err != nil {
		return nil, at("path.id", err)
	}
	return &tokenOutput{Body: newTokenRow(t)}, nil
}

func (s *Server) revokeToken(ctx context.Context, in *tokenInput) (*nothing, error) {
	if in.ID == caller(ctx).ID {
		return nil, at("path.id", fmt.Errorf("%w: token %s is the one that you use: revoke it with another admin token",
			media.ErrConflict, in.ID))
	}
	t, err := s.deps.Tokens.Token(ctx, in.ID)
	if err == nil {
		concerns(ctx, t.Publisher)
		err = s.deps.Tokens.DeleteToken(ctx, in.ID)
	}
	if err == nil || errors.Is(err, media.ErrNotFound) {
		s.known.forget(func(known media.Token) bool { return known.ID == in.ID })
	}
	if err != nil {
		return nil, at("path.id", err)
	}
	return &nothing{}, nil
}

func (s *Server) getOwnToken(ctx context.Context, _ *struct{}) (*tokenOutput, error) {
	return &tokenOutput{Body: newTokenRow(caller(ctx))}, nil
}
