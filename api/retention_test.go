package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ids lists the recordings of an array in an answer, by the number that made them, with a field of each.
func ids(list any, fields ...string) string {
	items, _ := list.([]any)
	var texts []string
	for _, item := range items {
		row, _ := item.(map[string]any)
		id := fmt.Sprint(row["recording"])
		for n := range 20 {
			if id == string(recordingID(n)) {
				id = fmt.Sprint(n)
			}
		}
		for _, field := range fields {
			id += fmt.Sprint(" ", row[field])
		}
		texts = append(texts, id)
	}
	return strings.Join(texts, "|")
}

func TestRetentionPlan(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	f.recording(path, 1, media.Ended)
	f.recording(path, 2, media.Ended)
	f.recording(path, 3, media.Live)
	f.must(200, "PATCH", "/v1/publishers/acme", `{"retention":"1h"}`)
	f.must(200, "PATCH", "/v1/recordings/"+string(recordingID(2)), `{"keep":true}`)
	a := f.must(200, "GET", "/v1/retention?publisher=acme&stream=show", "")
	want := "1 archive archive_delay false 2026-11-01T00:07:00Z|2 archive archive_delay false 2026-11-01T00:08:00Z|" +
		"1 delete retention false 2026-11-01T01:02:00Z|2 delete retention true 2026-11-01T01:03:00Z"
	if got := ids(a.json["items"], "action", "reason", "held", "due"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var paged []string
	for cursor := ""; ; {
		a := f.must(200, "GET", "/v1/retention?limit=3&cursor="+cursor, "")
		paged = append(paged, ids(a.json["items"], "action", "reason", "held", "due"))
		if cursor, _ = a.json["next"].(string); cursor == "" {
			break
		}
	}
	if got := strings.Join(paged, "|"); got != want || len(paged) != 2 {
		t.Errorf("in pages: %v", paged)
	}
	a = f.must(200, "GET", "/v1/retention?until=2026-11-01T00:07:00Z", "")
	if got := ids(a.json["items"], "action"); got != "1 archive" {
		t.Errorf("until: %s", got)
	}
	for query, location := range map[string]string{
		"cursor=x": "query.cursor", "limit=0": "query.limit", "publisher=A": "query.publisher", "before=x": "query.before",
	} {
		if a := f.must(422, "GET", "/v1/retention?"+query, ""); !strings.Contains(a.Body.String(), location) {
			t.Errorf("%s: %s", query, a.Body)
		}
	}
}

func TestDryRunOfSettingsTellsAndChangesNothing(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	for n := range 4 {
		f.recording(path, n+1, media.Ended)
	}
	before := f.must(200, "GET", "/v1/recordings", "").Body.String()
	for _, c := range []struct{ path, body, want string }{
		{"/v1/publishers/acme", `{"retention_count":3}`, "1 retention_count"},
		{"/v1/publishers/acme", `{"retention_bytes":2000}`, "1 retention_bytes|2 retention_bytes"},
		{"/v1/publishers/acme", `{"retention":"1h"}`, "1 retention|2 retention|3 retention|4 retention"},
		{"/v1/publishers/acme", `{"retention":"876000h"}`, ""},
		{"/v1/publishers/acme/streams/show", `{"retention_count":2}`, "1 retention_count|2 retention_count"},
		{"/v1/publishers/acme/streams/show", `{"record":"off"}`, "1 record|2 record|3 record|4 record"},
		{"/v1/publishers/acme/streams/show", `{"retention_count":2,"keep":true}`, ""},
	} {
		a := f.must(200, "PATCH", c.path+"?dry_run=true", c.body)
		dry, _ := a.json["dry_run"].(map[string]any)
		got := ids(dry["delete"], "reason")
		n := 0.0
		if got != "" {
			n = float64(strings.Count(got, "|") + 1)
		}
		if got != c.want || dry["deletes"] != n || dry["delete_bytes"] != 1000*n {
			t.Errorf("%s %s: %s, of %v", c.path, c.body, got, dry)
		}
	}
	if a := f.must(200, "GET", "/v1/publishers/acme", ""); a.json["retention"] != "0s" || a.json["retention_count"] != 0.0 {
		t.Errorf("after dry runs: %s", a.Body)
	}
	if after := f.must(200, "GET", "/v1/recordings", "").Body.String(); after != before {
		t.Errorf("after dry runs: %s", after)
	}
	if a := f.must(200, "PATCH", "/v1/publishers/acme", `{"retention_count":3}`); a.json["dry_run"] != nil {
		t.Errorf("not dry: %s", a.Body)
	}
	a := f.must(200, "GET", "/v1/recordings/"+string(recordingID(1)), "")
	if a.json["expire_reason"] != "retention_count" || a.json["expire_due"] == nil {
		t.Errorf("after the change: %s", a.Body)
	}
	f.must(422, "PATCH", "/v1/publishers/acme?dry_run=true", `{"retention_count":-1}`)
	f.must(404, "PATCH", "/v1/publishers/nobody?dry_run=true", `{"retention_count":1}`)
	f.must(404, "PATCH", "/v1/publishers/acme/streams/none?dry_run=true", `{"retention_count":1}`)
	f.must(422, "PATCH", "/v1/publishers/acme/streams/show?dry_run=true", `{"group":"show"}`)
}

func TestDeletionOfOneDry(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	id := string(f.recording(path, 1, media.Ended))
	if a := f.must(200, "DELETE", "/v1/recordings/"+id+"?dry_run=true", ""); a.json["state"] != "ended" {
		t.Errorf("dry: %s", a.Body)
	}
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show", `{"keep":true}`)
	if a := f.must(200, "GET", "/v1/recordings/"+id, ""); a.json["held"] != true || a.json["keep"] != false {
		t.Errorf("held: %s", a.Body)
	}
	for _, query := range []string{"", "?dry_run=true"} {
		if a := f.must(409, "DELETE", "/v1/recordings/"+id+query, ""); !strings.Contains(a.Body.String(), "setting keep") {
			t.Errorf("held: %s", a.Body)
		}
	}
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show", `{"keep":false}`)
	f.must(202, "DELETE", "/v1/recordings/"+id, "")
	if a := f.must(410, "PATCH", "/v1/recordings/"+id, `{"keep":true}`); !strings.Contains(a.Body.String(), "begun") {
		t.Errorf("too late: %s", a.Body)
	}
	f.must(404, "DELETE", "/v1/recordings/"+string(recordingID(9))+"?dry_run=true", "")
}

func TestDeletionOfMany(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	for n := range 4 {
		f.recording(path, n+1, media.Ended)
	}
	f.recording(path, 5, media.Live)
	f.must(200, "PATCH", "/v1/recordings/"+string(recordingID(2)), `{"keep":true}`)
	const before = "/v1/recordings?publisher=acme&before=2026-11-01T00:04:30Z"
	for _, dry := range []bool{true, false} {
		status := map[bool]int{true: 200, false: 202}[dry]
		a := f.must(status, "DELETE", fmt.Sprint(before, "&dry_run=", dry), "")
		if got := ids(a.json["items"]); got != "1|3" || a.json["deleted"] != 2.0 || a.json["bytes"] != 2000.0 ||
			a.json["dry_run"] != dry {
			t.Errorf("dry %v: %s", dry, a.Body)
		}
		if got := ids(a.json["left"], "state"); got != "2 ended" || !strings.Contains(a.Body.String(), "set keep to false first") {
			t.Errorf("dry %v: left %s", dry, a.Body)
		}
	}
	a := f.must(202, "DELETE", "/v1/recordings?stream=show&limit=2", "")
	if ids(a.json["items"]) != "4" || ids(a.json["left"]) != "2" || a.json["next"] == "" {
		t.Errorf("a page: %s", a.Body)
	}
	a = f.must(202, "DELETE", "/v1/recordings?stream=show&limit=2&cursor="+fmt.Sprint(a.json["next"]), "")
	if ids(a.json["left"], "state") != "5 live" || a.json["next"] != "" || a.json["deleted"] != 0.0 {
		t.Errorf("the last page: %s", a.Body)
	}
	for query, location := range map[string]string{
		"": "query.publisher", "cluster=main": "query.publisher", "publisher=A": "query.publisher",
		"publisher=acme&cursor=x": "query.cursor", "publisher=acme&limit=1001": "query.limit", "publishr=acme": "query.publishr",
	} {
		if a := f.must(422, "DELETE", "/v1/recordings?"+query, ""); !strings.Contains(a.Body.String(), location) {
			t.Errorf("%s: %s", query, a.Body)
		}
	}
}

func TestProgressIsToldWhileItIsUnderWay(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	half := media.Progress{Done: 50, Total: 100, Rate: 20, At: now.Add(-time.Second)}
	eta := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name string
		row  media.Recording
		want *progressRow
	}{
		{"nothing yet", media.Recording{State: media.Archiving}, nil},
		{"archiving", media.Recording{State: media.Archiving, Progress: half}, &progressRow{50, 100, 20, eta(3)}},
		{
			"stuck", media.Recording{State: media.Archiving, Progress: media.Progress{Done: 50, Total: 100, Rate: 20, At: now.Add(-time.Hour)}},
			&progressRow{50, 100, 0, nil},
		},
		{"over", media.Recording{State: media.Archived, Progress: half}, nil},
		{"while live", media.Recording{State: media.Live, Continuous: true, Progress: half}, &progressRow{50, 100, 20, nil}},
	} {
		got := newProgressRow(c.row, now)
		if fmt.Sprintf("%+v", deref(got)) != fmt.Sprintf("%+v", deref(c.want)) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	clip := newClip(media.Recording{ClipOf: recordingID(1), ClipStart: time.Second, ClipEnd: 2500 * time.Millisecond})
	if clip == nil || *clip != (Clip{Of: recordingID(1), StartMS: 1000, EndMS: 2500}) || newClip(media.Recording{}) != nil {
		t.Errorf("clip is %+v", clip)
	}
}

// deref makes of a row what can be compared by its text.
func deref(r *progressRow) any {
	if r == nil {
		return nil
	}
	eta := int64(-1)
	if r.ETASeconds != nil {
		eta = *r.ETASeconds
	}
	return []int64{r.DoneBytes, r.TotalBytes, r.RateBPS, eta}
}
