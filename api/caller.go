package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// callerKey is the key of the request's token in its context.
type callerKey struct{}

// withCaller notes whose request it is.
func withCaller(ctx context.Context, t media.Token) context.Context {
	return context.WithValue(ctx, callerKey{}, t)
}

// caller gives the token that the request came with; of an open operation it is none, which may nothing.
func caller(ctx context.Context) media.Token {
	t, _ := ctx.Value(callerKey{}).(media.Token)
	return t
}

// restrict has a list be of the caller's publisher alone, where the token is for one: a filter that is empty gets it,
// and another publisher is one that there is not. The location names the filter.
func restrict(ctx context.Context, publisher *string, location string) error {
	own := caller(ctx).Publisher
	switch {
	case own == "" || *publisher == own:
	case *publisher == "":
		*publisher = own
	default:
		return at(location, fmt.Errorf("publisher %.80s: %w", *publisher, media.ErrNotFound))
	}
	return nil
}

// scope says which scope an operation needs, in place of what its method does: GET needs media.ScopeRead, all else
// media.ScopeWrite. Empty is that every token will do.
func scope(name string) func(*huma.Operation) {
	return func(op *huma.Operation) { setScope(op, name) }
}

// scopeKey is the key of an operation's scope in its metadata.
const scopeKey = "oxbow.scope"

func setScope(op *huma.Operation, name string) {
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	op.Metadata[scopeKey] = name
}

// scopeOf gives the scope that an operation needs.
func scopeOf(op *huma.Operation) string {
	if name, ok := op.Metadata[scopeKey].(string); ok {
		return name
	}
	if op.Method == http.MethodGet || op.Method == http.MethodHead {
		return media.ScopeRead
	}
	return media.ScopeWrite
}

// tellScope puts the scope that an operation needs into the OpenAPI document, as a role of its security requirement and
// behind the operation's text.
func tellScope(op *huma.Operation) {
	if len(op.Security) == 0 {
		return
	}
	roles, text := []string{}, "Any token will do."
	if need := scopeOf(op); need != "" {
		roles, text = []string{need}, "Needs the scope "+need+"."
		if need != media.ScopeAdmin && !forPublishers(op) {
			text += " Tokens of one publisher will not do."
		}
	}
	op.Security = []map[string][]string{{bearer: roles}}
	if op.Description == "" {
		op.Description = operationTexts()[op.OperationID]
	}
	op.Description = strings.TrimSpace(op.Description + " " + text)
}
