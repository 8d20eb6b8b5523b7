package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/oxbow-video/oxbow/internal/media"
)

const maxToken = 512 // bytes; longer is no token of ours

// authorize lets a request to an operation with a security scheme pass when its bearer token is right.
func (s *Server) authorize(ctx huma.Context, next func(huma.Context)) {
	if len(ctx.Operation().Security) == 0 {
		next(ctx)
		return
	}
	_, w := humachi.Unwrap(ctx)
	scheme, token, _ := strings.Cut(ctx.Header("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		s.unauthorised(w, "",
			"send the header Authorization: Bearer TOKEN with the admin token: the first start printed it, or took it from "+
				"OXBOW_ADMIN_TOKEN")
		return
	}
	err := media.ErrDenied
	if len(token) <= maxToken {
		err = s.deps.Tokens.CheckToken(ctx.Context(), token)
	}
	switch {
	case err == nil:
		next(huma.WithContext(ctx, withCaller(ctx.Context(), media.Token{Scopes: []string{media.ScopeAdmin}})))
	case errors.Is(err, media.ErrDenied):
		s.unauthorised(w, `, error="invalid_token"`,
			"this server does not know the token: use the one that its first start printed, or took from OXBOW_ADMIN_TOKEN")
	default:
		writeProblem(w, s.problem(ctx.Context(), err))
	}
}

func (s *Server) unauthorised(w http.ResponseWriter, challenge, text string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="oxbow"`+challenge)
	p := newProblem(http.StatusUnauthorized, "%s", text)
	p.Errors = []*huma.ErrorDetail{{Location: "header.Authorization", Message: text}}
	writeProblem(w, p)
}
