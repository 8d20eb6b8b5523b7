package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/steering"
)

const (
	// maxBeat bounds what an edge tells of itself, in bytes.
	maxBeat = 16 << 10
	// maxEdges bounds the edges that are listed, so that there is always room for other nodes.
	maxEdges = 2048
	// edgeListAge is how old the list may be by which edges are answered.
	edgeListAge = 400 * time.Millisecond
	// maxSiblings and maxShields bound whom an edge is told of.
	maxSiblings = 64
	maxShields  = 16
	// drainHolds is how long an order to drain is remembered: edges ask for orders every second.
	drainHolds = 5 * time.Minute
	maxDrains  = 4096
)

// edgeBook is what a process knows of edges beside what the registry lists.
type edgeBook struct {
	nodes func(ctx context.Context) ([]media.Node, error)
	turn  chan struct{} // one lists at a time
	list  []media.Node  // of whoever has the turn; never modified
	at    time.Time

	mu     sync.Mutex
	drains map[string]drainOrder // by the edge's id
}

// drainOrder is for one process: the next one of the same name serves.
type drainOrder struct{ started, until time.Time }

func newEdgeBook(nodes func(ctx context.Context) ([]media.Node, error)) *edgeBook {
	return &edgeBook{nodes: nodes, turn: make(chan struct{}, 1), drains: make(map[string]drainOrder)}
}

// recent lists all nodes, as they were a moment ago: what is asked many times a second.
func (b *edgeBook) recent(ctx context.Context) ([]media.Node, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("list nodes: %w: %w", media.ErrUnavailable, ctx.Err())
	}
	if !b.at.IsZero() && time.Since(b.at) < edgeListAge {
		return b.list, nil
	}
	list, err := b.nodes(ctx)
	if err == nil {
		b.list, b.at = list, time.Now()
	}
	return list, err
}

// with is recent with a node, if that has come by now: one that has just taken a stream may have just started too.
func (b *edgeBook) with(ctx context.Context, id string) ([]media.Node, error) {
	list, err := b.recent(ctx)
	if err != nil || id == "" || slices.ContainsFunc(list, func(n media.Node) bool { return n.ID == id }) {
		return list, err
	}
	return b.nodes(ctx)
}

// order remembers that an edge is to drain.
func (b *edgeBook) order(id string, started time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for old, order := range b.drains {
		if now.After(order.until) {
			delete(b.drains, old)
		}
	}
	if len(b.drains) < maxDrains {
		b.drains[id] = drainOrder{started: started, until: now.Add(drainHolds)}
	}
}

// ordered says whether an edge is to drain.
func (b *edgeBook) ordered(id string, started time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	order, ok := b.drains[id]
	return ok && order.started.Equal(started) && time.Now().Before(order.until)
}

// heard takes what the registry's log tells the API itself.
func (s *Server) heard(e *media.Event) {
	if e.Type == media.EventDrain && e.Node != "" {
		s.edges.order(e.Node, e.Started)
	}
}

// drainEdge has the edge told with its next beat, whichever process that goes to.
func (s *Server) drainEdge(ctx context.Context, node media.Node) error {
	if s.deps.Publish != nil {
		event := media.Event{Type: media.EventDrain, Time: time.Now(), Node: node.ID, Started: node.StartedAt}
		if err := s.deps.Publish(ctx, event); err != nil {
			return fmt.Errorf("drain edge %s: %w", node.ID, err)
		}
	}
	s.edges.order(node.ID, node.StartedAt)
	return nil
}

// forEdges lets edges in: whoever else registers may draw viewers to itself.
func (s *Server) forEdges(serve func(r *http.Request, id string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !s.edgeAllowed(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="oxbow"`)
			writeProblem(w, newProblem(http.StatusUnauthorized, "send Authorization: Bearer with the --cluster-token"))
			return
		}
		id := chi.URLParam(r, "edge")
		err := media.CheckEdgeID(id)
		var out any
		if err == nil {
			out, err = serve(r, id)
		}
		if err != nil {
			writeProblem(w, s.problem(r.Context(), err))
			return
		}
		if out == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			s.log.DebugContext(r.Context(), "write to edge", "edge", id, "err", err)
		}
	}
}

// serveBeat lists the edge that tells of itself, for as long as any node that registers, and gives its orders: a
// media.Node comes, media.EdgeOrders go. While the registry is away the orders are by its last picture.
func (s *Server) serveBeat(r *http.Request, id string) (any, error) {
	if s.deps.Register == nil {
		return nil, fmt.Errorf("%w: this process lists no edges", media.ErrNotFound)
	}
	node, err := readBeat(r.Body, id)
	if err != nil {
		return nil, err
	}
	nodes, err := s.edges.recent(r.Context())
	if err != nil {
		return nil, err
	}
	if err := mayRegister(node, nodes); err != nil {
		return nil, err
	}
	drain := s.edges.ordered(id, node.StartedAt)
	node.Draining = node.Draining || drain
	node.Edge.Beat = time.Now().UnixMilli()
	if err := s.deps.Register(r.Context(), node); err != nil {
		if !errors.Is(err, media.ErrUnavailable) {
			return nil, err
		}
		s.log.DebugContext(r.Context(), "edge is not listed", "edge", id, "err", err)
	}
	return media.EdgeOrders{
		Peers: peersOf(node, nodes), Steering: steering.Offer(s.cfg.SteeringURL, node), Drain: drain,
	}, nil
}

// readBeat reads what an edge tells of itself. What a newer one tells beside that is ignored.
func readBeat(body io.Reader, id string) (media.Node, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxBeat+1))
	if err != nil {
		return media.Node{}, fmt.Errorf("read beat of edge %s: %w: %w", id, media.ErrInvalid, err)
	}
	if len(text) > maxBeat {
		return media.Node{}, fmt.Errorf("beat of edge %s: %w: more than %d bytes", id, media.ErrTooLarge, maxBeat)
	}
	var node media.Node
	if err := json.Unmarshal(text, &node); err != nil {
		return media.Node{}, fmt.Errorf("beat of edge %s: %w: %w", id, media.ErrInvalid, err)
	}
	wrong := ""
	load := node.Load
	switch {
	case node.ID != id:
		wrong = "id is not that of the path"
	case node.Role != media.RoleEdge || node.Edge == nil:
		wrong = `role must be "edge", and edge be told`
	case node.Cluster != "":
		wrong = "an edge is of no cluster"
	case node.StartedAt.IsZero():
		wrong = "started_at is missing"
	case len(node.Version) > 100:
		wrong = "version has more than 100 bytes"
	case min(int64(load.Publishers), load.BitsIn, int64(load.Viewers), load.BitsOut, int64(load.Capacity)) < 0:
		wrong = "load is below zero"
	}
	if wrong != "" {
		return media.Node{}, fmt.Errorf("beat of edge %s: %w: %s", id, media.ErrInvalid, wrong)
	}
	if err := node.Check(); err != nil {
		return media.Node{}, fmt.Errorf("beat of edge %s: %w", id, err)
	}
	return node, nil
}

// mayRegister refuses an edge that has another process's name. Of two edges the one that started later has it: it may
// be the other's next start.
func mayRegister(node media.Node, nodes []media.Node) error {
	edges := 0
	for _, other := range nodes {
		if other.Role == media.RoleEdge {
			edges++
		}
		if other.ID != node.ID {
			continue
		}
		if other.Role != media.RoleEdge || other.StartedAt.After(node.StartedAt) {
			return fmt.Errorf("%w: the %s at %s has the name %s: give each process its own --node", media.ErrConflict,
				other.Role, other.URL, node.ID)
		}
		return nil
	}
	if edges >= maxEdges {
		return fmt.Errorf("%w: %d edges are listed, which is the most", media.ErrLimit, edges)
	}
	return nil
}

// peersOf says whom an edge may ask. All edges of a site are told of the same ones, for they have to agree on who is
// responsible for what.
func peersOf(node media.Node, nodes []media.Node) media.EdgePeers {
	var site, shields []media.EdgePeer
	for _, other := range nodes {
		e := other.Edge
		if other.Role != media.RoleEdge || e == nil || !e.Asks || other.Draining {
			continue
		}
		peer := media.EdgePeer{ID: other.ID, URL: other.URL}
		switch {
		case node.Edge.Site != "" && e.Site == node.Edge.Site:
			site = append(site, peer)
		case e.Shield && other.ID != node.ID && !node.Edge.Shield:
			shields = append(shields, peer)
		}
	}
	byID := func(a, b media.EdgePeer) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(site, byID)
	slices.SortFunc(shields, byID)
	site = slices.DeleteFunc(site[:min(len(site), maxSiblings+1)], func(p media.EdgePeer) bool { return p.ID == node.ID })
	return media.EdgePeers{Siblings: site, Shields: shields[:min(len(shields), maxShields)]}
}

// serveLeave takes an edge from the list that stops. It says by started_at which process it is: another one of its name
// may have started.
func (s *Server) serveLeave(r *http.Request, id string) (any, error) {
	started, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("started_at"))
	if err != nil {
		return nil, fmt.Errorf("%w: started_at: %w", media.ErrInvalid, err)
	}
	nodes, err := s.nodeList(r.Context())
	if err != nil {
		return nil, err
	}
	own := func(n media.Node) bool { return n.ID == id && n.Role == media.RoleEdge && n.StartedAt.Equal(started) }
	if !slices.ContainsFunc(nodes, own) {
		return nil, nil
	}
	if s.deps.Unregister == nil {
		return nil, nil
	}
	return nil, s.deps.Unregister(r.Context(), id)
}
