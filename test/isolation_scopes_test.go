package test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// allScopes is the name of the token that has all scopes that a publisher's may have.
const allScopes = "read write sign"

// scopedTokens makes tokens of the publisher, by their scopes: one with all of them, and one with each alone.
func (w *world) scopedTokens() map[string]string {
	w.tb.Helper()
	tokens := make(map[string]string)
	for _, scopes := range []string{allScopes, "read", "write", "sign"} {
		tokens[scopes], _ = w.newToken(strings.Fields(scopes)...)
	}
	return tokens
}

// scope gives the scope that the document says the operation needs; empty is any.
func (op *operation) scope() string {
	for _, requirement := range *op.Security {
		for _, roles := range requirement {
			return strings.Join(roles, " ")
		}
	}
	return ""
}

// wantScope is what docs/access.md says of the scope that an operation needs.
func (op *operation) wantScope() string {
	switch {
	case op.OperationID == "get-own-token":
		return ""
	case slices.Contains([]string{"create-publisher", "delete-publisher", "put-source"}, op.OperationID),
		slices.ContainsFunc([]string{"/v1/tokens", "/v1/nodes", "/v1/archives", "/v1/steering"}, func(path string) bool {
			return op.path == path || strings.HasPrefix(op.path, path+"/")
		}):
		return "admin"
	case op.OperationID == "create-playback-token":
		return "sign"
	case op.method == http.MethodGet:
		return "read"
	}
	return "write"
}

// suffices says by docs/access.md whether a token with the scopes may do what needs one.
func suffices(scopes, need string) bool {
	has := strings.Fields(scopes)
	return need == "" || slices.Contains(has, need) || need == "read" && slices.Contains(has, "write")
}

// mayDo sends the operation's right requests about the tokens' own publisher: a token whose scopes do not suffice is
// refused and told the scope, the others are answered, and nothing of the other is in the answers.
func (w *world) mayDo(
	t *testing.T, op *operation, row func(w *world) []request, tokens map[string]string, other *world,
) {
	t.Helper()
	need := op.scope()
	if want := op.wantScope(); need != want {
		t.Errorf("%s: the document says that it needs the scope %q, docs/access.md says %q", op.OperationID, need, want)
	}
	marks := other.marks(other.state())
	rights := row(w)
	before := w.state()
	for scopes, token := range tokens {
		if suffices(scopes, need) {
			continue
		}
		for i, r := range rights {
			a := op.do(t, w.oxbow, token, r)
			err := refuses(a, "header.Authorization", http.StatusForbidden)
			if challenge := a.header.Get("WWW-Authenticate"); err == nil &&
				!strings.Contains(challenge, fmt.Sprintf("scope=%q", need)) {
				err = fmt.Errorf("WWW-Authenticate %q, want it to name the scope %s", challenge, need)
			}
			op.verdict(t, fmt.Sprintf("right request %d with the scopes %s", i+1, scopes), a, err)
		}
	}
	for path, is := range w.state() {
		if was := before[path]; is != was {
			t.Errorf("%s: what was refused changed %s:\nwas %s\nis  %s", op.OperationID, path, was, is)
		}
	}
	for _, scopes := range []string{"read", "write", "sign", allScopes} {
		if !suffices(scopes, need) {
			continue
		}
		w.do(t, op, rights, tokens[scopes], scopes, marks)
		if op.method != http.MethodGet {
			break // the rights are used up
		}
	}
}

// do sends right requests with a token that may.
func (w *world) do(t *testing.T, op *operation, rights []request, token, scopes string, marks []string) {
	t.Helper()
	for i, r := range rights {
		what := fmt.Sprintf("%s's request %d with its own token of the scopes %s", w.publisher, i+1, scopes)
		if name := r.path["publisher"]; name != "" && name != w.publisher {
			continue // a row's own publisher, which is another one
		}
		a := op.do(t, w.oxbow, token, r)
		if err := r.succeeded(a); err != nil && (!r.patient || a.status != http.StatusConflict) {
			op.tell(t, what, a, err)
		}
		if err := op.conforms(a); err != nil {
			op.tell(t, what, a, err)
		}
		if seen := seenIn(a, marks); seen != "" {
			op.tell(t, what, a, fmt.Errorf("the answer has %q of another publisher", seen))
		}
	}
}

// keepsLimits insists that a token of the publisher neither sets nor resets what the operator allows the publisher.
func (w *world) keepsLimits(t *testing.T, token string) {
	stream := w.freshStream()
	publishers, streams := w.on(), w.on("stream", stream)
	for limit, value := range map[string]any{"max_streams": 0, "max_bitrate": 0, "max_resolution": ""} {
		for id, r := range map[string]request{
			"change-publisher": publishers, "change-stream": streams, "create-stream": publishers,
		} {
			op := w.doc.operation(id)
			if id != "change-publisher" && limit == "max_streams" {
				continue // streams have none
			}
			body := map[string]any{limit: value}
			if id == "create-stream" {
				body["name"] = w.name()
			}
			a := op.do(t, w.oxbow, token, r.send(body))
			op.verdict(t, "sets "+limit, a, refuses(a, "body."+limit, http.StatusForbidden))
			if id == "create-stream" {
				continue // it has nothing to reset
			}
			a = op.do(t, w.oxbow, token, r.send(map[string]any{"reset": []string{limit}}))
			op.verdict(t, "resets "+limit, a, refuses(a, "body.reset", http.StatusForbidden))
		}
	}
}
