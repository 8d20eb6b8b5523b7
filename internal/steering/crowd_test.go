package steering

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// crowd is viewers who obey manifests as players do, over edges that tell late and unevenly what they bear.
type crowd struct {
	tb      testing.TB
	rand    *rand.Rand
	now     time.Time
	nodes   []media.Node
	rules   []media.SteeringRule
	viewers []*watcher
	bits    map[string]float64 // told, which follows the truth in some seconds
	watch   Watch
	dead    map[string]bool
	fleet   *Fleet
}

type watcher struct {
	query string // of the next request
	at    string
	next  time.Time
	bits  float64
	moves int
}

const (
	interval = 10 * time.Second
	perHead  = 1e6 // bits per second of a viewer, on average
)

func newCrowd(tb testing.TB, nodes ...media.Node) *crowd {
	return &crowd{
		tb: tb, rand: rand.New(rand.NewPCG(1, 2)), now: time.Unix(1_800_000_000, 0), nodes: nodes,
		bits: make(map[string]float64), dead: make(map[string]bool),
	}
}

func edge(id, region string, viewers float64) media.Node {
	return media.Node{
		ID: id, Role: media.RoleEdge, URL: "http://" + id + ".internal:8080", Edge: &media.Edge{
			PublicURL: "https://" + id + ".example.com", Region: region, Ready: true, BitsCapacity: int64(viewers * perHead),
		},
	}
}

// join lets viewers in, each at an edge that something else chose.
func (c *crowd) join(n int, at func(i int) string) {
	for i := range n {
		id := at(i)
		c.viewers = append(c.viewers, &watcher{
			query: ServerQuery(id, Tracks{}), at: id, next: c.now.Add(time.Duration(c.rand.Int64N(int64(time.Second)))),
			bits: perHead * (0.5 + c.rand.Float64()),
		})
	}
}

// pass lets time pass.
func (c *crowd) pass(d time.Duration) {
	c.tb.Helper()
	for end := c.now.Add(d); c.now.Before(end); c.now = c.now.Add(time.Second) {
		truth := make(map[string]float64)
		for _, w := range c.viewers {
			truth[w.at] += w.bits
		}
		var told []media.Node
		for _, n := range c.nodes {
			own := *n.Edge
			if !c.dead[n.ID] {
				// What is sent in a second is uneven, and told as an average of some.
				c.bits[n.ID] += 0.4 * (truth[n.ID]*(0.9+0.2*c.rand.Float64()) - c.bits[n.ID])
				own.Beat = c.now.UnixMilli()
			}
			n.Edge, n.Load.BitsOut = &own, int64(c.bits[n.ID])
			told = append(told, n)
		}
		for i := range c.nodes {
			c.nodes[i].Edge.Beat = told[i].Edge.Beat
			if c.dead[c.nodes[i].ID] {
				told[i].Edge.Beat = 1
			}
		}
		c.fleet = c.watch.Fleet(told, c.rules, c.now)
		for _, w := range c.viewers {
			if !w.next.After(c.now) {
				c.ask(w)
			}
		}
	}
}

// manifest is one as players read it.
type manifest struct {
	Version  int      `json:"VERSION"`
	TTL      int      `json:"TTL"`
	Reload   string   `json:"RELOAD-URI"`
	Priority []string `json:"PATHWAY-PRIORITY"`
	Clones   []struct {
		Base string `json:"BASE-ID"`
		ID   string
		To   struct {
			Host       string            `json:"HOST"`
			Variants   map[string]string `json:"PER-VARIANT-URIS"`
			Renditions map[string]string `json:"PER-RENDITION-URIS"`
		} `json:"URI-REPLACEMENT"`
	} `json:"PATHWAY-CLONES"`
}

var show = media.StreamPath{Publisher: "acme", Stream: "show"}

// ask gets a manifest for a query, and the query of the next request.
func ask(tb testing.TB, f *Fleet, query, current string, now time.Time) manifest {
	tb.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		tb.Fatal(err)
	}
	values.Set("_HLS_pathway", current)
	v, err := ReadViewer(show, values)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	var m manifest
	text, _ := f.AppendManifest(nil, v, interval, now)
	if err := json.Unmarshal(text, &m); err != nil {
		tb.Fatalf("%v: %s", err, text)
	}
	if m.Version != 1 || m.TTL != 10 || len(m.Priority) == 0 || m.Reload[0] != '?' {
		tb.Fatalf("manifest %s", text)
	}
	return m
}

func (c *crowd) ask(w *watcher) {
	m := ask(c.tb, c.fleet, w.query, w.at, c.now)
	w.query, w.next = m.Reload[1:], c.now.Add(interval)
	if m.Priority[0] != w.at {
		w.at = m.Priority[0]
		w.moves++
	}
}

// share gives the parts of the viewers at each edge.
func (c *crowd) share() map[string]float64 {
	shares := make(map[string]float64)
	for _, w := range c.viewers {
		shares[w.at] += 1 / float64(len(c.viewers))
	}
	return shares
}

func (c *crowd) moves() (all, most int) {
	for _, w := range c.viewers {
		all += w.moves
		most = max(most, w.moves)
	}
	return all, most
}

func (c *crowd) want(what string, tolerance float64, want map[string]float64) {
	c.tb.Helper()
	got := c.share()
	for id, share := range want {
		if d := got[id] - share; d > tolerance || d < -tolerance {
			c.tb.Errorf("%s: shares %.3v, want %v within %.3f", what, got, want, tolerance)
			return
		}
	}
}

func spread(ids ...string) func(int) string { return func(i int) string { return ids[i%len(ids)] } }

func TestCrowdSettlesByCapacityInThreeIntervals(t *testing.T) {
	for name, at := range map[string]func(int) string{
		"all at one": spread("a"), "all at the other": spread("b"), "half and half": spread("a", "b"),
		"as they should be": spread("a", "b", "b", "b"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t, edge("a", "", 500), edge("b", "", 1500))
			c.join(1000, at)
			c.pass(3 * interval)
			c.want("after three intervals", 0.07, map[string]float64{"a": 0.25, "b": 0.75})
			before, most := c.moves()
			c.pass(5 * time.Minute)
			after, mostAfter := c.moves()
			t.Logf("%d moves, %d at most of one; %d more in five minutes: %.3v", before, most, after-before, c.share())
			if mostAfter > 2 || after-before > 100 {
				t.Errorf("%d moves after it had settled, %d at most of one viewer", after-before, mostAfter)
			}
			c.want("after five minutes", 0.07, map[string]float64{"a": 0.25, "b": 0.75})
		})
	}
}

func TestCrowdOfUnknownCapacitiesSettlesEvenly(t *testing.T) {
	c := newCrowd(t, edge("a", "", 0), edge("b", "", 0), edge("c", "", 0))
	c.join(900, spread("a"))
	c.pass(3 * interval)
	c.want("after three intervals", 0.07, map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3})
}

func TestCrowdLeavesAnEdgeThatDrainsWithinOneInterval(t *testing.T) {
	c := newCrowd(t, edge("a", "", 600), edge("b", "", 600), edge("c", "", 600))
	c.join(900, spread("a", "b", "c"))
	c.pass(3 * interval)
	before, _ := c.moves()
	atA := int(c.share()["a"]*900 + 0.5)
	c.nodes[0].Draining = true
	c.pass(interval + time.Second)
	c.want("drained", 1e-6, map[string]float64{"a": 0})
	after, _ := c.moves()
	if moved := after - before; moved > atA+20 {
		t.Errorf("%d viewers moved when an edge of %d drained", moved, atA)
	}
	c.want("drained", 0.08, map[string]float64{"b": 0.5, "c": 0.5})
	c.nodes[0].Draining = false
	before, _ = c.moves()
	c.pass(3 * interval)
	after, _ = c.moves()
	c.want("back", 0.07, map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3})
	if moved := after - before; moved > 400 {
		t.Errorf("%d viewers moved when an edge came back", moved)
	}
}

func TestCrowdLeavesASilentEdge(t *testing.T) {
	c := newCrowd(t, edge("a", "", 600), edge("b", "", 600))
	c.join(500, spread("a", "b"))
	c.pass(3 * interval)
	c.dead["a"] = true
	c.pass(interval + SilentAfter + time.Second)
	c.want("dead", 1e-6, map[string]float64{"a": 0})
	c.dead["b"] = true // it is the registry that does not answer
	c.pass(interval)
	c.want("registry away", 1e-6, map[string]float64{"b": 1})
}

func TestCrowdRelievesAnOverloadedEdgeWithoutSwinging(t *testing.T) {
	c := newCrowd(t, edge("a", "", 500), edge("b", "", 500))
	c.join(600, spread("a", "b"))
	c.pass(3 * interval)
	for _, w := range c.viewers { // those at a now watch something heavier
		if w.at == "a" {
			w.bits *= 2
		}
	}
	c.pass(6 * interval)
	used := make(map[string]float64)
	for _, w := range c.viewers {
		used[w.at] += w.bits / 5e8
	}
	if used["a"] > 1.1 || used["b"] > 1.1 { // it was 1.2 and 0.6
		t.Errorf("after six intervals the edges bear %.2v of their capacity", used)
	}
	before, _ := c.moves()
	c.pass(5 * time.Minute)
	after, _ := c.moves()
	t.Logf("%.2v, %d more moves in five minutes", used, after-before)
	if after-before > 300 {
		t.Errorf("%d moves in five minutes after it was relieved", after-before)
	}
}

func TestCrowdStaysInItsRegionUntilThatIsFull(t *testing.T) {
	nodes := []media.Node{edge("eu1", "eu", 500), edge("eu2", "eu", 500), edge("us1", "us", 2000)}
	c := newCrowd(t, nodes...)
	c.join(600, spread("eu1"))
	c.pass(3 * interval)
	c.want("there is room", 0.08, map[string]float64{"eu1": 0.5, "eu2": 0.5, "us1": 0})
	c.join(600, spread("eu1", "eu2"))
	c.pass(6 * interval)
	over := c.share()["us1"]
	if over < 0.15 || over > 0.5 {
		t.Errorf("of 1.2 times what a region bears, %.2f went elsewhere", over)
	}
	before, _ := c.moves()
	c.pass(5 * time.Minute)
	after, _ := c.moves()
	t.Logf("%.3v, %d moves in five minutes", c.share(), after-before)
	if after-before > 240 {
		t.Errorf("%d moves in five minutes after the overflow", after-before)
	}
	c.viewers = c.viewers[:500]
	c.pass(6 * interval)
	c.want("room again", 0.01, map[string]float64{"us1": 0})
}

func TestCrowdObeysRules(t *testing.T) {
	c := newCrowd(t, edge("a", "eu", 500), edge("b", "eu", 1500), edge("c", "us", 1000))
	c.join(1000, spread("a", "b"))
	c.pass(interval)
	rule := func(path media.StreamPath, choices ...media.SteeringChoice) {
		r := media.SteeringRule{Publisher: path.Publisher, Stream: path.Stream, Choices: choices}
		if err := r.Check(c.now); err != nil {
			t.Fatal(err)
		}
		c.rules = append(c.rules, r)
	}
	rule(media.StreamPath{}, media.SteeringChoice{Edge: "c"})
	c.pass(interval + time.Second)
	c.want("all pinned", 1e-6, map[string]float64{"c": 1})
	rule(media.StreamPath{Publisher: "acme"}, media.SteeringChoice{Region: "eu", Percent: 30},
		media.SteeringChoice{Edge: "c", Percent: 70})
	c.pass(3 * interval)
	c.want("publisher's shares", 0.07, map[string]float64{"c": 0.7})
	rule(show, media.SteeringChoice{Edge: "a"}, media.SteeringChoice{Edge: "b"})
	c.rules[2].ExpiresAt = c.now.Add(3 * interval)
	c.pass(interval + time.Second)
	c.want("stream's order", 1e-6, map[string]float64{"a": 1})
	c.nodes[0].Draining = true
	c.pass(interval + time.Second)
	c.want("the first choice drains", 1e-6, map[string]float64{"b": 1})
	c.pass(3 * interval)
	c.want("expired", 0.07, map[string]float64{"c": 0.7})
	if c.fleet.Edges[2].Out != "" {
		t.Error(fmt.Sprint(c.fleet.Edges[2]))
	}
}
