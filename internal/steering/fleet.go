package steering

import (
	"cmp"
	"encoding/hex"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// Hot is the part of its capacity above which an edge gets fewer viewers, and a region gives some away.
	Hot = 0.8
	// Cool is the part of a region's capacity below which it takes those back.
	Cool = 0.7
	// least is what an edge keeps of its weight, however loaded it is: one that lost all would never be found idle.
	least = 0.1
	// maxEdges bounds a fleet; more are left out, by id.
	maxEdges = 512
	// decisionSpan is in seconds.
	decisionSpan = 5
	// maxPathway bounds a pathway's id, in bytes.
	maxPathway = 80
)

// Edge is an edge as viewers are steered to it. It is never modified.
type Edge struct {
	Node media.Node
	// Pathway is its id as a pathway's.
	Pathway string
	// Out says why no viewer is sent there; empty is that it is in.
	Out string
	// Weight is what part of the viewers it is to have, beside the weights of the others: its capacity, or 1 where none is
	// told; Effective is that with what its load takes away.
	Weight, Effective float64
	// Load is what it bears of its weight, where 1 is as much as all edges that are in bear on average. Used is the part
	// of its capacity that it sends; less than zero is unknown.
	Load, Used float64

	place place
	last  int    // how far it is from in: 0 is in
	hash  uint64 // of the id
}

// Fleet is the edges and rules of a moment. It is never modified.
type Fleet struct {
	Edges []Edge // by id
	rules map[media.StreamPath]*rule
	// pathways are the edges by their pathway, as it is.
	pathways map[string]int
	// names are they by their pathway's name, which stays when they start again.
	names   map[string]int
	regions map[string]*region
	// in is the edges that viewers are sent to, by invariant 2.
	in []int
	// usual is where most edges are reached, for viewers of whose own edge nothing is known.
	usual place
	// moment numbers the spans of time in which a viewer decides the same.
	moment uint64
}

// region is what viewers of one see: weights by edge. The fleet without regions is one too, by the name "".
type region struct {
	home, corrected []float64
	used            float64 // of its capacity; less than zero is unknown
}

// rule is a rule with its choices' edges.
type rule struct {
	media.SteeringRule
	choices [][]int
}

// Pathway is an edge's pathway: its id and when it was started. One that starts again is a pathway of its own, for
// hls.js shuns a pathway for five minutes after an error, and with all of them shunned the next error is its last.
func Pathway(n media.Node) string {
	id := pathwayName(n.ID)
	if n.StartedAt.IsZero() {
		return id
	}
	return id + "." + strconv.FormatInt(n.StartedAt.Unix(), 36)
}

// find gives the edge of a pathway, also of one from before it was started again.
func (f *Fleet) find(pathway string) (int, bool) {
	if i, ok := f.pathways[pathway]; ok {
		return i, true
	}
	if at := strings.LastIndexByte(pathway, '.'); at > 0 {
		i, ok := f.names[pathway[:at]]
		return i, ok
	}
	i, ok := f.names[pathway]
	return i, ok
}

// pathwayName makes a legal pathway id of an edge's: letters, digits, ".", "-" and "_" (RFC 8216bis section 4.4.6.2).
func pathwayName(id string) string {
	const maxPathway = maxPathway - 12 // the time
	legal := len(id) <= maxPathway && id != "." && id != ""
	made := strings.Map(func(r rune) rune {
		if legalPathwayRune(r) {
			return r
		}
		legal = false
		return '_'
	}, id)
	if legal {
		return id
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id)) // never fails
	return made[:min(len(made), maxPathway-9)] + "-" + hex.EncodeToString(sum.Sum(nil))
}

func legalPathwayRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}

// LegalPathway says whether a text can be a pathway's id.
func LegalPathway(id string) bool {
	illegal := func(r rune) bool { return !legalPathwayRune(r) }
	return id != "" && len(id) <= maxPathway && !strings.ContainsFunc(id, illegal)
}

// NewFleet makes the picture of a moment. Silent says of an edge that it has told nothing for too long; nil is of none.
func NewFleet(nodes []media.Node, rules []media.SteeringRule, now time.Time, silent func(id string) bool) *Fleet {
	f := &Fleet{
		pathways: make(map[string]int), names: make(map[string]int), regions: make(map[string]*region),
		moment: uint64(now.Unix()/decisionSpan) * 0x9e3779b97f4a7c15,
	}
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b media.Node) int { return cmp.Compare(a.ID, b.ID) })
	for _, n := range nodes {
		if n.Role != media.RoleEdge || n.Edge == nil || len(f.Edges) == maxEdges {
			continue
		}
		e := Edge{Node: n, Pathway: Pathway(n), hash: hashed(n.ID), Used: -1}
		if _, taken := f.names[pathwayName(n.ID)]; taken {
			continue // the same node twice
		}
		var ok bool
		e.place, ok = placed(n.Edge.PublicURL)
		e.Out, e.last = why(n, ok, silent != nil && silent(n.ID))
		f.pathways[e.Pathway], f.names[pathwayName(n.ID)] = len(f.Edges), len(f.Edges)
		f.Edges = append(f.Edges, e)
	}
	f.choose()
	f.weigh()
	f.lookAtRegions()
	f.bind(rules, now)
	return f
}

// why says why an edge is out, and how far: 1 could serve if there is nobody else, 2 perhaps, 3 never.
func why(n media.Node, reachable, silent bool) (string, int) {
	switch e := n.Edge; {
	case !reachable:
		return "it tells no public URL", 3
	case silent:
		return "it is silent", 2
	case n.Draining && !e.Ready: // as every edge that was told to
		return "it drains", 2
	case !e.Ready:
		return "it is not ready", 2
	case n.Draining:
		return "it drains", 1
	case e.Trouble != "":
		return e.Trouble, 1
	}
	return "", 0
}

// choose fills in: the best there are.
func (f *Fleet) choose() {
	for last := range 3 {
		for i := range f.Edges {
			if f.Edges[i].last == last {
				f.in = append(f.in, i)
			}
		}
		if len(f.in) > 0 {
			break
		}
	}
	places := make(map[place]int)
	for _, i := range f.in {
		p := f.Edges[i].place
		p.host = ""
		if places[p]++; places[p] > places[f.usual] {
			f.usual = p
		}
	}
}

// weigh gives the edges their weights and loads.
func (f *Fleet) weigh() {
	var known, sum float64
	for _, i := range f.in {
		if c := f.Edges[i].Node.Edge.BitsCapacity; c > 0 {
			known, sum = known+1, sum+float64(c)
		}
	}
	usual := 1.0 // where none is told, all are equal
	if known > 0 {
		usual = sum / known
	}
	var weights, bits, viewers float64
	for i := range f.Edges {
		e := &f.Edges[i]
		e.Weight = usual
		if c := e.Node.Edge.BitsCapacity; c > 0 {
			e.Weight = float64(c)
			e.Used = float64(max(0, e.Node.Load.BitsOut)) / e.Weight
		}
		e.Effective = e.Weight
		if e.Used > Hot {
			e.Effective *= max(least, 1-2*(e.Used-Hot))
		}
	}
	for _, i := range f.in {
		e := &f.Edges[i]
		weights += e.Weight
		bits += float64(max(0, e.Node.Load.BitsOut))
		viewers += float64(max(0, e.Node.Load.Viewers))
	}
	for i := range f.Edges {
		e := &f.Edges[i]
		switch part := e.Weight / weights; {
		case weights == 0:
		case bits > 0:
			e.Load = float64(max(0, e.Node.Load.BitsOut)) / (bits * part)
		case viewers > 0:
			e.Load = float64(max(0, e.Node.Load.Viewers)) / (viewers * part)
		}
	}
}

// lookAtRegions makes what the viewers of each region see.
func (f *Fleet) lookAtRegions() {
	f.regions[""] = &region{used: -1}
	for _, i := range f.in {
		if name := f.Edges[i].Node.Edge.Region; f.regions[name] == nil {
			f.regions[name] = &region{used: -1}
		}
	}
	for name, r := range f.regions {
		var bits, inside, outside float64
		told := true
		for _, i := range f.in {
			e := &f.Edges[i]
			if e.Node.Edge.Region != name {
				outside += e.Effective
				continue
			}
			told = told && e.Used >= 0
			bits += e.Used * e.Weight
			inside += e.Weight
		}
		if told && inside > 0 {
			r.used = bits / inside
		}
		// What part of the others' weight counts: as much as takes half more than what is too much.
		over := 0.0
		if r.used > Hot && outside > 0 {
			gone := min(0.9, 1.5*(r.used-Hot)/r.used)
			over = min(1, inside/outside*gone/(1-gone))
		}
		r.home, r.corrected = make([]float64, len(f.Edges)), make([]float64, len(f.Edges))
		for _, i := range f.in {
			e := &f.Edges[i]
			r.home[i], r.corrected[i] = e.Weight, e.Effective
			if name != "" && e.Node.Edge.Region != name {
				r.home[i], r.corrected[i] = 0, e.Effective*over
			}
		}
	}
}

// bind finds the edges of each rule's choices.
func (f *Fleet) bind(rules []media.SteeringRule, now time.Time) {
	f.rules = make(map[media.StreamPath]*rule, len(rules))
	for _, r := range rules {
		if !r.HoldsAt(now) {
			continue
		}
		bound := &rule{SteeringRule: r, choices: make([][]int, len(r.Choices))}
		for i, c := range r.Choices {
			for _, at := range f.in {
				if n := f.Edges[at].Node; c.Edge != "" && n.ID == c.Edge || c.Region != "" && n.Edge.Region == c.Region {
					bound.choices[i] = append(bound.choices[i], at)
				}
			}
		}
		f.rules[media.StreamPath{Publisher: r.Publisher, Stream: r.Stream}] = bound
	}
}

// rule gives the rule that holds for a stream's viewers, or nil.
func (f *Fleet) rule(path media.StreamPath, now time.Time) *rule {
	for _, p := range []media.StreamPath{path, {Publisher: path.Publisher}, {}} {
		if r := f.rules[p]; r != nil && r.HoldsAt(now) {
			return r
		}
	}
	return nil
}

// Share is the part of the viewers without a region and without rules that an edge is to have.
func (f *Fleet) Share(i int) float64 {
	var sum float64
	r := f.regions[""]
	for _, w := range r.corrected {
		sum += w
	}
	if sum == 0 {
		return 0
	}
	return r.corrected[i] / sum
}

// place is where an edge is reached, taken apart.
type place struct {
	scheme, host, port, prefix string
}

// placed reads a base URL. The port is as in the URL: none is the scheme's own.
func placed(base string) (place, bool) {
	if media.CheckBaseURL(base) != nil {
		return place{}, false
	}
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return place{}, false
	}
	p := place{scheme: u.Scheme, host: u.Hostname(), port: u.Port(), prefix: strings.TrimSuffix(u.EscapedPath(), "/")}
	if strings.Contains(p.host, ":") { // an IPv6 address
		p.host = "[" + p.host + "]"
	}
	if p.scheme == "http" && p.port == "80" || p.scheme == "https" && p.port == "443" {
		p.port = ""
	}
	return p, true
}

// base is the URL that was taken apart.
func (p place) base() string {
	text := p.scheme + "://" + p.host
	if p.port != "" {
		text += ":" + p.port
	}
	return text + p.prefix
}

// alike says whether only the host differs, so that a clone's HOST is all that is needed.
func (p place) alike(q place) bool {
	return p.scheme == q.scheme && p.port == q.port && p.prefix == q.prefix
}

func hashed(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum64()
}
