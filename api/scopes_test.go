package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// give makes a token with scopes, of one publisher if that is not empty, and gives the header that sends it.
func (f *fixture) give(publisher string, scopes ...string) (header string) {
	f.t.Helper()
	body := fmt.Sprintf(`{"label":"t","publisher":%q,"scopes":["%s"]}`, publisher, strings.Join(scopes, `","`))
	return "Bearer " + fmt.Sprint(f.must(201, "POST", "/v1/tokens", body).json["token"])
}

// as sends a request with a token.
func (f *fixture) as(header, method, target, body string) answer {
	f.t.Helper()
	return f.do(method, target, body, "Authorization", header)
}

// operation is one of the OpenAPI document.
type operation struct {
	id, method, path string
	scopes           []string
	open             bool
}

// eachOperation lists the document's.
func eachOperation(t *testing.T, f *fixture) []operation {
	t.Helper()
	var list []operation
	for path, item := range openAPI(t, f)["paths"].(map[string]any) {
		for method, value := range item.(map[string]any) {
			fields := value.(map[string]any)
			op := operation{id: fmt.Sprint(fields["operationId"]), method: strings.ToUpper(method), path: path, open: true}
			security, _ := fields["security"].([]any)
			for _, requirement := range security {
				op.open = false
				roles, _ := requirement.(map[string]any)[bearer].([]any)
				for _, role := range roles {
					op.scopes = append(op.scopes, fmt.Sprint(role))
				}
			}
			list = append(list, op)
		}
	}
	return list
}

// target puts values in the place of the path's parameters.
func (o operation) target(publisher string, recording media.RecordingID) string {
	path := strings.NewReplacer("{publisher}", publisher, "{recording}", string(recording)).Replace(o.path)
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		path = before + "x" + after
	}
	return path
}

// TestEveryOperationHasAScope holds the generic rules against every operation that is registered, whoever adds it.
func TestEveryOperationHasAScope(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	recording := f.recording(path, 1, media.Ended)
	f.must(201, "POST", "/v1/publishers", `{"name":"beta"}`)
	lacking := map[string]string{ // a token that has not the scope
		media.ScopeAdmin: f.give("", media.ScopeWrite, media.ScopeSign),
		media.ScopeWrite: f.give("", media.ScopeRead, media.ScopeSign),
		media.ScopeRead:  f.give("", media.ScopeSign),
		media.ScopeSign:  f.give("", media.ScopeWrite),
	}
	betas := f.give("beta", media.ScopeWrite, media.ScopeSign)
	open := []string{"get-listing"}
	forAny := []string{"get-own-token"}
	for _, op := range eachOperation(t, f) {
		target := op.target("acme", recording)
		if op.open {
			if !slices.Contains(open, op.id) {
				t.Errorf("%s needs no token, and is not on the list of those", op.id)
			}
			continue
		}
		if a := f.send(f.Public(), op.method, target, `{"x":1}`); a.Code != 401 {
			t.Errorf("%s %s without a token: got %d", op.method, target, a.Code)
		}
		if len(op.scopes) == 0 {
			if !slices.Contains(forAny, op.id) {
				t.Errorf("%s needs no scope, and is not on the list of those", op.id)
			}
			continue
		}
		need := op.scopes[0]
		a := f.as(lacking[need], op.method, target, `{"x":1}`)
		if len(op.scopes) != 1 || a.Code != 403 || !strings.Contains(a.Body.String(), "the scope "+need) ||
			a.Header().Get("WWW-Authenticate") != `Bearer realm="oxbow", error="insufficient_scope", scope="`+need+`"` {
			t.Errorf("%s %s with a token that is not for %s: got %d %q: %s", op.method, target, op.scopes, a.Code,
				a.Header().Get("WWW-Authenticate"), a.Body)
		}
		if need == media.ScopeAdmin {
			continue // no publisher's token can have it
		}
		switch {
		case strings.Contains(op.path, "{publisher}"), strings.Contains(op.path, "{recording}"):
			theirs := f.as(betas, op.method, target, `{"x":1}`)
			nobodys := f.as(betas, op.method, op.target("nobody", recordingID(77)), `{"x":1}`)
			same := strings.NewReplacer("nobody", "acme", string(recordingID(77)), string(recording)).
				Replace(nobodys.Body.String())
			if theirs.Code != 404 || theirs.Body.String() != same {
				t.Errorf("%s %s of another publisher: got %d %s, and what there is not gets %s", op.method, target,
					theirs.Code, theirs.Body, nobodys.Body)
			}
		case !slices.ContainsFunc(ofPublishers(), func(p string) bool {
			return op.path == p || strings.HasPrefix(op.path, p+"/")
		}):
			t.Errorf("%s %s names no publisher and no recording in its path: decide for whom it is. Either "+
				"scope(media.ScopeAdmin), or its handler calls restrict and ofPublishers in auth.go has its path",
				op.method, op.path)
		}
	}
}

func TestListsAreOfTheTokensPublisher(t *testing.T) {
	live := &liveSessions{}
	f := newFixture(t, func(_ *Config, d *Deps) { d.Sessions = live })
	for n, publisher := range []string{"acme", "beta"} {
		path := media.StreamPath{Publisher: publisher, Stream: "show"}
		f.stream(path, false)
		f.recording(path, n+1, media.Ended)
		live.reports = append(live.reports, media.IngestReport{Publisher: publisher, Stream: "show"})
	}
	betas := f.give("beta", media.ScopeWrite)
	field := func(a answer, name string) string {
		var list []string
		for _, item := range a.items() {
			list = append(list, fmt.Sprint(item[name]))
		}
		return strings.Join(list, " ")
	}
	for target, name := range map[string]string{
		"/v1/publishers": "name", "/v1/recordings": "publisher", "/v1/retention": "publisher", "/v1/sessions": "publisher",
		"/v1/recordings?publisher=beta": "publisher", "/v1/retention?stream=show": "publisher",
	} {
		a := f.as(betas, "GET", target, "")
		if got := field(a, name); a.Code != 200 || got != "beta" || strings.Contains(a.Body.String(), "acme") {
			t.Errorf("%s: got %d of %q", target, a.Code, got)
		}
		if got := field(f.must(200, "GET", target, ""), name); !strings.Contains(target, "beta") && got == "beta" {
			t.Errorf("%s: an admin token sees %q", target, got)
		}
	}
	if a := f.as(betas, "GET", "/v1/publishers?cursor=beta", ""); len(a.items()) != 0 || a.Code != 200 {
		t.Errorf("after itself: %d %s", a.Code, a.Body)
	}
	for _, c := range [][2]string{
		{"GET", "/v1/recordings"}, {"GET", "/v1/retention"}, {"GET", "/v1/sessions"}, {"GET", "/v1/audit"},
		{"DELETE", "/v1/recordings"},
	} {
		theirs, nobodys := f.as(betas, c[0], c[1]+"?publisher=acme", ""), f.as(betas, c[0], c[1]+"?publisher=nobody", "")
		if theirs.Code != 404 || !slices.Equal(theirs.locations(), []string{"query.publisher"}) ||
			strings.ReplaceAll(nobodys.Body.String(), "nobody", "acme") != theirs.Body.String() {
			t.Errorf("%s %s of another publisher: %d %s, and of nobody %s", c[0], c[1], theirs.Code, theirs.Body, nobodys.Body)
		}
	}
	// To delete, a request must choose, also where it can see one publisher alone.
	if a := f.as(betas, "DELETE", "/v1/recordings", ""); a.Code != 422 ||
		!slices.Equal(a.locations(), []string{"query.publisher"}) {
		t.Errorf("delete all: %d %s", a.Code, a.Body)
	}
	if a := f.as(betas, "DELETE", "/v1/recordings?stream=show", ""); a.Code != 202 || a.json["deleted"] != 1.0 {
		t.Errorf("delete a stream's: %d %s", a.Code, a.Body)
	}
	if a := f.must(200, "GET", "/v1/recordings/"+string(recordingID(1)), ""); a.json["state"] != "ended" {
		t.Errorf("the other publisher's stream of that name: %s", a.Body)
	}
}

func TestPublishersTokenWorksOnItsOwn(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	recording := f.recording(path, 1, media.Ended)
	f.must(201, "POST", "/v1/publishers", `{"name":"beta"}`)
	writer, reader := f.give("acme", media.ScopeWrite), f.give("acme", media.ScopeRead)
	for _, c := range []struct {
		method, target, body string
		writer, reader       int
	}{
		{"GET", "/v1/publishers/acme", "", 200, 200},
		{"PATCH", "/v1/publishers/acme", `{"listed":true}`, 200, 403},
		{"POST", "/v1/publishers/acme/streams", `{"name":"two"}`, 201, 403},
		{"PATCH", "/v1/publishers/acme/streams/show", `{"group":"two"}`, 200, 403},
		{"GET", "/v1/recordings/" + string(recording), "", 200, 200},
		{"GET", "/v1/recordings/9", "", 404, 404},
		{"GET", "/v1/recordings/" + string(recording) + "/clips", "", 200, 200},
		{"PATCH", "/v1/recordings/" + string(recording), `{"keep":true}`, 200, 403},
		{"GET", "/v1/token", "", 200, 200},
		{"GET", "/v1/tokens", "", 403, 403},
		{"POST", "/v1/tokens", `{"scopes":["admin"]}`, 403, 403},
		{"GET", "/v1/nodes", "", 403, 403},
		{"GET", "/v1/archives", "", 403, 403},
		{"POST", "/v1/publishers", `{"name":"more"}`, 403, 403},
		{"DELETE", "/v1/publishers/acme", "", 403, 403},
		{"PUT", "/v1/publishers/acme/streams/show/source", `{"url":"http://127.0.0.1/x.m3u8"}`, 403, 403},
	} {
		if a := f.as(reader, c.method, c.target, c.body); a.Code != c.reader {
			t.Errorf("reader: %s %s: %d %s", c.method, c.target, a.Code, a.Body)
		}
		if a := f.as(writer, c.method, c.target, c.body); a.Code != c.writer {
			t.Errorf("writer: %s %s: %d %s", c.method, c.target, a.Code, a.Body)
		}
	}
	// Its limits are its operator's, of streams too.
	for _, c := range []struct{ method, target, body, field string }{
		{"PATCH", "/v1/publishers/acme", `{"max_streams":0}`, "body.max_streams"},
		{"PATCH", "/v1/publishers/acme/streams/show", `{"max_bitrate":0}`, "body.max_bitrate"},
		{"PATCH", "/v1/publishers/acme", `{"reset":["keep","max_streams"]}`, "body.reset[1]"},
		{"PATCH", "/v1/publishers/acme/streams/show", `{"reset":["max_resolution"]}`, "body.reset[0]"},
		{"POST", "/v1/publishers/acme/streams", `{"name":"b","max_resolution":""}`, "body.max_resolution"},
	} {
		if a := f.as(writer, c.method, c.target, c.body); a.Code != 403 || !slices.Equal(a.locations(), []string{c.field}) {
			t.Errorf("%s %s: %d %s", c.method, c.body, a.Code, a.Body)
		}
		if a := f.do(c.method, c.target, c.body); a.Code/100 != 2 {
			t.Errorf("admin: %s %s: %d %s", c.method, c.body, a.Code, a.Body)
		}
	}
	all := f.give("", media.ScopeRead)
	if a := f.as(all, "GET", "/v1/publishers", ""); len(a.items()) != 2 {
		t.Errorf("a reader of all publishers: %s", a.Body)
	}
}

// A catalog that is away says nothing of whose a recording is.
func TestRecordingOfNobodyKnowsWhom(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	acmes, deps := f.give("acme", media.ScopeRead), f.deps
	for _, c := range []struct {
		err  error
		want int
	}{{media.ErrUnavailable, 503}, {media.ErrGone, 404}, {errSecret, 500}} {
		deps.Recordings = awayCatalog{c.err}
		f.Server = New(f.cfg, deps, f.log, prometheus.NewRegistry())
		if a := f.as(acmes, "GET", "/v1/recordings/"+string(recordingID(1)), ""); a.Code != c.want {
			t.Errorf("%v: %d %s", c.err, a.Code, a.Body)
		}
	}
}
