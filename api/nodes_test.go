package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestNodes(t *testing.T) {
	began := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	nodes := []media.Node{
		{ID: "ingest-b", Role: media.RoleIngest, Cluster: "east", URL: "http://b:8081", Draining: true},
		{ID: "ingest-a", Role: media.RoleIngest, Cluster: "main", URL: "http://a:8081", Version: "1.2", StartedAt: began,
			Load: media.Load{Publishers: 3, BitsIn: 9_000_000, Capacity: 100}},
		{ID: "edge-a", Role: media.RoleEdge, URL: "http://e:8080"},
		{ID: "archiver-a", Role: media.RoleArchiver, Cluster: "main", URL: "http://r:8081"},
		{ID: "api-a", Role: media.RoleAPI, URL: "http://p:8081"},
	}
	var away, refusal error
	var drained []string
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.Nodes = func(context.Context) ([]media.Node, error) { return nodes, away }
		d.Drain = func(_ context.Context, n media.Node) error {
			drained = append(drained, n.ID)
			return refusal
		}
	})
	for target, want := range map[string]string{
		"":                             "api-a archiver-a edge-a ingest-a ingest-b",
		"?role=ingest":                 "ingest-a ingest-b",
		"?cluster=main":                "archiver-a ingest-a",
		"?role=ingest&cluster=west":    "",
		"?limit=2":                     "api-a archiver-a next=archiver-a",
		"?limit=2&cursor=archiver-a":   "edge-a ingest-a next=ingest-a",
		"?role=ingest&cursor=ingest-a": "ingest-b",
	} {
		a := f.must(200, "GET", "/v1/nodes"+target, "")
		var ids []string
		for _, item := range a.items() {
			ids = append(ids, fmt.Sprint(item["id"]))
		}
		if next := a.json["next"]; next != "" {
			ids = append(ids, fmt.Sprint("next=", next))
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
	a := f.must(200, "GET", "/v1/nodes/ingest-a", "")
	for _, want := range []string{
		`"role":"ingest"`, `"cluster":"main"`, `"url":"http://a:8081"`, `"version":"1.2"`, `"publishers":3`,
		`"bits_in":9000000`, `"started_at":"2026-11-20T12:00:00Z"`,
	} {
		if !strings.Contains(a.Body.String(), want) {
			t.Errorf("%s is not in %s", want, a.Body)
		}
	}
	for _, c := range []struct {
		status       int
		method, path string
		says         string
	}{
		{202, "POST", "/v1/nodes/ingest-a/drain", ""},
		{202, "POST", "/v1/nodes/ingest-b/drain", ""}, // it drains already: that is no error
		{404, "POST", "/v1/nodes/none/drain", "path.id"},
		{404, "GET", "/v1/nodes/none", "GET /v1/nodes lists"},
		{202, "POST", "/v1/nodes/edge-a/drain", ""},
		{409, "POST", "/v1/nodes/archiver-a/drain", "SIGTERM"},
		{409, "POST", "/v1/nodes/api-a/drain", "SIGTERM"},
		{422, "GET", "/v1/nodes?role=viewer", "query.role"},
	} {
		if a := f.must(c.status, c.method, c.path, ""); !strings.Contains(a.Body.String(), c.says) {
			t.Errorf("%s %s: %s", c.method, c.path, a.Body)
		}
	}
	if got := fmt.Sprint(drained); got != "[ingest-a ingest-b]" {
		t.Errorf("drained %s", got)
	}
	for _, path := range []string{"GET /v1/nodes", "GET /v1/nodes/ingest-a", "POST /v1/nodes/ingest-a/drain"} {
		method, target, _ := strings.Cut(path, " ")
		if a := f.send(f.Public(), method, target, ""); a.Code != 401 {
			t.Errorf("%s without a token: %d", path, a.Code)
		}
	}
	refusal = media.ErrUnavailable
	f.must(503, "POST", "/v1/nodes/ingest-a/drain", "")
	away = media.ErrUnavailable
	f.must(503, "GET", "/v1/nodes", "")
	f.must(503, "POST", "/v1/nodes/ingest-a/drain", "")
}

func TestNoNodes(t *testing.T) {
	f := newFixture(t, nil)
	if a := f.must(200, "GET", "/v1/nodes", ""); len(a.items()) != 0 {
		t.Errorf("%s", a.Body)
	}
	f = newFixture(t, func(_ *Config, d *Deps) {
		d.Nodes = func(context.Context) ([]media.Node, error) { return []media.Node{ingestNode("local")}, nil }
	})
	if a := f.must(409, "POST", "/v1/nodes/local/drain", ""); !strings.Contains(a.Body.String(), "SIGTERM") {
		t.Errorf("%s", a.Body)
	}
}

func TestSwitchFeed(t *testing.T) {
	live := media.StreamPath{Publisher: "acme", Stream: "show"}
	var asked []string
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.SwitchFeed = func(_ context.Context, path media.StreamPath, feed string) error {
			asked = append(asked, feed)
			switch {
			case path != live:
				return noFeeds(t.Context(), path, feed)
			case feed == media.FeedBackup:
				return fmt.Errorf("%w: no backup is connected", media.ErrConflict)
			}
			return nil
		}
	})
	f.stream(live, false)
	for _, c := range []struct {
		status       int
		stream, body string
		says         string
	}{
		{204, "show", `{"feed":"primary"}`, ""},
		{409, "show", `{"feed":"backup"}`, "no backup is connected"},
		{404, "other", `{"feed":"primary"}`, "path.stream"},
		{404, "a.b", `{"feed":"primary"}`, "path.stream"},
		{422, "show", `{"feed":"third"}`, "body.feed"},
		{422, "show", `{"feed":""}`, "body.feed"},
		{422, "show", `{}`, "feed"},
		{422, "show", `{"feed":"primary","now":true}`, "body.now"},
	} {
		a := f.must(c.status, "POST", "/v1/publishers/acme/streams/"+c.stream+"/switch", c.body)
		if !strings.Contains(a.Body.String(), c.says) {
			t.Errorf("%s %s: %s", c.stream, c.body, a.Body)
		}
	}
	if got := fmt.Sprint(asked); got != "[primary backup primary]" {
		t.Errorf("asked %s", got)
	}
	newFixture(t, nil).must(404, "POST", "/v1/publishers/acme/streams/show/switch", `{"feed":"primary"}`)
}

func TestClusterOperationsAreDescribed(t *testing.T) {
	doc := newFixture(t, nil).must(200, "GET", "/v1/openapi.json", "").Body.String()
	for _, want := range []string{
		`"list-nodes"`, `"get-node"`, `"drain-node"`, `"switch-feed"`, "bits per second", "one discontinuity",
		`"unreachable"`,
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("%s is not in the document", want)
		}
	}
}

func TestReadyOnceAServiceHasAnswered(t *testing.T) {
	var registryUp, catalogUp atomic.Bool
	ping := func(up *atomic.Bool) func(context.Context) error {
		return func(context.Context) error {
			if !up.Load() {
				return errors.New("connection refused")
			}
			return nil
		}
	}
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.Services = map[string]func(context.Context) error{"registry": ping(&registryUp), "catalog": ping(&catalogUp)}
	})
	f.must(200, "GET", "/healthz", "")
	f.must(503, "GET", "/readyz", "")
	registryUp.Store(true)
	f.must(200, "GET", "/readyz", "")
	registryUp.Store(false)
	f.must(200, "GET", "/readyz", "")
}
