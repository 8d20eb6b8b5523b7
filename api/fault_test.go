package api

import (
	"net/http"
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestErrorsNameTheFirstThatIsNotThere(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	for _, c := range []struct{ method, path, body, location string }{
		{"GET", "/v1/publishers/none/streams/show", "", "path.publisher"},
		{"GET", "/v1/publishers/acme/streams/none", "", "path.stream"},
		{"GET", "/v1/publishers/none/streams/show/source", "", "path.publisher"},
		{"GET", "/v1/publishers/acme/streams/none/source", "", "path.stream"},
		{"GET", "/v1/publishers/acme/streams/show/source", "", "path.stream"}, // it has none
		{"DELETE", "/v1/publishers/none/streams/show/keys/x", "", "path.publisher"},
		{"DELETE", "/v1/publishers/acme/streams/none/keys/x", "", "path.stream"},
		{"DELETE", "/v1/publishers/acme/streams/show/keys/x", "", "path.id"},
		{"GET", "/v1/publishers/None!/streams/show", "", "path.publisher"},
		{"GET", "/v1/publishers/acme/streams/None!", "", "path.stream"},
		{"POST", "/v1/publishers/none/streams", `{"name":"show"}`, "path.publisher"},
	} {
		a := f.must(http.StatusNotFound, c.method, c.path, c.body)
		if got := a.locations(); !slices.Equal(got, []string{c.location}) {
			t.Errorf("%s %s names %v, want %s: %s", c.method, c.path, got, c.location, a.Body)
		}
	}
}

func TestErrorsNameWhatIsMissingAndWhatIsWrong(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	for _, c := range []struct{ path, body, location string }{
		{"/v1/publishers", `{}`, "body.name"},
		{"/v1/publishers/acme/streams", `{"record":"on"}`, "body.name"},
		{"/v1/publishers/acme/streams/show/switch", `{}`, "body.feed"},
		{"/v1/publishers/acme/streams/show/keys", `{"label":"a\u0000b"}`, "body.label"},
	} {
		a := f.must(http.StatusUnprocessableEntity, "POST", c.path, c.body)
		if got := a.locations(); !slices.Equal(got, []string{c.location}) {
			t.Errorf("%s %s names %v, want %s: %s", c.path, c.body, got, c.location, a.Body)
		}
	}
}

// What embeds a row, what may be null, and what a dry run answers are told as they are.
func TestOpenAPITellsAnswersAsTheyAre(t *testing.T) {
	doc := openAPI(t, newFixture(t, nil))
	at := func(keys ...string) map[string]any {
		t.Helper()
		node := doc
		for _, key := range keys {
			next, ok := node[key].(map[string]any)
			if !ok {
				t.Fatalf("no %s of %v", key, keys)
			}
			node = next
		}
		return node
	}
	for schema, property := range map[string]string{
		"CreatedStreamOutputBody": "srt_encrypted", "ChangedPublisherBody": "dvr_window", "ChangedStreamBody": "overrides",
		"CreatedKeyOutputBody": "label",
	} {
		at("components", "schemas", schema, "properties", property)
	}
	for _, property := range []string{"clip", "progress"} {
		of, _ := at("components", "schemas", "RecordingRow", "properties", property)["anyOf"].([]any)
		if len(of) != 2 {
			t.Errorf("%s of a recording is not told to be null at times: %v", property, of)
		}
	}
	for _, path := range []string{"/v1/recordings", "/v1/recordings/{recording}"} {
		at("paths", path, "delete", "responses", "200", "content", "application/json")
		at("paths", path, "delete", "responses", "202")
	}
}
