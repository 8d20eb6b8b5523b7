package media

import "fmt"

// Edge is what is known of an edge beside what every node tells: a Node of RoleEdge has one. Its Node.URL is where
// siblings and lower tiers ask it, or its viewers' port if it has no other, and Node.Load what it bears.
type Edge struct {
	// PublicURL is the base URL at which viewers reach this one edge. Empty: no viewer can be sent to it.
	PublicURL string `json:"public_url,omitempty" doc:"Where viewers reach this edge"`
	// Site names those who ask each other before they ask further away.
	Site string `json:"site,omitempty" doc:"Edges of one site share what they have fetched"`
	// Region is where it is, by the operator's own names.
	Region string `json:"region,omitempty" doc:"Where it is, by the operator's names"`
	// Shield says that other sites' edges ask it instead of the nodes and archives.
	Shield bool `json:"shield,omitempty" doc:"It stands between other edges and the nodes"`
	// Asks says that Node.URL answers siblings and lower tiers.
	Asks bool `json:"asks,omitempty" doc:"Siblings may ask it"`
	// BitsCapacity is what it may send, in bits per second. Zero is not told.
	BitsCapacity int64 `json:"bits_capacity,omitempty" doc:"What it may send, in bits per second; 0: not told"`
	// Ready says that it serves viewers.
	Ready bool `json:"ready" doc:"It serves viewers"`
	// Beat differs each time that it tells of itself: one whose Beat stays is silent. Zero: nobody counts.
	Beat int64 `json:"beat,omitempty" doc:"Differs each time that it tells of itself"`
	// Trouble says in a few words why viewers had better be elsewhere. Empty is none.
	Trouble string `json:"trouble,omitempty" doc:"Why viewers had better be elsewhere"`
}

// Check says what is wrong with an edge that others are to ask, or to send viewers to.
func (e Edge) Check() error {
	if e.PublicURL != "" {
		if err := CheckBaseURL(e.PublicURL); err != nil {
			return fmt.Errorf("public URL: %w", err)
		}
	}
	for _, name := range []string{e.Site, e.Region} {
		if len(name) > maxPlaceName {
			return fmt.Errorf("%w: a site's or region's name has at most %d bytes", ErrInvalid, maxPlaceName)
		}
	}
	if e.BitsCapacity < 0 || len(e.Trouble) > maxTrouble {
		return fmt.Errorf("%w: a capacity is positive, and trouble told in %d bytes at most", ErrInvalid, maxTrouble)
	}
	return nil
}

const (
	// maxPlaceName bounds the names of sites and regions, in bytes.
	maxPlaceName = 64
	maxTrouble   = 200
	maxEdgeID    = 100
)

// CheckEdgeID says whether a text can be an edge's id: it is one element of a path, and names a pathway to players.
func CheckEdgeID(id string) error {
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("%w: an edge's id has letters, digits, dots, hyphens and underscores only", ErrBadName)
		}
	}
	if len(id) == 0 || len(id) > maxEdgeID || id == "." || id == ".." {
		return fmt.Errorf("%w: an edge's id has 1 to %d characters, and not only dots", ErrBadName, maxEdgeID)
	}
	return nil
}

// EdgeOrders is what the directory answers to an edge that tells of itself.
type EdgeOrders struct {
	// Peers are the other edges that this one may ask.
	Peers EdgePeers `json:"peers"`
	// Steering is how its viewers are steered.
	Steering Steering `json:"steering"`
	// Drain says that it is to send its viewers away and to stop.
	Drain bool `json:"drain,omitempty"`
}

// EdgePeers are the edges that an edge may ask, by id.
type EdgePeers struct {
	// Siblings are the others of its site.
	Siblings []EdgePeer `json:"siblings,omitempty"`
	// Shields are those of other sites which stand between it and the nodes. A shield has none.
	Shields []EdgePeer `json:"shields,omitempty"`
}

// EdgePeer is another edge, as an edge asks it.
type EdgePeer struct {
	ID  string `json:"id"`
	URL string `json:"url"` // base URL of its port for that
}

// Steering is how an edge's viewers are steered to others (content steering, RFC 8216bis section 7). The zero value is
// not at all.
type Steering struct {
	// URL is the base URL at which players ask for the steering manifest, without a slash at its end. Empty is no
	// steering.
	URL string `json:"url,omitempty"`
	// Pathway is the edge's own: its id.
	Pathway string `json:"pathway,omitempty"`
}
