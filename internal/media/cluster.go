package media

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The roles of nodes.
const (
	RoleIngest   = "ingest"
	RoleArchiver = "archiver"
	RoleEdge     = "edge"
	RoleAPI      = "api"
)

// Node is a process as the others find it in the registry, where it registers again and again.
type Node struct {
	// ID is unique among all clusters, and stays the same when the process starts again.
	ID   string `json:"id"`
	Role string `json:"role" doc:"ingest, archiver, edge or api"`
	// Cluster names those who share a recordings directory; edges and api have none.
	Cluster string `json:"cluster,omitempty"`
	// URL is the base URL at which other nodes and edges ask it, without a slash at the end.
	URL string `json:"url"`
	// Draining says that it takes no new publishers: it is about to stop.
	Draining  bool      `json:"draining,omitempty"`
	Version   string    `json:"version,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	Load      Load      `json:"load"`
	// Edge is of RoleEdge alone.
	Edge *Edge `json:"edge,omitempty"`
}

// maxBaseURL bounds a base URL, in bytes.
const maxBaseURL = 2048

// CheckBaseURL says whether a text is an http or https URL to which paths are added, and if not, why. It has no user,
// for it is told to others, and logged.
func CheckBaseURL(text string) error {
	u, err := url.Parse(text)
	if err != nil && strings.Contains(text, "@") || err == nil && u.User != nil {
		return fmt.Errorf("%w: a base URL names no user", ErrInvalid) // without the text: it may hold a password
	}
	if err != nil || len(text) > maxBaseURL || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return fmt.Errorf("%w: %.200q is no base URL: use one like http://HOST:PORT", ErrInvalid, text)
	}
	return nil
}

// Check says what is wrong with a node that others are to ask.
func (n Node) Check() error {
	if n.ID == "" {
		return fmt.Errorf("%w: a node needs an id", ErrInvalid)
	}
	if err := CheckBaseURL(n.URL); err != nil {
		return fmt.Errorf("node %.100s: %w", n.ID, err)
	}
	if n.Edge != nil {
		if err := n.Edge.Check(); err != nil {
			return fmt.Errorf("edge %.100s: %w", n.ID, err)
		}
	}
	return nil
}

// Load is how busy a node is.
type Load struct {
	Publishers int   `json:"publishers" doc:"Streams that are published to it"`
	BitsIn     int64 `json:"bits_in" doc:"What they bring, in bits per second"`
	Viewers    int   `json:"viewers" doc:"Requests for media and playlists that are under way"`
	BitsOut    int64 `json:"bits_out" doc:"What it sends, in bits per second"`
	Capacity   int   `json:"capacity" doc:"Connections that it takes at most"`
}

// The feeds of a stream: which of its publishers is live.
const (
	FeedPrimary = "primary"
	FeedBackup  = "backup"
	FeedNone    = "" // its show waits for a publisher
)

// Lease is a node's ownership of a stream, while it is published to the node or its show waits there for the publisher.
type Lease struct {
	Path StreamPath `json:"-"`
	// Node and Cluster are the owner's.
	Node    string `json:"node"`
	Cluster string `json:"cluster"`
	// Epoch only grows from owner to owner.
	Epoch uint64 `json:"epoch"`
	// Recording is the show that grows; empty if there is none yet.
	Recording RecordingID `json:"recording,omitempty"`
	// Feed says which publisher is connected: FeedPrimary, FeedBackup or FeedNone.
	Feed string `json:"feed,omitempty"`
	// Silent is since when the publisher has sent nothing; zero while media comes.
	Silent Span `json:"silent,omitempty"`
}

// UnansweredError comes along with an answer that is put together from those of many nodes: some gave none, and what
// they know is missing. It is an ErrUnavailable.
type UnansweredError struct {
	Nodes []string // their ids, in order
}

func (e *UnansweredError) Error() string { return "no answer from " + strings.Join(e.Nodes, ", ") }

// Unwrap makes errors.Is(err, ErrUnavailable) true.
func (e *UnansweredError) Unwrap() error { return ErrUnavailable }
