package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestRecordingsAreNamedAndLabelled(t *testing.T) {
	f := newFixture(t, nil)
	show := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(show, false)
	one := "/v1/recordings/" + string(f.recording(show, 1, media.Ended))
	a := f.must(200, "PATCH", one, `{"name":"Final","labels":{"season":"2026","cup":""},"keep":true}`)
	if a.json["name"] != "Final" || a.json["keep"] != true || fmt.Sprint(a.json["labels"]) != "map[cup: season:2026]" {
		t.Errorf("after the change: %s", a.Body)
	}
	a = f.must(200, "PATCH", one, `{"labels":{}}`)
	if a.json["name"] != "Final" || a.json["keep"] != true || fmt.Sprint(a.json["labels"]) != "map[]" {
		t.Errorf("after the labels went: %s", a.Body)
	}
	for _, c := range []struct{ body, location string }{
		{`{}`, "body"},
		{`{"labels":null}`, "body.labels"},
		{`{"labels":{"a":null}}`, "body.labels.a"},
		{`{"labels":{"a":1}}`, "body.labels.a"},
		{`{"labels":{"A":"x"}}`, "body.labels"},
		{`{"labels":{"a":"\n"}}`, "body.labels"},
		{`{"labels":["a"]}`, "body.labels"},
		{`{"name":null}`, "body.name"},
		{`{"name":"a\u0000"}`, "body.name"},
		{`{"name":"` + strings.Repeat("ä", 150) + `"}`, "body.name"},
		{`{"label":"x"}`, "body.label"},
	} {
		a := f.do("PATCH", one, c.body)
		if a.Code != 422 || !slices.Equal(a.locations(), []string{c.location}) {
			t.Errorf("%s: %d %s", c.body, a.Code, a.Body)
		}
	}
}

func TestRecordingsAreFilteredAndSorted(t *testing.T) {
	f := newFixture(t, nil)
	show := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(show, false)
	for n := range 3 {
		f.recording(show, n, media.Ended)
	}
	f.recording(show, 3, media.Live)
	f.must(200, "PATCH", "/v1/recordings/"+string(recordingID(1)), `{"name":"Cup final","labels":{"season":"2026"}}`)
	f.must(201, "POST", "/v1/recordings/"+string(recordingID(0))+"/clips", `{"start":0,"end":5,"labels":{"season":"2025"}}`)
	for query, want := range map[string]int{
		"": 5, "label=season": 2, "label=season=2026": 1, "label=season&label=cup": 0, "name=CUP": 1, "clips=true": 1,
		"clips=false": 4, "min_duration=1m": 4, "max_duration=59s": 1, "min_duration=5s&max_duration=5s": 1,
		"sort=-duration": 4, "sort=started_at": 5, "sort=bytes&state=ended&state=live": 4,
	} {
		if got := len(f.must(200, "GET", "/v1/recordings?"+query, "").items()); got != want {
			t.Errorf("%q lists %d, want %d", query, got, want)
		}
	}
	first := f.must(200, "GET", "/v1/recordings?sort=ended_at&limit=3", "")
	cursor, _ := first.json["next"].(string)
	f.must(200, "GET", "/v1/recordings?sort=ended_at&cursor="+url.QueryEscape(cursor), "")
	for query, location := range map[string]string{
		"sort=-ended_at&cursor=" + cursor: "query.cursor", "cursor=" + cursor: "query.cursor", "sort=name": "query.sort",
		"sort=bytes&state=live": "query.sort", "label=Season": "query.label", "label==x": "query.label",
		"min_duration=5": "query.min_duration", "max_duration=0": "query.max_duration", "clips=maybe": "query.clips",
		"min_duration=2m&max_duration=1m": "query.max_duration", "labels=x": "query.labels",
	} {
		a := f.do("GET", "/v1/recordings?"+query, "")
		if a.Code != 422 || !slices.Equal(a.locations(), []string{location}) {
			t.Errorf("%q: %d %s", query, a.Code, a.Body)
		}
	}
}
