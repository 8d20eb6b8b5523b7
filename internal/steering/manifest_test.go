package steering

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// at gives an edge that is reached at a URL.
func at(id, publicURL string) media.Node {
	n := edge(id, "", 100)
	n.Edge.PublicURL = publicURL
	return n
}

func TestManifestClonesPathways(t *testing.T) {
	now := time.Now()
	tracks := Tracks{
		Dir: "/t/tok.en/acme/show/01k/live/", Query: "?start=5", Variants: []string{"video", "video2"}, Renditions: []string{"audio"},
	}
	cases := []struct {
		name, base, other string
		tracks            Tracks
		host, video       string // none: the other is not offered
	}{
		{"one port", "https://a.example.com", "https://b.example.com", Tracks{}, "b.example.com", ""},
		{"the scheme's own port", "https://a.example.com:443", "https://b.example.com", tracks, "b.example.com", ""},
		{"the same odd port", "http://a.example.com:8443", "http://b.example.com:8443", tracks, "b.example.com", ""},
		{"IPv6", "http://[::1]:8080", "http://[::2]:8080", tracks, "[::2]", ""},
		{"another port", "http://a.example.com:8080", "http://b.example.com:8081", tracks, "b.example.com",
			"http://b.example.com:8081/t/tok.en/acme/show/01k/live/video.m3u8?start=5"},
		{"another port, and tracks unknown", "http://a.example.com:8080", "http://b.example.com:8081", Tracks{}, "", ""},
		{"another folder", "https://a.example.com", "https://b.example.com/live/", tracks, "b.example.com",
			"https://b.example.com/live/t/tok.en/acme/show/01k/live/video.m3u8?start=5"},
		{"to https", "http://a.example.com", "https://b.example.com", tracks, "b.example.com",
			"https://b.example.com/t/tok.en/acme/show/01k/live/video.m3u8?start=5"},
		{"from https", "https://a.example.com", "http://b.example.com", tracks, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := NewFleet([]media.Node{at("a", c.base), at("b", c.other)}, nil, now, nil)
			m := ask(t, f, ServerQuery("a", c.tracks), "a", now)
			if c.host == "" {
				if len(m.Priority) != 1 || m.Priority[0] != "a" || len(m.Clones) != 0 {
					t.Fatalf("%+v, want a alone", m)
				}
				return
			}
			if !slices.Contains(m.Priority, "b") || len(m.Clones) != 1 {
				t.Fatalf("%+v, want b and its clone", m)
			}
			got := m.Clones[0]
			if got.Base != "a" || got.ID != "b" || got.To.Host != c.host || got.To.Variants["video"] != c.video {
				t.Errorf("clone %+v, want %q %q", got, c.host, c.video)
			}
			if c.video != "" && (got.To.Renditions["audio"] != strings.Replace(c.video, "video", "audio", 1) || len(got.To.Variants) != 2) {
				t.Errorf("clone %+v", got)
			}
			// What the next request says is enough, with the base gone meanwhile.
			alone := NewFleet([]media.Node{at("b", c.other)}, nil, now, nil)
			again := ask(t, alone, m.Reload[1:], "a", now)
			if len(again.Priority) != 1 || again.Priority[0] != "b" || len(again.Clones) != 1 || again.Clones[0].To.Host != c.host ||
				again.Clones[0].To.Variants["video"] != c.video {
				t.Errorf("without the base %+v", again)
			}
		})
	}
}

func TestManifestKeepsASlotAndRegion(t *testing.T) {
	now := time.Now()
	f := NewFleet([]media.Node{edge("eu1", "eu west", 10), edge("us1", "us", 10)}, nil, now, nil)
	m := ask(t, f, ServerQuery("eu1", Tracks{}), `"eu1"`, now)
	values, err := url.ParseQuery(m.Reload[1:])
	if err != nil || values.Get("slot") == "" || values.Get("region") != "eu west" || values.Get("at") == "" {
		t.Fatalf("%v %v", values, err)
	}
	again := ask(t, f, m.Reload[1:], "eu1", now)
	if again.Reload != m.Reload {
		t.Errorf("the next one is %s, want %s", again.Reload, m.Reload)
	}
	if !slices.Equal(m.Priority, []string{"eu1", "us1"}) {
		t.Errorf("%v, want the own region first", m.Priority)
	}
}

func TestManifestGivesAnEdgeThatStartsAgainAnotherPathway(t *testing.T) {
	now := time.Now()
	nodes := []media.Node{edge("a", "", 10), edge("b", "", 10)}
	nodes[0].StartedAt, nodes[1].StartedAt = now, now
	before := Offer("https://api.example.com/", nodes[0])
	if before.URL != "https://api.example.com/steering" || !LegalPathway(before.Pathway) || before.Pathway == "a" {
		t.Fatalf("offer %+v", before)
	}
	nodes[0].StartedAt = now.Add(time.Minute)
	after := Offer("https://api.example.com", nodes[0])
	if after.Pathway == before.Pathway {
		t.Fatalf("still %q", after.Pathway)
	}
	f := NewFleet(nodes, nil, now, nil)
	m := ask(t, f, ServerQuery(before.Pathway, Tracks{}), before.Pathway, now)
	if m.Priority[0] != after.Pathway || len(m.Clones) != 2 || m.Clones[0].To.Host != "a.example.com" {
		t.Errorf("%+v, want %s for who began before", m, after.Pathway)
	}
}

// A player shuns a pathway that has failed it: in an edge's place comes one of another name.
func TestManifestNamesEdgesAnewForWhoShunsThem(t *testing.T) {
	now := time.Now()
	nodes := []media.Node{edge("a", "", 10), edge("b", "", 10)}
	for i := range nodes {
		nodes[i].StartedAt = now
	}
	a, b := Offer("https://api.example.com", nodes[0]).Pathway, Offer("https://api.example.com", nodes[1]).Pathway
	f := NewFleet(nodes, nil, now, nil)
	first := ask(t, f, ServerQuery(a, Tracks{})+"&slot=7", a, now)
	other := map[string]string{a: b, b: a}[first.Priority[0]] // it was sent elsewhere, and is there
	stays := ask(t, f, first.Reload[1:], other, now)
	// hls.js may have booked a late failure of the edge that it left on the one that it went to.
	if want := []string{other, other + "_1", first.Priority[0] + "_1"}; !slices.Equal(stays.Priority, want) {
		t.Fatalf("%v, want %v", stays.Priority, want)
	}
	var clones []string
	for _, c := range stays.Clones {
		clones = append(clones, c.ID+" of "+c.Base)
	}
	if !slices.Contains(clones, first.Priority[0]+"_1 of "+a) {
		t.Fatalf("clones %v, want one of the new name", clones)
	}
	for i := range nodes { // its own edge drains: it follows the new name, and keeps it
		nodes[i].Draining = strings.HasPrefix(other, nodes[i].ID)
	}
	f = NewFleet(nodes, nil, now, nil)
	moves := ask(t, f, stays.Reload[1:], other, now)
	if want := []string{first.Priority[0] + "_1"}; !slices.Equal(moves.Priority, want) {
		t.Fatalf("%v, want %v", moves.Priority, want)
	}
	there := ask(t, f, moves.Reload[1:], moves.Priority[0], now)
	if !slices.Equal(there.Priority, moves.Priority) || there.Reload != moves.Reload {
		t.Errorf("%v %s, want it to stay", there.Priority, there.Reload)
	}
	shuns := ask(t, f, moves.Reload[1:], other, now) // it could not: once more
	if want := []string{first.Priority[0] + "_2"}; !slices.Equal(shuns.Priority, want) {
		t.Errorf("%v, want %v", shuns.Priority, want)
	}
	silent := ask(t, f, first.Reload[1:], "", now) // who does not say where it is
	if strings.Contains(strings.Join(silent.Priority, " "), "_") {
		t.Errorf("%v, want the edges' own names", silent.Priority)
	}
}

func TestManifestOfNoEdgesKeepsTheViewer(t *testing.T) {
	now := time.Now()
	f := NewFleet([]media.Node{{ID: "n", Role: media.RoleIngest, URL: "http://n"}}, nil, now, nil)
	if m := ask(t, f, ServerQuery("a", Tracks{}), "b", now); !slices.Equal(m.Priority, []string{"b"}) || len(m.Clones) > 0 {
		t.Errorf("%+v, want b alone", m)
	}
	troubled := edge("a", "", 10)
	troubled.Edge.Trouble = "no upstream answers"
	drains := edge("b", "", 10)
	drains.Draining = true
	silent := edge("c", "", 10)
	f = NewFleet([]media.Node{troubled, drains, silent}, nil, now, func(id string) bool { return id == "c" })
	if m := ask(t, f, ServerQuery("c", Tracks{}), "c", now); slices.Contains(m.Priority, "c") || len(m.Priority) != 2 {
		t.Errorf("%v, want those in trouble rather than the silent one", m.Priority)
	}
	for i, want := range []string{"no upstream answers", "it drains", "it is silent"} {
		if f.Edges[i].Out != want {
			t.Errorf("%s is out because %q, want %q", f.Edges[i].Node.ID, f.Edges[i].Out, want)
		}
	}
}

// An edge that was told to drain is not ready from then on: an operator is told the reason, not what follows from it.
func TestEdgeThatDrainsSaysSo(t *testing.T) {
	drains, starts := edge("a", "", 10), edge("b", "", 10)
	drains.Draining, drains.Edge.Ready, starts.Edge.Ready = true, false, false
	f := NewFleet([]media.Node{drains, starts, edge("c", "", 10)}, nil, time.Now(), nil)
	for i, want := range []string{"it drains", "it is not ready", ""} {
		if f.Edges[i].Out != want {
			t.Errorf("%s is out because %q, want %q", f.Edges[i].Node.ID, f.Edges[i].Out, want)
		}
	}
}

func TestManifestOfEdgesOutOfReachNamesTheBestOfTheOthers(t *testing.T) {
	now := time.Now()
	usable := edge("c", "", 10)
	usable.Edge.PublicURL = "https://c.example.com:8443" // which takes a playlist that tells its tracks
	drains, troubled, silent := edge("a", "", 10), edge("b", "", 10), edge("d", "", 10)
	drains.Draining, troubled.Edge.Trouble = true, "no upstream answers"
	f := NewFleet([]media.Node{usable, drains, troubled, silent}, nil, now, func(id string) bool { return id == "d" })
	for here, want := range map[string][]string{"a": {"a", "b", "d"}, "b": {"b", "a", "d"}, "c": {"c"}} {
		if m := ask(t, f, ServerQuery(here, Tracks{}), here, now); !slices.Equal(m.Priority, want) {
			t.Errorf("at %s: %v, want %v", here, m.Priority, want)
		}
	}
	if m := ask(t, f, ServerQuery("d", Tracks{}), "d", now); m.Priority[0] == "d" || m.Priority[2] != "d" {
		t.Errorf("at the silent one: %v", m.Priority)
	}
	silent.Edge.Ready = false
	f = NewFleet([]media.Node{usable, silent}, nil, now, nil)
	if m := ask(t, f, ServerQuery("d", Tracks{}), "d", now); !slices.Equal(m.Priority, []string{"d"}) {
		t.Errorf("alone: %v", m.Priority)
	}
}

func TestManifestIsBounded(t *testing.T) {
	now := time.Now()
	var nodes []media.Node
	for i := range 100 {
		nodes = append(nodes, edge("edge-"+string(rune('a'+i/10))+string(rune('0'+i%10)), "", 10))
	}
	f := NewFleet(nodes, nil, now, nil)
	m := ask(t, f, ServerQuery("edge-a0", Tracks{}), "edge-a0", now)
	if len(m.Priority) != MaxPathways || len(m.Clones) != MaxPathways-1 {
		t.Errorf("%d pathways and %d clones", len(m.Priority), len(m.Clones))
	}
}

func TestPathwayNamesAreLegal(t *testing.T) {
	seen := make(map[string]bool)
	for _, id := range []string{"a", "edge-1.example_2", ".", "zürich", "zurich", "a b", "a_b", "", strings.Repeat("x", 253), "host:8080"} {
		p := Pathway(media.Node{ID: id, StartedAt: time.Now()})
		if !LegalPathway(p) || seen[p] {
			t.Errorf("%q gives %q", id, p)
		}
		seen[p] = true
	}
}

func FuzzManifest(f *testing.F) {
	for _, q := range []string{
		ServerQuery("a", Tracks{}), "base=a&slot=4294967295&_HLS_pathway=b&_HLS_throughput=5",
		"base=a&dir=/acme/&v=video,x&r=a&q=%3Fa%3D1&at=http%3A%2F%2Fx&region=e%22u&slot=1", "base=%22", "base=a&slot=-1", ";",
	} {
		f.Add(q)
	}
	now := time.Now()
	fleet := NewFleet([]media.Node{at("a", "http://a:1"), at("b", "http://b:2/x"), edge("c", `"eu"`, 1)}, nil, now, nil)
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		v, err := ReadViewer(show, values)
		if err != nil {
			return
		}
		text, _ := fleet.AppendManifest(nil, v, interval, now)
		var m manifest
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		if len(m.Priority) == 0 || len(text) > 32<<10+len(query)*16 {
			t.Fatalf("%d bytes: %q", len(text), text)
		}
		again, err := url.ParseQuery(strings.TrimPrefix(m.Reload, "?"))
		if err != nil {
			t.Fatal(err)
		}
		if w, err := ReadViewer(show, again); err != nil || w.Slot != v.Slot || w.Base != v.Base || w.First {
			t.Fatalf("%+v comes back as %+v (%v)", v, w, err)
		}
	})
}

func BenchmarkManifest(b *testing.B) {
	now := time.Now()
	var nodes []media.Node
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		nodes = append(nodes, edge(id, "eu", 10))
	}
	f := NewFleet(nodes, nil, now, nil)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		values, _ := url.ParseQuery("base=a&at=https%3A%2F%2Fa.example.com&region=eu&slot=12345&_HLS_pathway=a&_HLS_throughput=5000000")
		v, err := ReadViewer(show, values)
		if err != nil {
			b.Fatal(err)
		}
		dst, _ = f.AppendManifest(dst[:0], v, interval, now)
	}
}
