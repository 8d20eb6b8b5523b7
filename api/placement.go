package api

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxLocationNodes is the most nodes that a location names: more than one edge tries in a row.
	maxLocationNodes = 16
)

// clusterName gives the cluster that an empty name stands for.
func clusterName(name string) string { return cmp.Or(name, media.DefaultCluster) }

// clusterOf names the cluster on whose storage a recording is.
func clusterOf(r media.Recording) string { return clusterName(r.Cluster) }

// placement picks the nodes that serve a recording.
type placement struct {
	cluster   string // whose nodes; empty is all
	owner     string // the id of the node that goes first, if it is there
	recording media.RecordingID
}

// nodes gives the base URLs of the ingest nodes, best first: the owner, those that stay, those that drain. Among
// equals each recording has an order of its own, the same for whoever is asked, so that the nodes share the work and
// each recording's edges meet at one.
func (p placement) nodes(all []media.Node) []string {
	type candidate struct {
		node   media.Node
		rank   int
		weight uint64
	}
	var list []candidate
	for _, n := range all {
		if n.Role != media.RoleIngest || p.cluster != "" && clusterName(n.Cluster) != p.cluster {
			continue
		}
		c := candidate{node: n, rank: 1, weight: weigh(n.ID, p.recording)}
		switch {
		case n.ID == p.owner: // also while it drains: it has the live edge until it gives the stream up
			c.rank = 0
		case n.Draining:
			c.rank = 2
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.weight, a.weight), cmp.Compare(a.node.ID, b.node.ID))
	})
	var urls []string
	for _, c := range list {
		if len(urls) < maxLocationNodes && !slices.Contains(urls, c.node.URL) {
			urls = append(urls, c.node.URL)
		}
	}
	return urls
}

// weigh gives a node's weight for a recording: rendezvous hashing, so that a node that comes or goes moves only the
// recordings whose first it is.
func weigh(node string, recording media.RecordingID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node)) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(recording))
	// FNV mixes its last bytes badly into the high bits: finish it (the finalizer of splitmix64).
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
