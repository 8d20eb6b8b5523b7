package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// noDrain is what a process has that can not tell other nodes anything.
func noDrain(_ context.Context, node media.Node) error {
	return fmt.Errorf("%w: this server can't tell %s to drain: stop that process with SIGTERM, which drains it too",
		media.ErrConflict, node.ID)
}

type nodeOutput struct {
	Body media.Node
}

type nodesOutput struct {
	Body list[media.Node]
}

type listNodesInput struct {
	Role    string `query:"role" enum:"ingest,archiver,edge,api" doc:"Only nodes of this role"`
	Cluster string `query:"cluster" maxLength:"253" doc:"Only nodes of this cluster"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items to return"`
	Cursor  string `query:"cursor" maxLength:"253" doc:"The next of the page before"`
}

type nodePath struct {
	ID string `path:"id" maxLength:"253" doc:"The node's id"`
}

func (s *Server) nodeRoutes(v1 huma.API) {
	const all, one = "/v1/nodes", "/v1/nodes/{id}"
	describe := func(text string) func(*huma.Operation) {
		return func(op *huma.Operation) { op.Description = text }
	}
	route(s, v1, http.MethodGet, all, "list-nodes", "List the nodes that are there, by id", s.listNodes,
		scope(media.ScopeAdmin), describe(
			"A node that stops answering leaves the list after some seconds. While the registry is away, the list is as it was "+
				"last."))
	route(s, v1, http.MethodGet, one, "get-node", "Get a node and its load", s.getNode,
		scope(media.ScopeAdmin))
	route(s, v1, http.MethodPost, one+"/drain", "drain-node",
		"Have an ingest node or an edge send its clients elsewhere and stop",
		s.drainNode, describe("An ingest node takes no new publishers, asks its publishers to connect again, which they do "+
			"to another node, and stops when they have, or after its drain timeout. Viewers see one discontinuity. An edge is "+
			"no longer ready, players that are steered leave it, and it stops when its viewers have gone, or after its drain "+
			"timeout. The answer does not wait for that: the node reads draining, and then leaves the list. 409: the other "+
			"roles have nobody to send elsewhere."),
		func(op *huma.Operation) { op.DefaultStatus = http.StatusAccepted }, scope(media.ScopeAdmin))
}

// nodeList gives the nodes by id.
func (s *Server) nodeList(ctx context.Context) ([]media.Node, error) {
	nodes, err := s.deps.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b media.Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes, nil
}

func (s *Server) listNodes(ctx context.Context, in *listNodesInput) (*nodesOutput, error) {
	nodes, err := s.nodeList(ctx)
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n media.Node) bool {
		return in.Role != "" && n.Role != in.Role || in.Cluster != "" && n.Cluster != in.Cluster || n.ID <= in.Cursor
	})
	id := func(n media.Node) string { return n.ID }
	row := func(n media.Node) media.Node { return n }
	return &nodesOutput{Body: paged(nodes, in.Limit, id, row)}, nil
}

func (s *Server) node(ctx context.Context, id string) (media.Node, error) {
	nodes, err := s.nodeList(ctx)
	if err != nil {
		return media.Node{}, err
	}
	i := slices.IndexFunc(nodes, func(n media.Node) bool { return n.ID == id })
	if i < 0 {
		return media.Node{}, at("path.id", fmt.Errorf("node %s: %w: GET /v1/nodes lists those that are there", id,
			media.ErrNotFound))
	}
	return nodes[i], nil
}

func (s *Server) getNode(ctx context.Context, in *nodePath) (*nodeOutput, error) {
	node, err := s.node(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &nodeOutput{Body: node}, nil
}

func (s *Server) drainNode(ctx context.Context, in *nodePath) (*nothing, error) {
	node, err := s.node(ctx, in.ID)
	if err == nil {
		err = drainable(node)
	}
	switch {
	case err != nil:
	case node.Role == media.RoleEdge:
		err = s.drainEdge(ctx, node)
	default:
		err = s.deps.Drain(ctx, node)
	}
	if err != nil {
		return nil, at("path.id", err)
	}
	return &nothing{}, nil
}

// drainable says of a node without publishers and viewers how it is stopped.
func drainable(node media.Node) error {
	var do string
	switch node.Role {
	case media.RoleIngest, media.RoleEdge:
		return nil
	case media.RoleArchiver:
		do = "stop it with SIGTERM: another archiver of its cluster, or itself later, goes on with what it had begun"
	default:
		do = "stop it with SIGTERM: edges go on with the other api nodes"
	}
	return fmt.Errorf("%w: node %s has the role %s, and nobody to send elsewhere: %s", media.ErrConflict, node.ID,
		node.Role, do)
}
