package steering

import (
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// SilentAfter is how long after its last beat an edge gets no viewers any more: three beats.
const SilentAfter = 3 * time.Second

// Watch makes fleets, and knows between them which edges are silent. One goroutine has it.
type Watch struct {
	beats map[string]beat
	// any is when some edge was heard of last.
	any time.Time
}

type beat struct {
	number int64
	since  time.Time // when it was seen first
}

// Fleet makes the picture of a moment. An edge is silent whose Beat stays; where all do, it is the registry that
// tells nothing, and who was not silent before is not taken for it.
func (w *Watch) Fleet(nodes []media.Node, rules []media.SteeringRule, now time.Time) *Fleet {
	beats := make(map[string]beat, len(nodes))
	for _, n := range nodes {
		if n.Edge == nil || n.Edge.Beat == 0 {
			continue
		}
		b := w.beats[n.ID]
		if b.number != n.Edge.Beat || b.since.IsZero() {
			b = beat{number: n.Edge.Beat, since: now}
			w.any = now
		}
		beats[n.ID] = b
	}
	w.beats = beats
	return NewFleet(nodes, rules, now, func(id string) bool {
		b, counted := beats[id]
		return counted && w.any.Sub(b.since) >= SilentAfter
	})
}

// Offer is what an edge is told of steering: where players ask, with the public base URL of the API, and what the
// edge's own pathway is. An edge that no viewer can be sent to by name offers none.
func Offer(apiURL string, n media.Node) media.Steering {
	if apiURL == "" || n.Edge == nil || n.Edge.PublicURL == "" {
		return media.Steering{}
	}
	return media.Steering{URL: strings.TrimSuffix(apiURL, "/") + "/steering", Pathway: Pathway(n)}
}
