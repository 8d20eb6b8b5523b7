package cacheproxy

import (
	"slices"
	"strings"
	"time"
)

// plan is which other edges a fetch asks, in their order, before the nodes and archives.
type plan struct {
	asks     asks
	siblings []*peer // that are to have the object rather than this edge
	kept     *peer   // the sibling that is to have it if this edge is not there
	shields  []*peer
	chain    string // of the edges that asked, as CDN-Loop has it
}

// beyond gives what of a plan is left for who asks no sibling.
func (w plan) beyond() plan {
	return plan{asks: w.asks & askShields, shields: slices.Clone(w.shields), chain: w.chain}
}

// plan gives whom a request for that asks. The rendezvous hash is over a recording's track and the number of its
// segment, so that parts are where their segment is; of a playlist, over its path.
func (ps *peers) plan(path string, who *caller) (way plan) {
	s := ps.site.Load()
	if len(s.siblings)+len(s.shields) == 0 {
		return way
	}
	may := who.may()
	if who != nil {
		way.chain = who.chain
	}
	hash := hashOf(shareOf(path))
	if may&(askSiblings|askKept) != 0 {
		ps.planSite(&way, s.siblings, hash, may)
	}
	if may&askShields != 0 {
		for _, of := range s.shields {
			if ps.well(of) {
				way.shields = append(way.shields, of)
			}
		}
		best(way.shields, hash)
		if len(way.shields) > 0 {
			way.asks |= askShields
		}
	}
	return way
}

func (ps *peers) planSite(way *plan, siblings []*peer, hash uint64, may asks) {
	self, kept := mix(hash, ps.self), uint64(0)
	if !ps.proxy.config.Asked {
		self = 0
	}
	for _, of := range siblings {
		score := mix(hash, of.seed)
		switch {
		case !ps.well(of), way.chain != "" && inChain(way.chain, of.id):
		case score > self:
			way.siblings = append(way.siblings, of)
		case score >= kept:
			way.kept, kept = of, score
		}
	}
	best(way.siblings, hash)
	way.siblings = way.siblings[:min(len(way.siblings), maxAhead)]
	ahead := len(way.siblings) > 0
	switch {
	case ahead && may&askSiblings == 0: // who asked knows of another site than we do
		way.kept, way.siblings = way.siblings[0], nil
	case ahead:
		way.asks |= askSiblings
	}
	if way.kept != nil && (ahead || ps.changedLately(time.Now())) {
		way.asks |= askKept & may
	}
}

// best sorts by the hash, best first.
func best(of []*peer, hash uint64) {
	slices.SortFunc(of, func(a, b *peer) int {
		switch x, y := mix(hash, a.seed), mix(hash, b.seed); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return strings.Compare(a.id, b.id)
	})
}

func peerIDs(of []*peer) []string {
	ids := make([]string, len(of))
	for i, one := range of {
		ids[i] = one.id
	}
	return ids
}

// shareOf gives what of a path says whose it is.
func shareOf(path string) (dir string, group uint64) {
	at := strings.LastIndexByte(path, '/')
	file := path[at+1:]
	n := 0
	for n < len(file) && n < 9 && file[n] >= '0' && file[n] <= '9' {
		group = group*10 + uint64(file[n]-'0')
		n++
	}
	if n == 0 || n == len(file) || file[n] != '.' || strings.Count(path, "/") != 6 {
		return path, 0
	}
	return path[:at], group>>groupBits + 1
}

// hashOf is FNV-1a: all edges of a site must agree, whatever their versions.
func hashOf(text string, more ...uint64) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	for _, m := range more {
		h = mix(h, m)
	}
	return h
}

// mix is the finaliser of SplitMix64 over both.
func mix(a, b uint64) uint64 {
	z := a ^ b*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
