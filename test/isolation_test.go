package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestIsolation has a publisher's token try every operation of the OpenAPI document on all that another publisher has:
// by its names in the path, in the query and in the body. It sees nothing of it and changes nothing, and the token does
// what it may with its own.
func TestIsolation(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newContractServer(t)
	doc := loadDocument(t, server)
	if doc.operation("create-token") == nil {
		t.Skip("the document has no operation create-token: there are no tokens of a publisher yet")
	}
	source := worldSource(t)
	own := newWorld(t, server, doc, "alpha", source)
	other := newWorld(t, server, doc, "bravo", source)
	own.settle()
	other.settle()
	token, _ := own.newToken("read", "write", "sign")
	rows := contractRows()
	for _, op := range doc.ops {
		row := rows[op.OperationID]
		if row == nil || doc.open(op) {
			continue // TestContract tells of what has no row
		}
		t.Run(op.OperationID, func(t *testing.T) {
			own.under(t)
			other.under(t)
			other.intrude(t, op, row, token, own)
			own.mayDo(t, op, row, token, other)
		})
	}
	own.under(t)
	other.under(t)
	t.Run("playback", func(t *testing.T) { other.playsNothing(t, own) })
}

// under has the world's set-up fail another test.
func (w *world) under(t *testing.T) { w.tb, w.oxbow.tb = t, t }

// intrude sends the operation's right requests about this world with a token of another's publisher.
func (w *world) intrude(t *testing.T, op *operation, row func(w *world) []request, token string, intruder *world) {
	t.Helper()
	var requests []request
	for _, r := range row(w) {
		requests = append(requests, append(r.mixed(intruder), r)...) // as it is at the end: by mistake it may succeed
	}
	for i, r := range requests {
		what := fmt.Sprintf("%s's request %d with %s's token", w.publisher, i+1, intruder.publisher)
		marks := w.marks()
		before := w.state()
		a := op.do(t, w.oxbow, token, r)
		after := w.state()
		switch named := r.names(marks); {
		case named && a.status != http.StatusNotFound && a.status != http.StatusForbidden:
			op.tell(t, what, a, fmt.Errorf("status %d, want 404 or 403: it is about %s", a.status, w.publisher))
		case a.status >= http.StatusInternalServerError:
			op.tell(t, what, a, fmt.Errorf("status %d", a.status))
		case !named || a.status == http.StatusForbidden:
			if seen := seenIn(a, marks); seen != "" && !r.says(seen) {
				op.tell(t, what, a, fmt.Errorf("the answer has %q of %s", seen, w.publisher))
			}
		}
		if err := op.conforms(a); err != nil {
			op.tell(t, what, a, err)
		}
		for path, was := range before {
			if is := after[path]; is != was {
				op.tell(t, what, a, fmt.Errorf("it changed %s of %s:\nwas %s\nis  %s", path, w.publisher, was, is))
			}
		}
	}
}

// mixed gives requests that name what the request is about under the other world's publisher, and stream.
func (r request) mixed(own *world) (list []request) {
	for _, name := range []string{"publisher", "stream"} {
		if _, has := r.path[name]; !has || len(r.path) == 1 {
			break
		}
		r = r.clone()
		r.path[name] = own.publisher
		if name == "stream" {
			r.path[name] = own.live
		}
		if name == "publisher" || len(r.path) > 2 { // else nothing of the other is left
			list = append(list, r)
		}
	}
	return list
}

// mayDo sends the operation's right requests about the token's own publisher: they are answered, but for those that
// only administrators may send, and nothing of the other is in the answers.
func (w *world) mayDo(t *testing.T, op *operation, row func(w *world) []request, token string, other *world) {
	t.Helper()
	marks := other.marks()
	for i, r := range row(w) {
		what := fmt.Sprintf("%s's request %d with its own token", w.publisher, i+1)
		if name := r.path["publisher"]; name != "" && name != w.publisher {
			continue // a row's own publisher, which is another one
		}
		a := op.do(t, w.oxbow, token, r)
		if r.patient && a.status == http.StatusConflict {
			continue
		}
		switch {
		case a.status == http.StatusForbidden && adminOnly(op.OperationID):
		case r.want != 0 || a.status >= http.StatusBadRequest:
			if err := r.succeeded(a); err != nil {
				op.tell(t, what, a, fmt.Errorf("%w: is it an operation of administrators, for adminOnly?", err))
			}
		case adminOnly(op.OperationID):
			op.tell(t, what, a, fmt.Errorf("status %d, want 403: it is for administrators", a.status))
		}
		if seen := seenIn(a, marks); seen != "" {
			op.tell(t, what, a, fmt.Errorf("the answer has %q of %s", seen, other.publisher))
		}
	}
}

// adminOnly lists what no token of a publisher may do, even about its own.
func adminOnly(id string) bool {
	return slices.Contains([]string{
		"create-publisher", "delete-publisher", "put-source", "list-nodes", "get-node", "drain-node", "list-archives",
		"create-token", "list-tokens", "get-token", "revoke-token", "delete-token",
	}, id)
}

// names says whether a request is about what the marks are of.
func (r request) names(marks []string) bool {
	return slices.ContainsFunc(marks, r.says)
}

// says is whether a text is in the request.
func (r request) says(mark string) bool {
	text, _ := json.Marshal(r.body)
	for _, value := range slices.Sorted(maps.Values(r.path)) {
		text = append(text, " "+value...)
	}
	for _, values := range r.query {
		text = append(text, " "+strings.Join(values, " ")...)
	}
	return bytes.Contains(text, []byte(mark))
}

// seenIn gives the first mark that is in an answer.
func seenIn(a answer, marks []string) string {
	for _, mark := range marks {
		if bytes.Contains(a.body, []byte(mark)) || strings.Contains(fmt.Sprint(a.header), mark) {
			return mark
		}
	}
	return ""
}

// views are the paths that show all of the world to an administrator.
func (w *world) views() []string {
	streams := "/v1/publishers/" + w.publisher + "/streams"
	views := []string{
		"/v1/publishers/" + w.publisher, streams + "?limit=500", "/v1/recordings?limit=1000&publisher=" + w.publisher,
		streams + "/" + w.live + "/keys", streams + "/" + w.live + "/events", streams + "/" + w.live + "/session",
		"/v1/recordings/" + w.archivedID + "/clips",
	}
	for id, view := range map[string]string{
		"list-webhooks": "/v1/webhooks?publisher=" + w.publisher, "list-tokens": "/v1/tokens",
		"list-playback-keys": "/v1/publishers/" + w.publisher + "/playback-keys",
	} {
		if w.doc.operation(id) != nil {
			views = append(views, view)
		}
	}
	return views
}

// state is what an administrator sees of the world, but for what changes by itself.
func (w *world) state() map[string]string {
	w.tb.Helper()
	state := make(map[string]string)
	for _, view := range w.views() {
		status, text := w.call(http.MethodGet, view, nil)
		var value any
		if err := json.Unmarshal(text, &value); status != http.StatusOK || err != nil {
			w.tb.Fatalf("GET %s: %d %v %s", view, status, err, text)
		}
		steady, err := json.Marshal(withoutChange(w.ownOf(value)))
		if err != nil {
			w.tb.Fatal(err)
		}
		state[view] = string(steady)
	}
	return state
}

// ownOf leaves out of a list what is another publisher's.
func (w *world) ownOf(value any) any {
	page, _ := value.(map[string]any)
	items, is := page["items"].([]any)
	if !is {
		return value
	}
	page["items"] = slices.DeleteFunc(items, func(item any) bool {
		row, _ := item.(map[string]any)
		publisher, has := row["publisher"]
		return has && publisher != w.publisher
	})
	return value
}

// withoutChange takes from a JSON value what shows and their archiving change.
func withoutChange(value any) any {
	switch v := value.(type) {
	case map[string]any:
		keep := []string{
			"items", "id", "kid", "name", "label", "publisher", "stream", "keep", "feed", "remote", "overrides", "url",
			"retention", "retention_count", "archive_delay", "record", "srt_encrypted", "number", "enabled", "events", "scopes",
			"expires_at", "labels", "alg", "clip", "of", "playback", "created_at", "start_date", "duration_s",
		}
		if started, live := v["started_at"], v["ended_at"] == nil; started != nil && live {
			keep = slices.DeleteFunc(keep, func(name string) bool { return name == "duration_s" })
		}
		steady := make(map[string]any)
		for name, of := range v {
			if slices.Contains(keep, name) {
				steady[name] = withoutChange(of)
			}
		}
		return steady
	case []any:
		steady := make([]any, len(v))
		for i, of := range v {
			steady[i] = withoutChange(of)
		}
		return steady
	}
	return value
}

// marks are the names and ids by which anything of the world can be told.
func (w *world) marks() []string {
	marks := []string{w.publisher, w.liveID, w.archivedID, w.endedID}
	for _, text := range w.state() {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			w.tb.Fatal(err)
		}
		marks = append(marks, idsIn(value)...)
	}
	slices.Sort(marks)
	return slices.Compact(marks)
}

// idsIn lists the ids in a JSON value. Short ones are in other texts by chance.
func idsIn(value any) (ids []string) {
	const short = 8
	switch v := value.(type) {
	case map[string]any:
		for name, of := range v {
			if id, ok := of.(string); ok && (name == "id" || name == "kid") && len(id) >= short {
				ids = append(ids, id)
			}
			ids = append(ids, idsIn(of)...)
		}
	case []any:
		for _, of := range v {
			ids = append(ids, idsIn(of)...)
		}
	}
	return ids
}

// playsNothing has a playback token made with another's keys try this world's streams.
func (w *world) playsNothing(t *testing.T, other *world) {
	if w.doc.operation("create-playback-token") == nil {
		t.Skip("the document has no operation create-playback-token: nothing is signed yet")
	}
	for _, each := range []*world{w, other} {
		each.must(http.MethodPatch, "/v1/publishers/"+each.publisher, map[string]any{"playback": "signed"}, nil)
	}
	signed := func(of *world, stream string) string {
		return of.made("/v1/publishers/"+of.publisher+"/playback-tokens", "token", map[string]any{
			"stream": stream, "expires_in": "1h", "kid": of.newPlaybackKey(),
		})
	}
	foreign := []string{signed(other, other.live), signed(other, w.live)}
	right := signed(w, w.live)
	for _, path := range []string{
		"/" + w.publisher + "/" + w.live + "/index.m3u8",
		"/" + w.publisher + "/" + w.live + "/" + w.liveID + "/index.m3u8",
		"/" + w.publisher + "/" + w.past + "/" + w.archivedID + "/index.m3u8",
	} {
		if strings.Contains(path, w.live) {
			eventually(t, contractWait, "the right token plays "+path, func() bool {
				status, _ := w.try(w.url("/t/" + right + path))
				return status == http.StatusOK
			})
		}
		refused := map[string]string{"none": path}
		for i, token := range foreign {
			refused[fmt.Sprintf("foreign %d in the path", i)] = "/t/" + token + path
			refused[fmt.Sprintf("foreign %d in the query", i)] = path + "?token=" + token
		}
		for what, target := range refused {
			eventually(t, contractWait, what+": "+path+" is refused", func() bool {
				status, _ := w.try(w.url(target))
				return status == http.StatusForbidden
			})
		}
	}
}
