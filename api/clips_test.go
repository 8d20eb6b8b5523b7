package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestClipLife(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	source := f.recording(path, 1, media.Ended) // a minute from 00:01:00 on
	clips := "/v1/recordings/" + string(source) + "/clips"

	a := f.must(201, "POST", clips, `{"start":10.25,"end":"2026-11-01T00:01:40.5Z","name":"goal"}`)
	id, _ := a.json["id"].(string)
	clip, _ := a.json["clip"].(map[string]any)
	if a.Header().Get("Location") != "/v1/recordings/"+id || a.json["state"] != "ended" || a.json["name"] != "goal" ||
		clip["of"] != string(source) || clip["start_ms"] != 10250.0 || clip["end_ms"] != 40500.0 ||
		a.json["url"] != "/acme/show/"+id+"/index.m3u8" || a.json["archive_due"] == nil {
		t.Errorf("got %s, at %s", a.Body, a.Header())
	}
	if got := f.must(200, "GET", "/v1/recordings/"+id, ""); got.Body.String() != a.Body.String() {
		t.Errorf("got %s\nwant %s", got.Body, a.Body)
	}
	if a := f.must(200, "GET", "/v1/recordings/"+string(source), ""); a.json["clip"] != nil {
		t.Errorf("the source is a clip: %s", a.Body)
	}
	second := f.must(201, "POST", clips, `{"start":"0","end":60}`)
	var listed []string
	page := f.must(200, "GET", clips+"?limit=1", "")
	listed = append(listed, fmt.Sprint(page.items()[0]["id"]))
	page = f.must(200, "GET", clips+"?limit=1&cursor="+fmt.Sprint(page.json["next"]), "")
	listed = append(listed, fmt.Sprint(page.items()[0]["id"]))
	if !slices.Contains(listed, id) || !slices.Contains(listed, fmt.Sprint(second.json["id"])) || page.json["next"] != "" {
		t.Errorf("listed %v, then %s", listed, page.Body)
	}
	if all := f.must(200, "GET", "/v1/recordings?stream=show", ""); len(all.items()) != 3 {
		t.Errorf("listed %s", all.Body)
	}

	// It is no stream's latest recording, and is not there before an archiver has made it.
	if row, err := f.latest(t.Context(), path); err != nil || row.ID != source {
		t.Errorf("latest is %s, %v", row.ID, err)
	}
	if a := f.send(f.Internal(), "GET", "/internal/v1/locate/acme/show/"+id, ""); a.Code != 503 {
		t.Errorf("located: %d %s", a.Code, a.Body)
	}
	f.must(409, "POST", "/v1/recordings/"+id+"/clips", `{"start":0,"end":1}`)
	f.must(202, "DELETE", "/v1/recordings/"+id, "")
}

func TestClipBoundsAreChecked(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	source := f.recording(path, 1, media.Ended)
	for body, field := range map[string]string{
		`{"start":-1,"end":5}`:                                          "body.start",
		`{"start":"-1","end":5}`:                                        "body.start",
		`{"start":"NaN","end":5}`:                                       "body.start",
		`{"start":"soon","end":5}`:                                      "body.start",
		`{"start":"2026-11-01T00:01:00","end":5}`:                       "body.start",
		`{"start":"2026-11-01T00:00:59Z","end":5}`:                      "body.start",
		`{"start":60,"end":61}`:                                         "body.start",
		`{"start":5,"end":5}`:                                           "body.end",
		`{"start":5,"end":"2026-11-01T00:01:04Z"}`:                      "body.end",
		`{"start":5,"end":70}`:                                          "body.end",
		`{"start":5,"end":1e300}`:                                       "body.end",
		`{"start":5}`:                                                   "body.end",
		`{"start":5,"end":true}`:                                        "body.end",
		`{"start":5,"end":9,"name":"` + strings.Repeat("x", 201) + `"}`: "body.name",
		`{"start":5,"end":9,"name":"a\u0000b"}`:                         "body.name",
		`{"start":5,"end":9,"name":"a\nb"}`:                             "body.name",
		`{"start":5,"end":9,"from":"x"}`:                                "body.from",
	} {
		a := f.must(422, "POST", "/v1/recordings/"+string(source)+"/clips", body)
		if !slices.Contains(a.locations(), field) {
			t.Errorf("%s: told of %v: %s", body, a.locations(), a.Body)
		}
	}
	f.must(404, "POST", "/v1/recordings/"+string(recordingID(9))+"/clips", `{"start":0,"end":5}`)
	f.must(404, "GET", "/v1/recordings/"+string(recordingID(9))+"/clips", "")
	f.must(404, "POST", "/v1/recordings/none/clips", `{"start":0,"end":5}`)
	f.must(202, "DELETE", "/v1/recordings/"+string(source), "")
	f.must(410, "POST", "/v1/recordings/"+string(source)+"/clips", `{"start":0,"end":5}`)
	f.must(200, "GET", "/v1/recordings/"+string(source)+"/clips", "")
}
