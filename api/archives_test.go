package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func archiveStatus(name, state string) media.ArchiveStatus {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	return media.ArchiveStatus{
		Cluster: "main", Name: name, Place: "s3://" + name, State: state, Since: at, CheckedAt: at,
	}
}

// withArchives has the server ask the catalog, which is all of its dependencies.
func withArchives(_ *Config, d *Deps) {
	d.Archives = d.Recordings.(interface {
		Archives(ctx context.Context) ([]media.ArchiveStatus, error)
	}).Archives
}

func TestArchivesAreListedWithTheirStates(t *testing.T) {
	f := newFixture(t, withArchives)
	if a := f.must(200, "GET", "/v1/archives", ""); len(a.items()) != 0 {
		t.Errorf("%s", a.Body)
	}
	full := archiveStatus("eu", "full")
	full.LastError = "no room"
	for _, s := range []media.ArchiveStatus{archiveStatus("default", media.ArchiveOK), full} {
		if err := f.db.SaveArchive(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	items := f.must(200, "GET", "/v1/archives", "").items()
	if len(items) != 2 || items[0]["name"] != "default" || items[0]["state"] != "ok" {
		t.Fatalf("%v", items)
	}
	for field, want := range map[string]any{
		"name": "eu", "cluster": "main", "place": "s3://eu", "state": "full", "last_error": "no room",
		"since": "2026-11-20T12:00:00Z", "checked_at": "2026-11-20T12:00:00Z",
	} {
		if items[1][field] != want {
			t.Errorf("%s is %v, want %v", field, items[1][field], want)
		}
	}
}

func TestSettingsNameArchivesThatAre(t *testing.T) {
	f := newFixture(t, withArchives)
	f.must(201, "POST", "/v1/publishers", `{"name":"early","archive":"anything"}`) // nobody knows the archives yet
	for _, name := range []string{"default", "eu", "us"} {
		if err := f.db.SaveArchive(t.Context(), archiveStatus(name, media.ArchiveOK)); err != nil {
			t.Fatal(err)
		}
	}
	f.must(201, "POST", "/v1/publishers", `{"name":"acme","archive":"eu","mirror":"us"}`)
	f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"show","archive":"default"}`)
	for _, c := range []struct{ method, target, body, field, says string }{
		{"POST", "/v1/publishers", `{"name":"beta","archive":"mars"}`, "archive", "default, eu, us"},
		{"PATCH", "/v1/publishers/acme", `{"mirror":"mars"}`, "mirror", "default, eu, us"},
		{"POST", "/v1/publishers/acme/streams", `{"name":"talk","archive":"mars"}`, "archive", "default, eu, us"},
		{"PATCH", "/v1/publishers/acme/streams/show", `{"mirror":"mars"}`, "mirror", "default, eu, us"},
		{"PATCH", "/v1/publishers/acme", `{"mirror":"eu"}`, "mirror", "is the archive itself"},
		{"PATCH", "/v1/publishers/acme/streams/show", `{"mirror":"default"}`, "mirror", "is the archive itself"},
		{"POST", "/v1/publishers/acme/streams", `{"name":"talk","archive":"us"}`, "mirror", "is the archive itself"},
	} {
		a := f.must(422, c.method, c.target, c.body)
		if body := a.Body.String(); !strings.Contains(body, `"body.`+c.field+`"`) || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %s", c.target, c.body, body)
		}
	}
	f.must(200, "PATCH", "/v1/publishers/acme", `{"archive":"","mirror":""}`)
}

func TestDeletionIsToldAtOnce(t *testing.T) {
	var told []media.Event
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.Publish = func(_ context.Context, e media.Event) error {
			told = append(told, e)
			return media.ErrUnavailable // which changes nothing for the client
		}
	})
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	r := media.Recording{
		ID: "01kafzq7s8e5gv9mxw2ctr4n6b", Path: path, State: media.Live, StartedAt: time.Now().Add(-time.Hour),
	}
	target := "/v1/recordings/" + string(r.ID)
	if err := f.db.SaveRecording(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	f.must(409, "DELETE", target, "")
	if len(told) != 0 {
		t.Errorf("told %v of what was refused", told)
	}
	r.State, r.EndedAt = media.Ended, time.Now()
	if err := f.db.SaveRecording(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	f.must(202, "DELETE", target, "")
	if len(told) != 1 || told[0].Type != media.EventDeleted || told[0].Recording != r.ID || told[0].Publisher != "acme" {
		t.Errorf("told %+v", told)
	}
}

func TestProgressOfAnArchiving(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	now := time.Now()
	r := media.Recording{
		ID: "01kafzq7s8e5gv9mxw2ctr4n6b", Path: path, State: media.Ended, StartedAt: now.Add(-time.Hour), EndedAt: now,
	}
	if err := f.db.SaveRecording(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	target := "/v1/recordings/" + string(r.ID)
	if a := f.must(200, "GET", target, ""); a.json["progress"] != nil {
		t.Errorf("%s", a.Body)
	}
	claim, err := f.db.ClaimDue(t.Context(), "a", media.Due{Cluster: media.DefaultCluster}, now.Add(time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    media.Progress
		want map[string]any
	}{
		{media.Progress{Done: 10, Total: 100, Rate: 40, At: now}, map[string]any{
			"done_bytes": 10.0, "total_bytes": 100.0, "rate_bps": 40.0, "eta_s": 3.0,
		}},
		{media.Progress{Done: 10, Total: 100, At: now}, map[string]any{
			"done_bytes": 10.0, "total_bytes": 100.0, "rate_bps": 0.0, "eta_s": nil,
		}},
	} {
		if err := f.db.SaveProgress(t.Context(), claim, c.p); err != nil {
			t.Fatal(err)
		}
		have, _ := f.must(200, "GET", target, "").json["progress"].(map[string]any)
		for field, want := range c.want {
			if value, is := have[field]; !is || value != want {
				t.Errorf("%s is %v, want %v", field, value, want)
			}
		}
	}
}
