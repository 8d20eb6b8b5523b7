package loadgen

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// penalty is how long hls.js keeps away from a pathway that failed.
const penalty = 300 * time.Second

// pathways is where a player may get a stream and where it gets it: what hls.js 1.7.4 keeps for content steering.
type pathways struct {
	multivariant
	current   string
	priority  []string
	penalised map[string]time.Time
}

func newPathways(m multivariant) *pathways {
	p := &pathways{multivariant: m, current: m.pathway, penalised: map[string]time.Time{}}
	if len(p.levelsOf(p.current)) == 0 {
		p.current = m.levels[0].pathway
	}
	return p
}

func (p *pathways) levelsOf(pathway string) []*level {
	var list []*level
	for _, l := range p.levels {
		if l.pathway == pathway {
			list = append(list, l)
		}
	}
	return list
}

// clone adds a pathway that is another with other URIs. One that is there is left as it is.
func (p *pathways) clone(c pathwayClone) {
	if len(p.levelsOf(c.ID)) > 0 || len(p.levels)+len(p.audios) > maxLevels {
		return
	}
	groups := map[string]string{}
	for _, base := range p.levelsOf(c.Base) {
		l := *base
		l.pathway, l.failed = c.ID, false
		l.uri = c.Replacement.apply(base.uri, c.Replacement.Variants[base.stable])
		if l.audio != "" {
			l.audio += "_clone_" + c.ID
			groups[base.audio] = l.audio
		}
		p.levels = append(p.levels, &l)
	}
	for _, base := range slices.Clone(p.audios) {
		if group, ok := groups[base.group]; ok {
			a := base
			a.group, a.uri = group, c.Replacement.apply(base.uri, c.Replacement.Renditions[base.stable])
			p.audios = append(p.audios, a)
		}
	}
}

// apply gives a URI as a clone has it: the one that is listed for it, else with another host and parameters. As in a
// browser's URL, a HOST with a port is no host, and is ignored.
func (r uriReplacement) apply(base *url.URL, listed string) *url.URL {
	if listed != "" {
		if u, err := base.Parse(listed); err == nil {
			return u
		}
	}
	u := *base
	if r.Host != "" && !strings.ContainsAny(r.Host, ":/?#@ ") {
		u.Host = r.Host
		if port := base.Port(); port != "" {
			u.Host += ":" + port
		}
	}
	if len(r.Params) > 0 {
		query := u.Query()
		for name, value := range r.Params {
			query.Set(name, value)
		}
		u.RawQuery = query.Encode()
	}
	return &u
}

// penalise books a failure on a pathway, and says whether the player has left it for another by that.
func (p *pathways) penalise(pathway string, now time.Time) bool {
	if _, already := p.penalised[pathway]; !already {
		p.penalised[pathway] = now
	}
	order := p.priority
	if order == nil {
		for _, l := range p.levels {
			if !slices.Contains(order, l.pathway) {
				order = append(order, l.pathway)
			}
		}
	}
	if len(order) > 1 {
		p.follow(order, now)
	}
	return p.current != pathway
}

// follow takes an order of pathways, and says whether the player goes to another: the first that is no failure of the
// last five minutes and has variants.
func (p *pathways) follow(order []string, now time.Time) bool {
	p.priority = order
	for id, since := range p.penalised {
		if now.Sub(since) > penalty {
			delete(p.penalised, id)
		}
	}
	for _, id := range order {
		if _, failed := p.penalised[id]; failed {
			continue
		}
		if id == p.current {
			return false
		}
		if len(p.levelsOf(id)) > 0 {
			p.current = id
			return true
		}
	}
	return false
}
