package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
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

// hangingCatalog answers nothing before who asks has had enough.
type hangingCatalog struct{ awayCatalog }

func (hangingCatalog) Recording(ctx context.Context, _ media.RecordingID) (media.Recording, error) {
	<-ctx.Done()
	return media.Recording{}, ctx.Err()
}

func (hangingCatalog) Recordings(ctx context.Context, _ media.RecordingFilter) ([]media.Recording, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

func ingestNode(id string) media.Node {
	return media.Node{ID: id, Role: media.RoleIngest, URL: "http://" + id + ":8081"}
}

// placed gives the URLs of nodes as a recording has them.
func placed(id media.RecordingID, owner string, ids ...string) []string {
	var nodes []media.Node
	for _, n := range ids {
		nodes = append(nodes, ingestNode(n))
	}
	return placement{recording: id, owner: owner}.nodes(nodes)
}

func TestPlacement(t *testing.T) {
	node := func(id, cluster string, draining bool) media.Node {
		n := ingestNode(id)
		n.Cluster, n.Draining = cluster, draining
		return n
	}
	all := []media.Node{
		node("a", "", false), node("b", "main", true), node("c", "main", false), node("d", "east", false),
		{ID: "e", Role: media.RoleArchiver, Cluster: "main", URL: "http://e:8081"},
	}
	has := func(place placement, want ...string) {
		t.Helper()
		got := place.nodes(all)
		for i := range want {
			want[i] = "http://" + want[i] + ":8081"
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", place, got, want)
		}
	}
	has(placement{cluster: "east", recording: recordingID(1)}, "d")
	has(placement{cluster: "west", recording: recordingID(1)})
	first := map[string]int{}
	for i := range 200 {
		got := placement{cluster: "main", recording: recordingID(i)}.nodes(all)
		if len(got) != 3 || got[2] != "http://b:8081" {
			t.Fatalf("the draining node is not last: %v", got)
		}
		first[got[0]]++
		has(placement{cluster: "main", owner: "b", recording: recordingID(i)}, append([]string{"b"},
			got[0][7:8], got[1][7:8])...)
	}
	if a := first["http://a:8081"]; a < 60 || a > 140 {
		t.Errorf("a is first of %d recordings of 200", a)
	}
	for i := range 20 {
		all = append(all, node(fmt.Sprint("more-", i), "main", false))
	}
	got := placement{cluster: "main", owner: "b", recording: recordingID(1)}.nodes(all)
	if len(got) != maxLocationNodes || got[0] != "http://b:8081" {
		t.Errorf("of many: %v", got)
	}
}

func TestLocate(t *testing.T) {
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	one, two := recordingID(1), recordingID(2)
	row := func(id media.RecordingID, state media.State, local bool) media.Recording {
		return media.Recording{ID: id, Path: path, State: state, Local: local}
	}
	here, placedOne := placed(two, "", "ingest-1", "ingest-2"), placed(one, "", "ingest-1", "ingest-2")
	at := func(id media.RecordingID, state media.State, nodes []string, archived bool) media.Location {
		return media.Location{
			Publisher: "acme", Stream: "show", Recording: id, State: state, Nodes: nodes, Archived: archived,
		}
	}
	leased := media.Lease{Node: "ingest-2", Cluster: "main", Epoch: 3, Recording: two, Feed: media.FeedPrimary}
	owned := []string{"http://ingest-2:8081", "http://ingest-1:8081"}
	guess := func(id media.RecordingID) media.Location {
		return media.Location{
			Publisher: "acme", Stream: "show", Recording: id, Archived: true, Guess: true,
			Nodes: placed(id, "", "ingest-1", "ingest-2", "east-1"),
		}
	}
	for _, c := range []struct {
		name   string
		rows   []media.Recording // newest first
		target string
		lease  media.Lease
		old    bool // the lease is remembered: the registry is away
		away   bool // the catalog is
		hangs  bool // the catalog does
		alone  bool // the registry knows no node
		status int
		want   media.Location
	}{
		{name: "live", rows: []media.Recording{row(two, media.Live, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Live, here, false)},
		{name: "ended", rows: []media.Recording{row(two, media.Ended, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Ended, here, false)},
		{name: "being archived", rows: []media.Recording{row(two, media.Archiving, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Archiving, here, false)},
		{name: "archived and still local", rows: []media.Recording{row(two, media.Archived, true)}, target: "/" + string(two),
			status: 200, want: at(two, media.Archived, here, true)},
		{name: "archived in a named store, with a mirror", target: "/" + string(two), status: 200,
			rows: []media.Recording{{ID: two, Path: path, State: media.Archived, Archive: "west", Mirror: "cold"}},
			want: media.Location{Publisher: "acme", Stream: "show", Recording: two, State: media.Archived, Archived: true,
				Archive: "west", Mirror: "cold"}},
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
			row(one, media.Interrupted, true)}, status: 200, want: at(one, media.Interrupted, placedOne, false)},
		{name: "stream: the latest", rows: []media.Recording{row(two, media.Archived, false), row(one, media.Ended, true)},
			status: 200, want: at(two, media.Archived, nil, true)},
		{name: "stream: the latest that is left", rows: []media.Recording{row(two, media.Deleted, false),
			row(one, media.Ended, true)}, status: 200, want: at(one, media.Ended, placedOne, false)},
		{name: "stream: the latest that has storage", rows: []media.Recording{row(two, media.Ended, false),
			row(one, media.Archived, false)}, status: 200, want: at(one, media.Archived, nil, true)},
		{name: "stream: none", status: 404},
		{name: "leased, no row yet", rows: []media.Recording{row(one, media.Ended, true)}, lease: leased,
			status: 200, want: at(two, media.Live, owned, false)},
		{name: "catalog away, stream", away: true, status: 503},
		{name: "catalog away, leased, no node", away: true, alone: true, lease: leased, status: 503},
		{name: "leased", lease: leased, status: 200, want: at(two, media.Live, owned, false)},
		{name: "leased recording", lease: leased, target: "/" + string(two), status: 200,
			want: at(two, media.Live, owned, false)},
		{name: "leased, its publisher away", lease: media.Lease{Node: "ingest-2", Cluster: "main", Recording: two},
			status: 200, want: at(two, media.Interrupted, owned, false)},
		{name: "leased, catalog away", lease: leased, away: true, status: 200, want: at(two, media.Live, owned, false)},
		{name: "leased, catalog hangs", lease: leased, hangs: true, status: 200, want: at(two, media.Live, owned, false)},
		{name: "leased, its node left the list", status: 200, want: at(two, media.Live, here, false),
			lease: media.Lease{Node: "ingest-9", Cluster: "main", Recording: two, Feed: media.FeedPrimary}},
		{name: "leased in a cluster without nodes", status: 503,
			lease: media.Lease{Node: "ingest-9", Cluster: "west", Recording: two, Feed: media.FeedPrimary}},
		{name: "leased in another cluster", status: 200, want: at(two, media.Live, []string{"http://east-1:8081"}, false),
			lease: media.Lease{Node: "east-1", Cluster: "east", Recording: two, Feed: media.FeedPrimary}},
		{name: "leased, nothing recorded yet", lease: media.Lease{Node: "ingest-2", Cluster: "main"}, status: 404},
		{name: "leased, its row grows", rows: []media.Recording{row(two, media.Interrupted, true)},
			lease: media.Lease{Node: "ingest-2", Cluster: "main"}, status: 200, want: at(two, media.Interrupted, owned, false)},
		{name: "leased, an older recording", lease: leased, rows: []media.Recording{row(one, media.Archived, false)},
			target: "/" + string(one), status: 200, want: at(one, media.Archived, nil, true)},
		{name: "remembered lease", lease: leased, old: true, rows: []media.Recording{row(two, media.Live, true)},
			status: 200, want: at(two, media.Live, owned, false)},
		{name: "remembered lease of what ended", lease: leased, old: true,
			rows: []media.Recording{row(two, media.Archived, false)}, status: 200, want: at(two, media.Archived, nil, true)},
		{name: "remembered lease of what another has followed", lease: media.Lease{Node: "ingest-2", Recording: one}, old: true,
			rows:   []media.Recording{row(two, media.Live, true), row(one, media.Ended, true)},
			status: 200, want: at(two, media.Live, owned, false)},
		{name: "remembered lease of what was deleted", lease: leased, old: true,
			rows:   []media.Recording{row(two, media.Deleted, false), row(one, media.Archived, false)},
			status: 200, want: at(one, media.Archived, nil, true)},
		{name: "leased in another cluster, nothing recorded there yet", rows: []media.Recording{row(one, media.Live, true)},
			lease: media.Lease{Node: "east-1", Cluster: "east"}, status: 200, want: at(one, media.Live, placedOne, false)},
		{name: "leased in another cluster, the recording before", rows: []media.Recording{row(one, media.Live, true)},
			target: "/" + string(one), status: 200, want: at(one, media.Live, placedOne, false),
			lease: media.Lease{Node: "east-1", Cluster: "east", Recording: two, Feed: media.FeedPrimary}},
		{name: "remembered lease, catalog away", lease: leased, old: true, away: true, status: 200,
			want: at(two, media.Live, owned, false)},
		{name: "remembered lease, catalog hangs", lease: leased, old: true, hangs: true, target: "/" + string(two),
			status: 200, want: at(two, media.Live, owned, false)},
		{name: "nothing remembered, catalog knows", old: true, rows: []media.Recording{row(two, media.Live, true)},
			status: 200, want: at(two, media.Live, here, false)},
		{name: "catalog away, other recording", away: true, lease: leased, target: "/" + string(one), status: 200,
			want: guess(one)},
		{name: "catalog away, recording without lease", away: true, target: "/" + string(two), status: 200, want: guess(two)},
		{name: "catalog hangs, recording without lease", hangs: true, target: "/" + string(two), status: 200,
			want: guess(two)},
		{name: "all away", away: true, old: true, target: "/" + string(two), status: 200, want: guess(two)},
		{name: "all away, no node known", away: true, old: true, alone: true, target: "/" + string(two), status: 200,
			want: media.Location{Publisher: "acme", Stream: "show", Recording: two, Archived: true, Guess: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Deps{
				Recordings: rowCatalog{rows: c.rows},
				Nodes: func(context.Context) ([]media.Node, error) {
					if c.alone {
						return nil, nil
					}
					east := ingestNode("east-1")
					east.Cluster = "east"
					edge := media.Node{ID: "edge-1", Role: media.RoleEdge, URL: "http://edge-1:8080"}
					return []media.Node{ingestNode("ingest-1"), ingestNode("ingest-2"), east, edge}, nil
				},
				Owner: func(context.Context, media.StreamPath) (media.Lease, bool, error) {
					if c.old {
						return c.lease, c.lease.Node != "", media.ErrUnavailable
					}
					return c.lease, c.lease.Node != "", nil
				},
			}
			if c.away {
				d.Recordings = awayCatalog{errSecret}
			}
			if c.hangs {
				d.Recordings = hangingCatalog{}
			}
			cfg := Config{CatalogWait: time.Minute}
			if c.hangs {
				cfg.CatalogWait = 10 * time.Millisecond
			}
			f := &fixture{t: t, Server: New(cfg, d, slog.New(slog.DiscardHandler), prometheus.NewRegistry())}
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
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.Nodes = func(context.Context) ([]media.Node, error) { return []media.Node{ingestNode("ingest-1")}, nil }
	})
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
		Nodes:      func(context.Context) ([]media.Node, error) { return []media.Node{ingestNode("ingest-1")}, nil },
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

// namedPublishers has some, and no more of them than that.
type namedPublishers struct {
	some
	names []string
}

// some is what Publishers can do beside naming one.
type some interface {
	CreatePublisher(ctx context.Context, p media.Publisher) error
	Publishers(ctx context.Context, after string, limit int) ([]media.Publisher, error)
	UpdatePublisher(ctx context.Context, name string, patch media.SettingsPatch, revisions ...int64) (
		media.Publisher, error)
	DeletePublisher(ctx context.Context, name string, revisions ...int64) error
}

func (c namedPublishers) Publisher(_ context.Context, name string) (media.Publisher, error) {
	if !slices.Contains(c.names, name) {
		return media.Publisher{}, media.ErrNotFound
	}
	return media.Publisher{Name: name}, nil
}

// A young catalog does not deny what is older than itself: it may have lost it.
func TestAYoungCatalogDoesNotDeny(t *testing.T) {
	made := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
	id := media.RecordingID(strings.ToLower(ulid.MustNew(ulid.Timestamp(made), rand.Reader).String()))
	if !id.Time().Equal(made) {
		t.Errorf("%s was made at %v, by itself at %v", id, made, id.Time())
	}
	acme := media.StreamPath{Publisher: "acme", Stream: "show"}
	for name, row := range map[string]struct {
		born       time.Time
		publishers []string
		known      bool
		want       error
		guess      bool
	}{
		"an old catalog":                       {born: id.Time().Add(-time.Hour), want: media.ErrNotFound},
		"a younger one, without the publisher": {born: id.Time().Add(time.Hour), want: media.ErrUnavailable},
		"a younger one, with the recording and without the publisher": {
			born: id.Time().Add(time.Hour), known: true, want: media.ErrUnavailable,
		},
		"a younger one, with the publisher": {born: id.Time().Add(time.Hour), publishers: []string{"acme"}, guess: true},
		"a younger one, with both": {
			born: id.Time().Add(time.Hour), publishers: []string{"acme"}, known: true,
		},
		"one that had a week to be brought back": {born: id.Time().Add(-8 * 24 * time.Hour), want: media.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var c rowCatalog
			if row.known {
				c.rows = []media.Recording{{ID: id, Path: acme, State: media.Archived}}
			}
			s := New(Config{}, Deps{
				Publishers: namedPublishers{names: row.publishers}, Recordings: c, Publish: func(context.Context, media.Event) error { return nil },
				CatalogBorn: func(context.Context) (time.Time, error) { return row.born, nil },
				Nodes:       func(context.Context) ([]media.Node, error) { return []media.Node{ingestNode("a")}, nil },
			}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			loc, err := s.locate(t.Context(), acme, id)
			if !errors.Is(err, row.want) || (err != nil) != (row.want != nil) {
				t.Fatalf("%v, want %v", err, row.want)
			}
			if err == nil && (loc.Guess != row.guess || !loc.Archived) {
				t.Errorf("%+v", loc)
			}
		})
	}
}
