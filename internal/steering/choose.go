package steering

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// MaxPathways bounds a priority list: a player that has tried so many is not helped by more.
	MaxPathways = 8
	// margin is by how much more than the home a viewer's edge must be loaded before it moves home; wide is that where
	// the home is another only because of the load, which is the less sure reason.
	margin, wide = 1.05, 1.2
)

// Viewer is who asks for a steering manifest.
type Viewer struct {
	Path media.StreamPath
	// Slot is its number, of all there are alike often; NewSlot draws one. First says that it was just drawn.
	Slot  uint32
	First bool
	// Base is the pathway of the edge that gave the multivariant playlist, At that edge's public URL if it is known.
	Base, At string
	// Current is the pathway that it plays from; empty is Base.
	Current string
	// Told is the pathway of the edge that its last manifest put first; empty is none. Round counts the manifests that it
	// did not follow.
	Told  string
	Round int
	// Region is that of the edge it began at; empty is none, and then Base's counts.
	Region string
	// Tracks are what its playlist names, if the edge told.
	Tracks Tracks
}

// NewSlot draws a viewer's slot.
func NewSlot() uint32 { return rand.Uint32() } //nolint:gosec // a place in the crowd, no secret

// ranked is an edge with its rendezvous score: the lowest is the home.
type ranked struct {
	edge  int
	score float64
}

// score is the rendezvous score of a slot at something of a weight: -ln(u)/w, of which the lowest is a fair draw by
// weight (exponential clocks).
func score(slot uint32, hash uint64, weight float64) float64 {
	if weight <= 0 {
		return math.Inf(1)
	}
	return -math.Log((float64(mixed(uint64(slot), hash)>>11)+0.5)/(1<<53)) / weight
}

// mixed spreads two numbers over all there are (the finisher of splitmix64).
func mixed(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 ^ b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// order gives the viewer's edges, best first: all that are in and can be reached, at most MaxPathways.
func (f *Fleet) order(v *Viewer, now time.Time, reach func(edge int) bool) []int {
	var room [64]int
	in := room[:0]
	for _, i := range f.in {
		if reach(i) {
			in = append(in, i)
		}
	}
	if len(in) == 0 {
		return f.leftover(v, reach)
	}
	list := make([]int, 0, MaxPathways+1)
	reg := f.region(v)
	if r := f.rule(v.Path, now); r != nil {
		list = f.ruled(list, v, r, reg, in)
	} else {
		list = append(list, f.best(v, reg, in))
	}
	var scores [64]ranked
	rest := scores[:0]
	for _, i := range in {
		if !slices.Contains(list, i) {
			rest = append(rest, ranked{edge: i, score: f.reserve(v, reg, i)})
		}
	}
	slices.SortFunc(rest, func(a, b ranked) int {
		switch {
		case a.score < b.score:
			return -1
		case a.score > b.score:
			return 1
		}
		return a.edge - b.edge
	})
	for _, r := range rest {
		list = append(list, r.edge)
	}
	return list[:min(len(list), MaxPathways)]
}

// leftover gives the order for a viewer who can reach no edge that is in: by how far they are from that, and where the
// viewer is before others as far. Those who can never serve are left out.
func (f *Fleet) leftover(v *Viewer, reach func(edge int) bool) []int {
	var list []int
	for i := range f.Edges {
		if f.Edges[i].last < 3 && reach(i) {
			list = append(list, i)
		}
	}
	here, known := f.find(v.here())
	rank := func(i int) float64 {
		if known && i == here {
			return -1
		}
		return score(v.Slot, f.Edges[i].hash, f.Edges[i].Weight)
	}
	slices.SortFunc(list, func(a, b int) int {
		return cmp.Or(cmp.Compare(f.Edges[a].last, f.Edges[b].last), cmp.Compare(rank(a), rank(b)))
	})
	return list[:min(len(list), MaxPathways)]
}

// reserve scores what comes behind the first: those of the viewer's region before all others.
func (f *Fleet) reserve(v *Viewer, r *region, i int) float64 {
	s := score(v.Slot, f.Edges[i].hash, f.Edges[i].Effective)
	if r.home[i] == 0 {
		s += 1e6 // weights are 1 or more, so scores of a region are far below
	}
	return s
}

// region gives what a viewer sees of the fleet; of a region without edges it is all of them.
func (f *Fleet) region(v *Viewer) *region {
	if r := f.regions[v.Region]; r != nil {
		return r
	}
	return f.regions[""]
}

// best gives the edge for a viewer out of a list that is not empty.
func (f *Fleet) best(v *Viewer, r *region, in []int) int {
	home, corrected := in[0], in[0]
	lowest, lowestCorrected := math.Inf(1), math.Inf(1)
	fair := false
	for _, i := range in {
		hash := f.Edges[i].hash
		if s := score(v.Slot, hash, r.home[i]); s < lowest {
			home, lowest = i, s
		}
		if s := score(v.Slot, hash, r.corrected[i]); s < lowestCorrected {
			corrected, lowestCorrected = i, s
		}
		fair = fair || r.corrected[i] > 0
	}
	if !fair { // none of the list is of the region
		return f.best(v, f.regions[""], in)
	}
	at := f.current(v, in)
	if at < 0 || at != corrected && f.moves(v, r, at, corrected, corrected == home) {
		return corrected
	}
	return at
}

// current gives the edge that the viewer is at, if it is in the list; else -1.
func (f *Fleet) current(v *Viewer, in []int) int {
	pathway := v.Current
	if pathway == "" {
		pathway = v.Base
	}
	if i, ok := f.find(pathway); ok && slices.Contains(in, i) {
		return i
	}
	return -1
}

// moves says whether a viewer leaves an edge that is in for its home; sure homes do not follow from load.
func (f *Fleet) moves(v *Viewer, r *region, at, home int, sure bool) bool {
	from, to := &f.Edges[at], &f.Edges[home]
	switch inside, homeInside := r.home[at] > 0, r.home[home] > 0; {
	case inside && !homeInside:
		return r.used > Hot && from.Used > Hot
	case !inside && homeInside:
		return r.used < Cool
	case v.First:
		return from.Load > to.Load // its picture has not begun: nothing is lost
	case sure:
		return from.Load > to.Load*margin && to.Used < Cool || from.Load > to.Load*wide && to.Used < Hot
	}
	// A part at a time, as much as makes both alike: what edges tell is seconds old, and who went would come back.
	part := (from.Load - to.Load) / (2 * from.Load)
	return from.Load > to.Load*wide && draw(v.Slot, f.moment) < part
}

// draw gives a viewer a number below 1 that is another one in the next interval.
func draw(slot uint32, moment uint64) float64 {
	return float64(mixed(uint64(slot), moment)>>11) / (1 << 53)
}

// ruled puts the edges of a rule in order: the viewer's first choice, and what is left of the others behind it.
func (f *Fleet) ruled(list []int, v *Viewer, r *rule, reg *region, in []int) []int {
	first := -1
	lowest := math.Inf(1)
	for i, edges := range r.choices {
		if !slices.ContainsFunc(edges, func(e int) bool { return slices.Contains(in, e) }) {
			continue
		}
		if r.Choices[i].Percent == 0 { // in order
			first = i
			break
		}
		name := r.Choices[i].Edge + "\x00" + r.Choices[i].Region
		if s := score(v.Slot, hashed(name), float64(r.Choices[i].Percent)); s < lowest {
			first, lowest = i, s
		}
	}
	if first < 0 {
		return append(list, f.best(v, reg, in))
	}
	usable := func(edges []int) []int {
		return slices.DeleteFunc(slices.Clone(edges), func(e int) bool { return !slices.Contains(in, e) })
	}
	everywhere := f.regions[""] // the operator chose the region
	list = append(list, f.best(v, everywhere, usable(r.choices[first])))
	for i := range r.choices {
		edges := usable(r.choices[(first+i)%len(r.choices)])
		slices.SortFunc(edges, func(a, b int) int {
			if f.reserve(v, everywhere, a) < f.reserve(v, everywhere, b) {
				return -1
			}
			return 1
		})
		for _, e := range edges {
			if !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
	}
	return list
}
