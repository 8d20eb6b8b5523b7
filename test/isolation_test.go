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
	source := worldSource(t)
	own := newWorld(t, server, doc, "alpha", source)
	other := newWorld(t, server, doc, "bravo", source)
	own.settle()
	other.settle()
	tokens := own.scopedTokens()
	rows := contractRows()
	for _, op := range doc.ops {
		t.Run(op.OperationID, func(t *testing.T) {
			row := rows[op.OperationID]
			if row == nil {
				t.Fatalf("no row for %s %s: add %q to contractRows", op.method, op.path, op.OperationID)
			}
			own.under(t)
			other.under(t)
			if doc.open(op) {
				other.hides(t, op, row)
				return
			}
			other.intrude(t, op, row, tokens[allScopes], own)
			own.mayDo(t, op, row, tokens, other)
		})
	}
	own.under(t)
	other.under(t)
	t.Run("limits", func(t *testing.T) { own.keepsLimits(t, tokens[allScopes]) })
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
		before := w.state()
		marks := w.marks(before)
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

// hides sends the right requests to an operation that everybody may use: nothing of this world, whose publisher is not
// listed, is in the answers.
func (w *world) hides(t *testing.T, op *operation, row func(w *world) []request) {
	t.Helper()
	marks := w.marks(w.state())
	for i, r := range row(w) {
		a := op.do(t, w.oxbow, "", r)
		if seen := seenIn(a, marks); seen != "" || a.status != http.StatusOK {
			op.tell(t, fmt.Sprintf("request %d of anybody", i+1), a, fmt.Errorf("status %d, and it has %q of %s", a.status,
				seen, w.publisher))
		}
	}
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
	return []string{
		"/v1/publishers/" + w.publisher, streams + "?limit=500", "/v1/recordings?limit=1000&publisher=" + w.publisher,
		streams + "/" + w.live + "/keys", streams + "/" + w.live + "/events", streams + "/" + w.live + "/session",
		"/v1/recordings/" + w.archivedID + "/clips", "/v1/webhooks?publisher=" + w.publisher,
		"/v1/tokens?publisher=" + w.publisher, "/v1/publishers/" + w.publisher + "/playback-keys",
	}
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
		steady := make([]any, 0, len(v))
		for _, of := range v {
			row, _ := of.(map[string]any)
			if state := row["state"]; state != "deleting" && state != "deleted" { // those go by themselves
				steady = append(steady, withoutChange(of))
			}
		}
		// A clip that is made gets its start, and another place in the order.
		slices.SortFunc(steady, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return steady
	}
	return value
}

// marks are the names and ids by which anything of the world can be told.
func (w *world) marks(state map[string]string) []string {
	marks := []string{w.publisher, w.liveID, w.archivedID, w.endedID}
	for _, text := range state {
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
