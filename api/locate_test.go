package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// rowCatalog has just these rows.
type rowCatalog struct {
	awayCatalog
	rows []media.Recording
}

func (c rowCatalog) Recording(_ context.Context, id media.RecordingID) (media.Recording, error) {
	for _, r := range c.rows {
		if r.ID == id {
			return r, nil
		}
	}
	return media.Recording{}, media.ErrNotFound
}

func (c rowCatalog) Recordings(_ context.Context, f media.RecordingFilter) ([]media.Recording, string, error) {
	var list []media.Recording
	for _, r := range c.rows {
		for _, state := range f.States {
			if r.State == state && r.Path == (media.StreamPath{Publisher: f.Publisher, Stream: f.Stream}) {
				list = append(list, r)
			}
		}
	}
	return list, "", nil
}

func TestLocate(t *testing.T) {
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	one, two := recordingID(1), recordingID(2)
	row := func(id media.RecordingID, state media.State, local bool) media.Recording {
		return media.Recording{ID: id, Path: path, State: state, Local: local}
	}
	here := []string{"http://ingest-1:8081", "http://ingest-2:8081"}
	at := func(id media.RecordingID, state media.State, nodes []string, archived bool) media.Location {
		return media.Location{
			Publisher: "acme", Stream: "show", Recording: id, State: state, Nodes: nodes, Archived: archived,
		}
	}
	for _, c := range []struct {
		name    string
		rows    []media.Recording // newest first
		target  string
		current media.RecordingID
		away    bool // the catalog is
		alone   bool // the registry knows no node
		status  int
		want    media.Location
	}{
		{name: "live", rows: []media.Recording{row(two, media.Live, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Live, here, false)},
		{name: "ended", rows: []media.Recording{row(two, media.Ended, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Ended, here, false)},
		{name: "being archived", rows: []media.Recording{row(two, media.Archiving, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Archiving, here, false)},
		{name: "archived and still local", rows: []media.Recording{row(two, media.Archived, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Archived, here, true)},
		{name: "archived only", rows: []media.Recording{row(two, media.Archived, false)}, target: "/" + string(two),
			status: 200, want: at(two, media.Archived, nil, true)},
		{name: "archived and local, no node", rows: []media.Recording{row(two, media.Archived, true)},
			target: "/" + string(two), alone: true, status: 200, want: at(two, media.Archived, nil, true)},
		{name: "live, no node", rows: []media.Recording{row(two, media.Live, true)}, target: "/" + string(two),
			alone: true, status: 503},
		{name: "storage lost", rows: []media.Recording{row(two, media.Ended, false)}, target: "/" + string(two), status: 404},
		{name: "deleting", rows: []media.Recording{row(two, media.Deleting, true)}, target: "/" + string(two), status: 410},
		{name: "deleted", rows: []media.Recording{row(two, media.Deleted, false)}, target: "/" + string(two), status: 410},
		{name: "unknown", target: "/" + string(two), status: 404},
		{name: "another stream's", rows: []media.Recording{{ID: two, State: media.Live,
			Path: media.StreamPath{Publisher: "acme", Stream: "other"}}}, target: "/" + string(two), status: 404},
		{name: "bad id", target: "/live", status: 404},
		{name: "stream: the growing one", rows: []media.Recording{row(two, media.Ended, true),
			row(one, media.Interrupted, true)}, status: 200, want: at(one, media.Interrupted, here, false)},
		{name: "stream: the latest", rows: []media.Recording{row(two, media.Archived, false), row(one, media.Ended, true)},
			status: 200, want: at(two, media.Archived, nil, true)},
		{name: "stream: the latest that is left", rows: []media.Recording{row(two, media.Deleted, false),
			row(one, media.Ended, true)}, status: 200, want: at(one, media.Ended, here, false)},
		{name: "stream: the latest that has storage", rows: []media.Recording{row(two, media.Ended, false),
			row(one, media.Archived, false)}, status: 200, want: at(one, media.Archived, nil, true)},
		{name: "stream: none", status: 404},
		{name: "stream: no row yet", rows: []media.Recording{row(one, media.Ended, true)}, current: two,
			status: 200, want: at(two, media.Live, here, false)},
		{name: "live: no row yet", current: two, target: "/" + string(two),
			status: 200, want: at(two, media.Live, here, false)},
		{name: "the current one's row", rows: []media.Recording{row(two, media.Interrupted, true)}, current: two,
			status: 200, want: at(two, media.Interrupted, here, false)},
		{name: "catalog away", away: true, target: "/" + string(two), status: 503},
		{name: "catalog away, stream", away: true, status: 503},
		{name: "catalog away, live", away: true, current: two, status: 200, want: at(two, media.Live, here, false)},
		{name: "catalog away, live recording", away: true, current: two, target: "/" + string(two),
			status: 200, want: at(two, media.Live, here, false)},
		{name: "catalog away, other recording", away: true, current: two, target: "/" + string(one), status: 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Deps{
				Recordings: rowCatalog{rows: c.rows},
				Nodes: func(context.Context) ([]string, error) {
					if c.alone {
						return nil, nil
					}
					return here, nil
				},
				Current: func(context.Context, media.StreamPath) (media.RecordingID, bool) {
					return c.current, c.current != ""
				},
			}
			if c.away {
				d.Recordings = awayCatalog{errSecret}
			}
			f := &fixture{t: t, Server: New(Config{}, d, slog.New(slog.DiscardHandler), prometheus.NewRegistry())}
			a := f.send(f.Internal(), "GET", "/internal/v1/locate/acme/show"+c.target, "")
			if a.Code != c.status || a.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("got %d, want %d: %s %s", a.Code, c.status, a.Header(), a.Body)
			}
			if c.status != 200 {
				if a.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("no problem document: %s", a.Body)
				}
				return
			}
			var got media.Location
			if err := json.Unmarshal(a.Body.Bytes(), &got); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestLocateOverTheCatalog(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	f.recording(path, 2, media.Ended)
	live := f.recording(path, 1, media.Live)
	a := f.send(f.Internal(), "GET", "/internal/v1/locate/acme/show", "")
	if a.Code != 200 || a.json["recording"] != string(live) || a.json["state"] != "live" {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestInternalAndPublicAreApart(t *testing.T) {
	f := newFixture(t, nil)
	if a := f.send(f.Public(), "GET", "/internal/v1/locate/acme/show", ""); a.Code != 404 {
		t.Errorf("public: got %d", a.Code)
	}
	if a := f.send(f.Internal(), "GET", "/v1/publishers", ""); a.Code != 404 {
		t.Errorf("internal: got %d", a.Code)
	}
}

func TestLocateOfAStreamThatASourceBrings(t *testing.T) {
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	asked := 0
	rows := rowCatalog{rows: []media.Recording{{ID: recordingID(1), Path: path, State: media.Archived}}}
	s := New(Config{}, Deps{
		Recordings: rows,
		Nodes:      func(context.Context) ([]string, error) { return []string{"http://ingest-1:8081"}, nil },
		Wanted:     func(p media.StreamPath) bool { asked++; return p == path },
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	loc, err := s.locate(t.Context(), path, "")
	if err != nil || loc.Recording != "" || len(loc.Nodes) != 1 || loc.Archived {
		t.Errorf("%+v %v", loc, err)
	}
	if loc, err := s.locate(t.Context(), path, recordingID(1)); err != nil || loc.Recording != recordingID(1) || asked != 1 {
		t.Errorf("%+v %v, asked %d times", loc, err, asked)
	}
}
