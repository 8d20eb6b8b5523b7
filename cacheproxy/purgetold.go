package cacheproxy

import (
	"strconv"
	"strings"
	"time"
)

// purgedField is what an edge that asks another one knows of a purge of what it asks for: how long ago that was, in
// milliseconds. The other may hear of it later, and would give until then what is to be gone.
const purgedField = "Oxbow-Purged"

// purgeApart is by how much two edges may hear of one purge apart, each of them twice, and it is still the same.
const purgeApart = 2 * purgeAgain

// maxPurgedAge bounds what is told, in milliseconds: purges are not told for longer.
const maxPurgedAge = 400 * 24 * 3600 * 1000

// tellPurge gives what another edge that is asked for a path is told, or nothing.
func (p *Proxy) tellPurge(path string, now time.Time) []string {
	at := p.purges.Since(path)
	if at.IsZero() {
		return nil
	}
	age := max(now.Sub(at).Milliseconds(), 0)
	if age > maxPurgedAge {
		return nil
	}
	return []string{strconv.FormatInt(age, 10)}
}

// hearPurge forgets what another edge knows to be purged and this one does not: what it has of the recording, or of the
// stream's own URLs. The rest follows with the directory's event.
func (p *Proxy) hearPurge(path string, lines []string, now time.Time) {
	if len(lines) != 1 {
		return
	}
	age, err := strconv.ParseInt(lines[0], 10, 64)
	scope := strings.TrimPrefix(groupOf(path), "/")
	if err != nil || age < 0 || age > maxPurgedAge || scope == "" {
		return
	}
	at := now.Add(-time.Duration(age) * time.Millisecond)
	if known := p.purges.Since(path); !known.IsZero() && !at.After(known.Add(purgeApart)) {
		return
	}
	n := p.purge(scope, at)
	p.logger.Info("purged, as another edge was", "scope", scope, "dropped", n)
}
