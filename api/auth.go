package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/oxbow-video/oxbow/internal/media"
)

const maxToken = 512 // bytes; longer is no token of ours

// refusal is why a request does not reach its operation.
type refusal struct {
	problem   *huma.ErrorModel
	challenge string // what WWW-Authenticate says of the token; "-" is no such header
}

// authorize lets a request to an operation with a security scheme pass when its bearer token is right, has the scope
// that the operation needs, and is of the publisher that the path names. What is no GET leaves a row in the audit log.
func (s *Server) authorize(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	if len(op.Security) == 0 {
		next(ctx)
		return
	}
	r, w := humachi.Unwrap(ctx)
	token, refused := s.identify(r)
	var a *act
	if token.ID != "" && op.Method != http.MethodGet {
		a = s.newAct(op, r, token)
		defer func() { s.audit(r.Context(), a, w) }()
	}
	if refused == nil {
		refused = s.admit(ctx, token, a)
	}
	if refused != nil {
		if refused.challenge != "-" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="oxbow"`+refused.challenge)
		}
		writeProblem(w, refused.problem)
		a.done()
		return
	}
	a.watch(r)
	next(huma.WithContext(ctx, withAct(withCaller(r.Context(), token), a)))
	a.done()
}

// identify gives the record of the request's token. A token that is known and refused comes with its record.
func (s *Server) identify(r *http.Request) (media.Token, *refusal) {
	text := bearerToken(r.Header)
	if text == "" {
		return media.Token{}, unauthorised("",
			"send the header Authorization: Bearer TOKEN; the first start printed an admin token, or took it from "+
				"OXBOW_ADMIN_TOKEN, and that one makes others (POST /v1/tokens)")
	}
	token, err := media.Token{}, media.ErrDenied
	if len(text) <= maxToken {
		token, err = s.checkToken(r.Context(), text)
	}
	switch {
	case err == nil:
		return token, nil
	case errors.Is(err, media.ErrDenied) && token.ID != "":
		return token, unauthorised(`, error="invalid_token"`, fmt.Sprintf(
			"the token has expired, at %s: ask an administrator for another", token.ExpiresAt.UTC().Format(time.RFC3339)))
	case errors.Is(err, media.ErrDenied):
		return media.Token{}, unauthorised(`, error="invalid_token"`,
			"this server does not know the token: it was never made, or it was revoked; use one that an administrator made "+
				"(POST /v1/tokens), or the one that the first start printed, or took from OXBOW_ADMIN_TOKEN")
	}
	return media.Token{}, &refusal{problem: s.problem(r.Context(), err), challenge: "-"}
}

func unauthorised(challenge, text string) *refusal {
	p := newProblem(http.StatusUnauthorized, "%s", text)
	p.Errors = []*huma.ErrorDetail{{Location: "header.Authorization", Message: text}}
	return &refusal{problem: p, challenge: challenge}
}

// ofPublishers are the paths that name neither a publisher nor a recording and are for tokens of one publisher too:
// their handlers call restrict, or look at the caller. Every other such path is for tokens of all publishers alone.
func ofPublishers() []string {
	return []string{
		"/v1/publishers", "/v1/recordings", "/v1/retention", "/v1/sessions", "/v1/events", "/v1/webhooks", "/v1/audit",
		"/v1/token", "/v1/viewing",
	}
}

// forPublishers says whether a token of one publisher may use the operation at all.
func forPublishers(op *huma.Operation) bool {
	if hasParam(op, "publisher") || hasParam(op, "recording") {
		return true
	}
	for _, path := range ofPublishers() {
		if op.Path == path || strings.HasPrefix(op.Path, path+"/") {
			return true
		}
	}
	return false
}

func hasParam(op *huma.Operation, name string) bool { return strings.Contains(op.Path, "{"+name+"}") }

// admit says whether the token may use the operation, and on what the path names. What is another publisher's is
// answered as what there is not.
func (s *Server) admit(ctx huma.Context, token media.Token, a *act) *refusal {
	op := ctx.Operation()
	if need := scopeOf(op); need != "" && !token.Allows(need) {
		return insufficient(need, fmt.Sprintf("this needs a token with the scope %s, and yours has %s", need,
			strings.Join(token.Scopes, ", ")))
	}
	if token.Publisher != "" && !forPublishers(op) {
		return insufficient("", fmt.Sprintf("this needs a token for all publishers, and yours is for %s alone",
			token.Publisher))
	}
	if hasParam(op, "publisher") {
		name := ctx.Param("publisher")
		if token.Publisher != "" && name != token.Publisher {
			return s.unknown(ctx.Context(), "path.publisher", "publisher", name)
		}
		a.concerns(name)
	}
	if hasParam(op, "recording") && (token.Publisher != "" || a != nil) {
		return s.admitRecording(ctx.Context(), token, ctx.Param("recording"), a)
	}
	return nil
}

// admitRecording looks whose the recording in the path is.
func (s *Server) admitRecording(ctx context.Context, token media.Token, text string, a *act) *refusal {
	id, err := RecordingPath{text}.id()
	if err != nil {
		return &refusal{problem: s.problem(ctx, err), challenge: "-"}
	}
	r, err := s.deps.Recordings.Recording(ctx, id)
	if token.Publisher == "" {
		if err == nil {
			a.concerns(r.Path.Publisher)
		}
		return nil // the operation says what is wrong
	}
	switch {
	case err == nil && r.Path.Publisher == token.Publisher:
		return nil
	case err == nil, errors.Is(err, media.ErrNotFound), errors.Is(err, media.ErrGone):
		return s.unknown(ctx, "path.recording", "recording", text)
	}
	return &refusal{problem: s.problem(ctx, err), challenge: "-"}
}

// unknown answers for what there is not, and for what is another publisher's.
func (s *Server) unknown(ctx context.Context, location, noun, name string) *refusal {
	err := at(location, fmt.Errorf("%s %.80q: %w", noun, name, media.ErrNotFound))
	return &refusal{problem: s.problem(ctx, err), challenge: "-"}
}

// insufficient refuses a good token (RFC 6750, section 3.1).
func insufficient(need, text string) *refusal {
	p := newProblem(http.StatusForbidden, "%s", text)
	p.Errors = []*huma.ErrorDetail{{Location: "header.Authorization", Message: text}}
	challenge := `, error="insufficient_scope"`
	if need != "" {
		challenge += fmt.Sprintf(", scope=%q", need)
	}
	return &refusal{problem: p, challenge: challenge}
}

// checkLimits refuses what a publisher must not set for itself, nor reset: the limits are what its operator allows it.
func checkLimits(ctx context.Context, p media.SettingsPatch) error {
	if caller(ctx).Publisher == "" {
		return nil
	}
	for _, limit := range []struct {
		field string
		set   bool
	}{
		{"max_streams", p.MaxStreams != nil}, {"max_bitrate", p.MaxBitrate != nil},
		{"max_resolution", p.MaxResolution != nil},
	} {
		location := "body." + limit.field
		if i := slices.Index(p.Reset, limit.field); i >= 0 {
			limit.set, location = true, fmt.Sprintf("body.reset[%d]", i)
		}
		if limit.set {
			return at(location, fmt.Errorf(
				"%w: %s is what the operator allows the publisher: a token for this publisher alone can't set or reset it",
				media.ErrDenied, limit.field))
		}
	}
	return nil
}
