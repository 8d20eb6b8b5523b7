package api

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestPublisherLife(t *testing.T) {
	f := newFixture(t, nil)
	a := f.must(201, "POST", "/v1/publishers",
		`{"name":"acme","archive_delay":"5m","reconnect_window":"60s","listed":true}`)
	if got := a.Header().Get("Location"); got != "/v1/publishers/acme" {
		t.Errorf("Location is %q", got)
	}
	for field, want := range map[string]any{
		"name": "acme", "archive_delay": "5m", "reconnect_window": "1m", "listed": true, // as set
		"dvr_window": "2m", "latency": "low", "end_on_unpublish": true, "retention": "0s", // in force
	} {
		if got := a.json[field]; got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if _, is := a.json["$schema"]; is {
		t.Error("answer has a $schema")
	}
	f.must(200, "PATCH", "/v1/publishers/acme", `{"retention":"24h"}`)
	a = f.must(200, "GET", "/v1/publishers/acme", "")
	if a.json["retention"] != "24h" || a.json["archive_delay"] != "5m" || a.json["listed"] != true {
		t.Errorf("after the patch: %s", a.Body)
	}
	f.must(204, "DELETE", "/v1/publishers/acme", "")
	f.must(404, "GET", "/v1/publishers/acme", "")
}

func TestStreamLife(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.must(201, "POST", "/v1/publishers", `{"name":"acme","archive_delay":"7m"}`)
	a := f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"show","reconnect_window":"0"}`)
	for field, want := range map[string]any{
		"publisher": "acme", "name": "show", "url": "/acme/show/index.m3u8", "archive_delay": "7m", "reconnect_window": "0s",
	} {
		if got := a.json[field]; got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if own := fmt.Sprint(a.json["overrides"]); own != "map[reconnect_window:0s]" {
		t.Errorf("overrides are %s", own)
	}
	key, _ := a.json["key"].(string)
	if !regexp.MustCompile(`^ox_[a-z2-7]{26}$`).MatchString(key) {
		t.Errorf("key is %q", key)
	}
	if _, err := f.db.AuthorizeKey(t.Context(), key); err != nil {
		t.Errorf("the key does not publish: %v", err)
	}
	a = f.must(200, "GET", "/v1/publishers/acme/streams/show", "")
	if strings.Contains(a.Body.String(), key) || a.json["key"] != nil {
		t.Error("the key is told twice")
	}

	// A second key, and the first revoked.
	a = f.must(201, "POST", "/v1/publishers/acme/streams/show/keys", `{"label":"studio"}`)
	if a.json["label"] != "studio" || a.json["key"] == key {
		t.Errorf("second key: %s", a.Body)
	}
	f.must(201, "POST", "/v1/publishers/acme/streams/show/keys", "") // a label is not needed
	keys := f.must(200, "GET", "/v1/publishers/acme/streams/show/keys", "")
	if len(keys.items()) != 3 || strings.Contains(keys.Body.String(), "ox_") {
		t.Fatalf("keys: %s", keys.Body)
	}
	isFirst := func(k map[string]any) bool { return k["label"] == firstKeyLabel }
	first := keys.items()[slices.IndexFunc(keys.items(), isFirst)]
	f.must(204, "DELETE", fmt.Sprint("/v1/publishers/acme/streams/show/keys/", first["id"]), "")
	if !slices.Equal(f.voided, []string{fmt.Sprint(first["id"])}) || len(f.kicked) > 0 {
		t.Errorf("revocation dropped %v and kicked %v", f.voided, f.kicked)
	}
	if _, err := f.db.AuthorizeKey(t.Context(), key); err == nil {
		t.Error("the revoked key still publishes")
	}
	f.must(404, "DELETE", fmt.Sprint("/v1/publishers/acme/streams/show/keys/", first["id"]), "")

	f.must(200, "PATCH", "/v1/publishers/acme/streams/show", `{"archive_delay":"1m"}`)
	f.must(409, "DELETE", "/v1/publishers/acme", "")
	f.must(204, "DELETE", "/v1/publishers/acme/streams/show", "")
	if !slices.Equal(f.kicked, []media.StreamPath{path}) {
		t.Error("deletion of the stream did not kick")
	}
	f.must(204, "DELETE", "/v1/publishers/acme", "")
}

func TestSRTPassphraseIsSetAndNeverTold(t *testing.T) {
	f := newFixture(t, nil)
	const passphrase = "correct horse battery"
	const one = "/v1/publishers/acme/streams/show"
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	want := func(a answer, encrypted bool, stored string) {
		t.Helper()
		if a.json["srt_encrypted"] != encrypted || strings.Contains(a.Body.String(), "horse") {
			t.Errorf("got %s", a.Body)
		}
		if st, err := f.db.Stream(t.Context(), path); err != nil || st.SRTPassphrase != stored {
			t.Errorf("stored %q, %v", st.SRTPassphrase, err)
		}
	}
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	want(f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"show","srt_passphrase":"`+passphrase+`"}`), true, passphrase)
	want(f.must(200, "GET", one, ""), true, passphrase)
	want(f.must(200, "PATCH", one, `{"listed":true}`), true, passphrase)
	want(f.must(200, "PATCH", one, `{"srt_passphrase":""}`), false, "")
	want(f.must(200, "PATCH", one, `{"srt_passphrase":"another horse","max_streams":3}`), true, "another horse")
	for _, bad := range []string{"bad horse", strings.Repeat("horse", 16)} {
		a := f.must(422, "PATCH", one, `{"listed":false,"srt_passphrase":"`+bad+`"}`)
		if !strings.Contains(a.Body.String(), "body.srt_passphrase") || strings.Contains(a.Body.String(), "horse") {
			t.Errorf("got %s", a.Body)
		}
	}
	if a := f.must(200, "GET", one, ""); a.json["listed"] != true || a.json["max_streams"] != 3.0 {
		t.Errorf("a refused patch changed it: %s", a.Body)
	}
}

// noKeys fails to add keys.
type noKeys struct{ *catalog.DB }

func (noKeys) AddKeyUntil(context.Context, media.StreamPath, string, string, time.Time) (media.StreamKey, error) {
	return media.StreamKey{}, media.ErrUnavailable
}

func (noKeys) AddKey(context.Context, media.StreamPath, string, string) (media.StreamKey, error) {
	return media.StreamKey{}, media.ErrUnavailable
}

func TestStreamWithoutItsKeyIsUndone(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Keys = noKeys{} })
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	f.must(503, "POST", "/v1/publishers/acme/streams", `{"name":"show"}`)
	f.must(404, "GET", "/v1/publishers/acme/streams/show", "")
}

func TestPaging(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "p0", Stream: "s"}
	f.stream(path, false)
	for i := 1; i < 5; i++ {
		f.must(201, "POST", "/v1/publishers", fmt.Sprintf(`{"name":"p%d"}`, i))
		f.must(201, "POST", "/v1/publishers/p0/streams", fmt.Sprintf(`{"name":"s%d"}`, i))
	}
	for i := range 5 {
		f.recording(path, i+1, media.Ended)
	}
	for _, c := range []struct{ target, field, want string }{
		{"/v1/publishers", "name", "p0 p1|p2 p3|p4"},
		{"/v1/publishers/p0/streams", "name", "s s1|s2 s3|s4"},
		{"/v1/recordings", "id", fmt.Sprintf("%s %s|%s %s|%s",
			recordingID(5), recordingID(4), recordingID(3), recordingID(2), recordingID(1))},
	} {
		var pages []string
		for cursor := ""; ; {
			a := f.must(200, "GET", c.target+"?limit=2&cursor="+cursor, "")
			var names []string
			for _, item := range a.items() {
				names = append(names, fmt.Sprint(item[c.field]))
			}
			pages = append(pages, strings.Join(names, " "))
			if cursor, _ = a.json["next"].(string); cursor == "" || len(pages) > 5 {
				break
			}
		}
		if got := strings.Join(pages, "|"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.target, got, c.want)
		}
	}
	// The end is told by an empty next, also when the last page is full; an empty list is [].
	if a := f.must(200, "GET", "/v1/publishers?limit=5", ""); a.json["next"] != "" {
		t.Errorf("next is %v", a.json["next"])
	}
	if a := f.must(200, "GET", "/v1/publishers?limit=500", ""); len(a.items()) != 5 {
		t.Errorf("greatest limit: %s", a.Body)
	}
	if a := f.must(200, "GET", "/v1/recordings?publisher=p4", ""); !strings.Contains(a.Body.String(), `"items":[]`) {
		t.Errorf("empty list: %s", a.Body)
	}
}

func TestRecordings(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	live, ended := f.recording(path, 2, media.Live), f.recording(path, 1, media.Ended)
	f.recording(path, 3, media.Interrupted)

	a := f.must(200, "GET", "/v1/recordings?publisher=acme&stream=show&state=live&state=ended", "")
	if len(a.items()) != 2 || a.items()[0]["id"] != string(live) || a.items()[1]["id"] != string(ended) {
		t.Errorf("two states: %s", a.Body)
	}
	a = f.must(200, "GET", "/v1/recordings?since=2026-11-01T00:02:00Z&until=2026-11-01T00:03:00Z", "")
	if len(a.items()) != 1 || a.items()[0]["id"] != string(live) {
		t.Errorf("by time: %s", a.Body)
	}
	if a = f.must(200, "GET", "/v1/recordings?cluster=main&limit=1000", ""); len(a.items()) != 3 {
		t.Errorf("of the cluster: %s", a.Body)
	}
	if a = f.must(200, "GET", "/v1/recordings?cluster=west", ""); len(a.items()) != 0 {
		t.Errorf("of another cluster: %s", a.Body)
	}
	a = f.must(200, "GET", "/v1/recordings/"+string(ended), "")
	want := map[string]any{
		"id": string(ended), "publisher": "acme", "stream": "show", "cluster": "main", "state": "ended",
		"started_at": "2026-11-01T00:01:00Z", "ended_at": "2026-11-01T00:02:00Z", "duration_ms": 60000.0, "bytes": 1000.0,
		"keep": false, "archived_at": nil, "archive_due": "2026-11-01T00:07:00Z", "expire_due": nil,
		"held": false, "expire_reason": "", "drop_due": nil, "archive": "", "mirror": "", "progress": nil,
		"attempts": 0.0, "last_error": "", "url": "/acme/show/" + string(ended) + "/index.m3u8", "continues": "",
		"name": "", "clip": nil, "labels": map[string]any{}, "revision": 1.0,
	}
	if !reflect.DeepEqual(a.json, want) {
		t.Errorf("got  %v\nwant %v", a.json, want)
	}
	if a = f.must(200, "GET", "/v1/recordings/"+string(live), ""); a.json["ended_at"] != nil {
		t.Errorf("live, but ended: %s", a.Body)
	}

	if a = f.must(200, "PATCH", "/v1/recordings/"+string(ended), `{"keep":true}`); a.json["keep"] != true {
		t.Errorf("not kept: %s", a.Body)
	}
	f.must(409, "DELETE", "/v1/recordings/"+string(ended), "")
	f.must(200, "PATCH", "/v1/recordings/"+string(ended), `{"keep":false}`)
	for range 2 { // it may be repeated
		if a = f.must(202, "DELETE", "/v1/recordings/"+string(ended), ""); a.json["state"] != "deleting" {
			t.Errorf("not deleting: %s", a.Body)
		}
	}
	f.must(410, "PATCH", "/v1/recordings/"+string(ended), `{"keep":true}`)
}

// tombstone says that every recording is deleted.
type tombstone struct{ awayCatalog }

func (tombstone) Recording(_ context.Context, id media.RecordingID) (media.Recording, error) {
	return media.Recording{ID: id, Path: media.StreamPath{Publisher: "acme", Stream: "show"}, State: media.Deleted}, nil
}

func TestDeletedRecordingIsGone(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Recordings = tombstone{awayCatalog{media.ErrGone}} })
	for _, c := range [][2]string{{"GET", ""}, {"PATCH", `{"keep":true}`}, {"DELETE", ""}} {
		a := f.must(410, c[0], "/v1/recordings/"+string(recordingID(1)), c[1])
		if !slices.Equal(a.locations(), []string{"path.recording"}) {
			t.Errorf("%s: %s", c[0], a.Body)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *Deps) { c.AllowOrigins = []string{"https://studio.example"} })
	for origin, want := range map[string]string{
		"https://studio.example": "https://studio.example", "https://other.example": "",
	} {
		a := f.send(f.Public(), "OPTIONS", "/v1/publishers", "", "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,if-match,idempotency-key")
		if got := a.Header().Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s may call from %q", origin, got)
		}
		a = f.do("GET", "/v1/publishers", "", "Origin", origin)
		for _, header := range []string{"ETag", "Retry-After", "Location", "Idempotent-Replayed"} {
			if got := a.Header().Get("Access-Control-Expose-Headers"); strings.Contains(strings.ToLower(got),
				strings.ToLower(header)) != (want != "") {
				t.Errorf("%s may read %s", origin, got)
			}
		}
	}
}

func TestGroupsAreCheckedAndTold(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	const streams = "/v1/publishers/acme/streams"
	f.must(201, "POST", streams, `{"name":"show"}`)
	a := f.must(201, "POST", streams, `{"name":"show_720","group":"show"}`)
	if a.json["group"] != "show" || fmt.Sprint(a.json["overrides"]) != "map[group:show]" {
		t.Errorf("created: %s", a.Body)
	}
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", streams, `{"name":"other","group":"nobody"}`, "create it first"},
		{"POST", streams, `{"name":"other","group":"show_720"}`, "itself"},
		{"PATCH", streams + "/show", `{"group":"show_720"}`, "is in group"},
		{"PATCH", streams + "/show_720", `{"group":"show_720"}`, "its own group"},
		{"PATCH", "/v1/publishers/acme", `{"group":"show"}`, "only a stream"},
		{"POST", "/v1/publishers", `{"name":"other","group":"show"}`, "only a stream"},
	} {
		a := f.must(422, c.method, c.path, c.body)
		if text := a.Body.String(); !strings.Contains(text, `"body.group"`) || !strings.Contains(text, c.says) {
			t.Errorf("%s %s %s: %s", c.method, c.path, c.body, text)
		}
	}
	f.must(409, "DELETE", streams+"/show", "")
	if a := f.must(200, "PATCH", streams+"/show_720", `{"group":""}`); a.json["group"] != "" {
		t.Errorf("taken out: %s", a.Body)
	}
	f.must(204, "DELETE", streams+"/show", "")
}
