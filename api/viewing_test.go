package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// viewed is what an edge would tell of a stream: so many viewers, in this minute.
func viewed(stream string, recording media.RecordingID, minute time.Time, viewers int64) media.ViewingRow {
	return media.ViewingRow{
		ViewingKey: media.ViewingKey{Minute: minute.Unix() / 60 * 60, Stream: stream, Recording: recording},
		Samples:    []int64{viewers},
		Viewing: media.Viewing{
			Starts: viewers, WatchMS: viewers * 60_000, CMCDWatchMS: viewers * 60_000, Startups: 1, StartupMS: 400,
			StartupOf: media.Histogram{0, 0, 0, 0, 0, 1}, Stalls: 2, StalledMS: viewers * 600,
		},
	}
}

// tell sends an edge's report, and gives the status.
func (f *fixture) tell(edge string, r media.ViewingReport, headers ...string) int {
	f.t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.send(f.Internal(), "POST", "/internal/v1/edges/"+edge+"/viewing", string(body), headers...).Code
}

func TestViewing(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	id := f.recording(path, 1, media.Live)
	now := time.Now()
	before := now.Add(-3 * time.Minute)
	for edge, viewers := range map[string]int64{"e1": 3, "e2": 5} {
		report := media.ViewingReport{
			Run: "r", Keep: true,
			Viewers: []media.ViewingCount{{Stream: "acme/show", Recording: id, Viewers: viewers}},
			Done:    []media.ViewingRow{viewed("acme/show", id, before, viewers)},
			Rows:    []media.ViewingRow{viewed("acme/show", id, now, viewers)},
		}
		for range 2 { // told twice is told once
			if code := f.tell(edge, report); code != http.StatusNoContent {
				t.Fatalf("report: %d", code)
			}
		}
	}
	for _, target := range []string{"/v1/publishers/acme/streams/show/viewing", "/v1/recordings/" + string(id) + "/viewing?since=" +
		now.Add(-time.Hour).UTC().Format(time.RFC3339)} {
		got := f.must(200, "GET", target, "").json
		total := got["total"].(map[string]any)
		history := got["history"].([]any)
		if got["viewers"] != 8.0 || got["peak"] != 8.0 || total["starts"] != 16.0 || len(history) != 2 {
			t.Errorf("%s: %v", target, got)
		}
		if total["startup_ms"] != 400.0 || total["stall_ratio"] != 0.01 || total["cmcd_share"] != 1.0 {
			t.Errorf("%s: quality %v", target, total)
		}
		if first := history[0].(map[string]any); first["viewers"] != 8.0 || first["span_s"] != 60.0 {
			t.Errorf("%s: history %v", target, first)
		}
		if edges := got["edges"].([]any); len(edges) != 2 || edges[1].(map[string]any)["viewers"] != 5.0 {
			t.Errorf("%s: edges %v", target, got["edges"])
		}
	}
	got := f.must(200, "GET", "/v1/viewing", "").json
	if row := got["items"].([]any)[0].(map[string]any); got["viewers"] != 8.0 || row["edges"] != 2.0 || row["stream"] != "show" {
		t.Errorf("overview: %v", got)
	}
	// A token of one publisher sees its own, and no edges.
	own := f.as(f.give("acme", media.ScopeRead), "GET", "/v1/publishers/acme/streams/show/viewing", "")
	if own.Code != 200 || own.json["viewers"] != 8.0 || own.json["edges"] != nil {
		t.Errorf("the publisher's own: %d %v", own.Code, own.json)
	}
	f.must(201, "POST", "/v1/publishers", `{"name":"beta"}`)
	betas := f.give("beta", media.ScopeRead)
	if other := f.as(betas, "GET", "/v1/viewing", ""); other.json["viewers"] != 0.0 || len(other.json["items"].([]any)) != 0 {
		t.Errorf("another publisher sees %v", other.json)
	}
	if other := f.as(betas, "GET", "/v1/recordings/"+string(id)+"/viewing", ""); other.Code != 404 {
		t.Errorf("another publisher's recording: %d", other.Code)
	}
}

func TestViewingRanges(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	const target = "/v1/publishers/acme/streams/show/viewing"
	for query, want := range map[string]int{
		"": 200, "?step=1h": 200, "?since=2026-01-01T00:00:00Z": 200,
		"?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z&step=5m":  422,
		"?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z":          422,
		"?since=2036-01-01T00:00:00Z":                                     422,
		"?step=2m":                                                        422,
		"?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z&step=1m":  200,
		"?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z&step=15m": 422, // long gone: until is before all
	} {
		if got := f.do("GET", target+query, ""); got.Code != want {
			t.Errorf("%q: %d, want %d: %s", query, got.Code, want, got.Body)
		}
	}
	f.must(404, "GET", "/v1/publishers/acme/streams/none/viewing", "")
	f.must(404, "GET", "/v1/recordings/01kamf8v5v7yh6a8q1r0h3vk7e/viewing", "")
}

func TestViewingReportsAreChecked(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *Deps) { c.Tokens = admission.MustFixed(t, "secret") })
	good := media.ViewingReport{Run: "r", Viewers: []media.ViewingCount{{Stream: "acme/show", Viewers: 1}}}
	const header, right = "Authorization", "Bearer secret"
	if code := f.tell("e1", good); code != http.StatusUnauthorized {
		t.Errorf("without the cluster's token: %d", code)
	}
	if code := f.tell("e1", good, header, right); code != http.StatusNoContent {
		t.Errorf("right: %d", code)
	}
	for what, change := range map[string]func(r *media.ViewingReport){
		"no run":             func(r *media.ViewingReport) { r.Run = "" },
		"no stream":          func(r *media.ViewingReport) { r.Viewers[0].Stream = "acme" },
		"less than none":     func(r *media.ViewingReport) { r.Viewers[0].Viewers = -1 },
		"a recording of air": func(r *media.ViewingReport) { r.Viewers[0].Recording = "x" },
		"half a minute": func(r *media.ViewingReport) {
			r.Rows = []media.ViewingRow{{ViewingKey: media.ViewingKey{Minute: 90, Stream: "acme/show"}}}
		},
		"a long histogram": func(r *media.ViewingReport) {
			r.Done = []media.ViewingRow{viewed("acme/show", "", time.Now(), 1)}
			r.Done[0].ThroughputOf = make(media.Histogram, 25)
		},
		"a figure below zero": func(r *media.ViewingReport) {
			r.Done = []media.ViewingRow{viewed("acme/show", "", time.Now(), 1)}
			r.Done[0].Bytes = -1
		},
	} {
		bad := good
		bad.Viewers = []media.ViewingCount{good.Viewers[0]}
		change(&bad)
		if code := f.tell("e1", bad, header, right); code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", what, code)
		}
	}
	if code := f.tell(strings.Repeat("e", 300), good, header, right); code != http.StatusUnprocessableEntity {
		t.Errorf("a long id: %d", code)
	}
	for _, body := range []string{"", "{", `{"run":1}`, "[]"} {
		if got := f.send(f.Internal(), "POST", "/internal/v1/edges/e1/viewing", body, header, right); got.Code != 422 {
			t.Errorf("%q: %d", body, got.Code)
		}
	}
	// What is too old or of a time to come is not kept, and not asked for again.
	f2 := newFixture(t, nil)
	old := media.ViewingReport{Run: "r", Keep: true, Done: []media.ViewingRow{
		viewed("acme/show", "", time.Now().Add(-72*time.Hour), 1), viewed("acme/show", "", time.Now().Add(time.Hour), 1),
	}}
	if code := f2.tell("e1", old); code != http.StatusNoContent {
		t.Errorf("old rows: %d", code)
	}
	rows := 0
	if err := f2.db.Viewing(t.Context(), media.ViewingFilter{}, func(media.EdgeViewing) error { rows++; return nil }); err != nil || rows != 0 {
		t.Errorf("%d rows were kept, %v", rows, err)
	}
}

func TestAnEdgeThatIsSilentHasNoViewers(t *testing.T) {
	n, now := newViewingNow(), time.Now()
	report := media.ViewingReport{Run: "r", Viewers: []media.ViewingCount{{Stream: "acme/show", Viewers: 4}}}
	n.told("e1", &report, now)
	for _, row := range []struct {
		after time.Duration
		want  int64
	}{{0, 4}, {viewingSilence, 4}, {viewingSilence + time.Second, 0}} {
		if got, _ := n.top("", 10, now.Add(row.after)); got != row.want {
			t.Errorf("after %v: %d viewers, want %d", row.after, got, row.want)
		}
	}
	for i := range maxViewingEdges + 1 {
		if kept := n.told(fmt.Sprint("x", i), &report, now); kept != (i < maxViewingEdges-1) {
			t.Fatalf("edge %d: kept %t", i, kept)
		}
	}
	if !n.told("late", &report, now.Add(viewingMemory+time.Second)) {
		t.Error("edges that are gone are remembered")
	}
}
