package api

import (
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestChangesAreMadeOnConditions(t *testing.T) {
	f := newFixture(t, nil)
	show := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(show, false)
	id := string(f.recording(show, 1, media.Ended))
	for _, c := range []struct{ target, body string }{
		{"/v1/publishers/acme/streams/show", `{"listed":true,"srt_passphrase":"correct horse"}`},
		{"/v1/publishers/acme", `{"listed":true}`},
		{"/v1/recordings/" + id, `{"name":"final"}`},
	} {
		first := f.must(200, "GET", c.target, "").Header().Get("ETag")
		changed := f.must(200, "PATCH", c.target, c.body)
		second := changed.Header().Get("ETag")
		if first == "" || second == "" || first == second {
			t.Fatalf("%s: ETags %s and %s", c.target, first, second)
		}
		if got := f.must(200, "GET", c.target, "").Header().Get("ETag"); got != second {
			t.Errorf("%s: ETag %s after the change that gave %s", c.target, got, second)
		}
		for _, tags := range []string{first, "W/" + second, `"x", ` + first, `"0"`, `""`} {
			for _, method := range []string{"PATCH", "DELETE"} {
				body := c.body
				if method == "DELETE" {
					body = ""
				}
				a := f.do(method, c.target, body, "If-Match", tags)
				if a.Code != 412 || !slices.Equal(a.locations(), []string{"header.If-Match"}) {
					t.Errorf("%s %s if %s: %d %s", method, c.target, tags, a.Code, a.Body)
				}
			}
		}
		if a := f.do("PATCH", c.target+"?dry_run=true", c.body, "If-Match", first); a.Code != 412 && c.body[2] != 'n' {
			t.Errorf("dry run of %s: %d %s", c.target, a.Code, a.Body)
		}
		if a := f.do("PATCH", c.target, c.body, "If-Match", first+" , "+second); a.Code != 200 {
			t.Errorf("PATCH %s if one of two: %d %s", c.target, a.Code, a.Body)
		}
		if a := f.do("PATCH", c.target, c.body, "If-Match", " * "); a.Code != 200 {
			t.Errorf("PATCH %s if any: %d %s", c.target, a.Code, a.Body)
		}
	}
	if a := f.do("DELETE", "/v1/recordings/"+id, "", "If-Match", f.do("GET", "/v1/recordings/"+id, "").Header().Get("ETag")); a.Code != 202 {
		t.Errorf("DELETE if unchanged: %d %s", a.Code, a.Body)
	}
	for _, tags := range []string{"", ",", "1", `"1`, `"1"2`, `"a b"`, `* , "1"`, `"1",*`} {
		a := f.do("PATCH", "/v1/publishers/acme", `{"listed":true}`, "If-Match", tags)
		if a.Code != 422 || !slices.Equal(a.locations(), []string{"header.If-Match"}) {
			t.Errorf("If-Match %q: %d %s", tags, a.Code, a.Body)
		}
	}
}

func FuzzIfMatch(f *testing.F) {
	for _, text := range []string{"*", `"1"`, `W/"1", "2"`, `"1`, ", ,"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		revisions, err := parseIfMatch(text)
		if len(revisions) > maxIfMatch+1 || err != nil && revisions != nil {
			t.Errorf("%d revisions, %v", len(revisions), err)
		}
	})
}
