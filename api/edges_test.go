package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

var edgeStarted = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// edgeNode is an edge as it tells of itself.
func edgeNode(id, site string, change func(n *media.Node)) media.Node {
	n := media.Node{
		ID: id, Role: media.RoleEdge, URL: "http://" + id + ":8081", StartedAt: edgeStarted,
		Load: media.Load{Viewers: 7, BitsOut: 1_000_000},
		Edge: &media.Edge{PublicURL: "https://" + id + ".example.com", Site: site, Asks: true, Ready: true},
	}
	if change != nil {
		change(&n)
	}
	return n
}

// edgeDirectory is one API process over a registry that it may share.
type edgeDirectory struct {
	*fixture
	registry registry.Registry
}

func newEdgeDirectory(t *testing.T, r registry.Registry) *edgeDirectory {
	t.Helper()
	f := newFixture(t, func(c *Config, d *Deps) {
		c.Tokens = admission.MustFixed(t, "cluster")
		d.Register, d.Unregister, d.Nodes, d.Publish, d.EventLog = r.Register, r.Unregister, r.Nodes, r.Publish, r
	})
	return &edgeDirectory{f, r}
}

// beat sends what an edge tells of itself.
func (d *edgeDirectory) beat(n media.Node) (answer, media.EdgeOrders) {
	d.t.Helper()
	d.edges.at = time.Time{} // the next list is a new one
	body, err := json.Marshal(n)
	if err != nil {
		d.t.Fatal(err)
	}
	a := d.send(d.Internal(), http.MethodPost, "/internal/v1/edges/"+n.ID, string(body), "Authorization", "Bearer cluster")
	var orders media.EdgeOrders
	if a.Code == http.StatusOK {
		if err := json.Unmarshal(a.Body.Bytes(), &orders); err != nil {
			d.t.Fatal(err)
		}
	}
	return a, orders
}

func TestBeatsListEdges(t *testing.T) {
	d := newEdgeDirectory(t, registry.NewMemory(registry.Config{}))
	if a, _ := d.beat(edgeNode("edge-a", "north", nil)); a.Code != http.StatusOK {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	text := d.must(200, "GET", "/v1/nodes/edge-a", "").Body.String()
	for _, want := range []string{
		`"role":"edge"`, `"viewers":7`, `"public_url":"https://edge-a.example.com"`, `"site":"north"`, `"ready":true`,
		`"beat":`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	leave := func(query string) int {
		return d.send(d.Internal(), http.MethodDelete, "/internal/v1/edges/edge-a?"+query, "", "Authorization",
			"Bearer cluster").Code
	}
	if code := leave("started_at=yesterday"); code != http.StatusUnprocessableEntity {
		t.Errorf("no time: %d", code)
	}
	// One that started before is no longer the one that is listed.
	if code := leave("started_at=2026-11-22T05:00:00Z"); code != http.StatusNoContent {
		t.Errorf("an older process: %d", code)
	}
	d.must(200, "GET", "/v1/nodes/edge-a", "")
	if code := leave("started_at=2026-11-22T06:00:00Z"); code != http.StatusNoContent {
		t.Errorf("leave: %d", code)
	}
	d.must(404, "GET", "/v1/nodes/edge-a", "")
}

func TestBeatsAreChecked(t *testing.T) {
	r := registry.NewMemory(registry.Config{})
	d := newEdgeDirectory(t, r)
	if err := r.Register(t.Context(), media.Node{ID: "taken", Role: media.RoleIngest, URL: "http://i:1"}); err != nil {
		t.Fatal(err)
	}
	d.beat(edgeNode("restarted", "", nil))
	for name, c := range map[string]struct {
		status int
		says   string
		node   media.Node
	}{
		"an ingest node's name": {409, "--node", edgeNode("taken", "", nil)},
		"a younger edge's name": {409, "--node", edgeNode("restarted", "", func(n *media.Node) {
			n.StartedAt = edgeStarted.Add(-time.Second)
		})},
		"a later start":         {200, "", edgeNode("restarted", "", func(n *media.Node) { n.StartedAt = edgeStarted.Add(time.Second) })},
		"no edge":               {422, "role", edgeNode("x", "", func(n *media.Node) { n.Edge = nil })},
		"another role":          {422, "role", edgeNode("x", "", func(n *media.Node) { n.Role = media.RoleIngest })},
		"a cluster":             {422, "cluster", edgeNode("x", "", func(n *media.Node) { n.Cluster = "main" })},
		"no start":              {422, "started_at", edgeNode("x", "", func(n *media.Node) { n.StartedAt = time.Time{} })},
		"a bad URL":             {422, "base URL", edgeNode("x", "", func(n *media.Node) { n.URL = "x" })},
		"a bad public URL":      {422, "public URL", edgeNode("x", "", func(n *media.Node) { n.Edge.PublicURL = "ftp://x" })},
		"a long site":           {422, "64", edgeNode("x", strings.Repeat("s", 65), nil)},
		"much trouble":          {422, "200", edgeNode("x", "", func(n *media.Node) { n.Edge.Trouble = strings.Repeat("t", 201) })},
		"a negative load":       {422, "below zero", edgeNode("x", "", func(n *media.Node) { n.Load.BitsOut = -1 })},
		"a long version":        {422, "version", edgeNode("x", "", func(n *media.Node) { n.Version = strings.Repeat("v", 101) })},
		"too much":              {413, "16384", edgeNode("x", "", func(n *media.Node) { n.Version = strings.Repeat("v", maxBeat) })},
		"a name for no pathway": {422, "letters", edgeNode("a~b", "", nil)},
		"good":                  {200, "", edgeNode("x", "", nil)},
	} {
		a, _ := d.beat(c.node)
		if a.Code != c.status || !strings.Contains(a.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want %d and %q", name, a.Code, a.Body, c.status, c.says)
		}
	}
	body := `{"id":"other","role":"edge"}`
	for name, c := range map[string]struct {
		status int
		body   string
		token  string
	}{
		"no token":      {401, body, ""},
		"another token": {401, body, "Bearer other"},
		"another's id":  {422, body, "Bearer cluster"},
		"no JSON":       {422, "{", "Bearer cluster"},
	} {
		if a := d.send(d.Internal(), "POST", "/internal/v1/edges/x", c.body, "Authorization", c.token); a.Code != c.status {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	f := newFixture(t, nil)
	if a := f.send(f.Internal(), "POST", "/internal/v1/edges/x", body); a.Code != 404 {
		t.Errorf("a process that lists none: %d", a.Code)
	}
}

func TestEdgesAreToldOfTheirPeers(t *testing.T) {
	d := newEdgeDirectory(t, registry.NewMemory(registry.Config{}))
	shield := func(n *media.Node) { n.Edge.Shield = true }
	all := []media.Node{
		edgeNode("n2", "north", nil), edgeNode("n1", "north", nil), edgeNode("n3", "north", shield),
		edgeNode("n4", "north", func(n *media.Node) { n.Draining = true }),
		edgeNode("n5", "north", func(n *media.Node) { n.Edge.Asks = false }),
		edgeNode("s1", "south", shield), edgeNode("alone", "", nil), edgeNode("shield", "", shield),
	}
	for _, n := range all {
		d.beat(n)
	}
	for i, want := range map[int]string{
		0: "n1 n3 | s1 shield", 1: "n2 n3 | s1 shield", 2: "n1 n2 | ", 3: "n1 n2 n3 | s1 shield", 5: " | ",
		6: " | n3 s1 shield", 7: " | ",
	} {
		_, orders := d.beat(all[i])
		var text []string
		for _, p := range orders.Peers.Siblings {
			text = append(text, p.ID)
			if p.URL != "http://"+p.ID+":8081" {
				t.Errorf("%s is at %s", p.ID, p.URL)
			}
		}
		got := strings.Join(text, " ") + " |"
		for _, p := range orders.Peers.Shields {
			got += " " + p.ID
		}
		if strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: %q, want %q", all[i].ID, got, want)
		}
	}
}

// TestDrainReachesAnEdgeByAnyProcess orders at one API process and has the edge ask at another.
func TestDrainReachesAnEdgeByAnyProcess(t *testing.T) {
	r := registry.NewMemory(registry.Config{})
	asked, beaten := newEdgeDirectory(t, r), newEdgeDirectory(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- beaten.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for open := false; !open; { // it follows the log
		beaten.feed.mu.Lock()
		open = beaten.feed.mu.sure
		beaten.feed.mu.Unlock()
	}
	node := edgeNode("edge-a", "", nil)
	if _, orders := beaten.beat(node); orders.Drain {
		t.Error("ordered without an order")
	}
	asked.must(202, "POST", "/v1/nodes/edge-a/drain", "")
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, orders := beaten.beat(node); orders.Drain {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no order within 5 s")
		}
	}
	if text := asked.must(200, "GET", "/v1/nodes/edge-a", "").Body.String(); !strings.Contains(text, `"draining":true`) {
		t.Errorf("%s", text)
	}
	node.StartedAt = node.StartedAt.Add(time.Minute)
	if _, orders := beaten.beat(node); orders.Drain {
		t.Error("the next process of that name is to drain too")
	}
}

// TestOrdersWhileTheRegistryIsAway has an edge answered by the last picture.
func TestOrdersWhileTheRegistryIsAway(t *testing.T) {
	picture := []media.Node{edgeNode("n2", "north", nil)}
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.Nodes = func(context.Context) ([]media.Node, error) { return picture, nil }
		d.Register = func(context.Context, media.Node) error { return fmt.Errorf("redis: %w", media.ErrUnavailable) }
	})
	body, err := json.Marshal(edgeNode("n1", "north", nil))
	if err != nil {
		t.Fatal(err)
	}
	a := f.send(f.Internal(), "POST", "/internal/v1/edges/n1", string(body))
	if a.Code != 200 || !strings.Contains(a.Body.String(), `"n2"`) {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}
