package operator

import (
	"net/http"
	"net/url"
)

// NodeCommands is `oxbow node`.
type NodeCommands struct {
	Connection `embed:""`

	List  ListNodes `cmd:"" help:"List the nodes that are there, and their load."`
	Show  ShowNode  `cmd:"" help:"Show a node."`
	Drain DrainNode `cmd:"" help:"Have an ingest node hand its publishers to others, and stop."`
}

// ListNodes is `oxbow node list`.
type ListNodes struct {
	Role    string `name:"role" placeholder:"ROLE" help:"Only nodes of this role: ingest, archiver, edge or api."`
	Cluster string `name:"cluster" placeholder:"NAME" help:"Only nodes of this cluster."`
	Paging  `embed:""`
}

// Run lists them.
func (l *ListNodes) Run(c *Call) error {
	q := query{}
	q.text("role", l.Role)
	q.text("cluster", l.Cluster)
	return c.list("/v1/nodes", url.Values(q), l.Paging, table{
		columns: []string{
			"ID=id", "ROLE=role", "CLUSTER=cluster", "DRAINING=draining", "PUBLISHERS=load.publishers", "IN=load.bits_in",
			"VIEWERS=load.viewers", "OUT=load.bits_out", "VERSION=version", "STARTED=started_at", "+URL=url",
			"+CAPACITY=load.capacity",
		},
		id: by("id"),
	})
}

// ShowNode is `oxbow node show`.
type ShowNode struct {
	ID string `arg:"" help:"The node's id."`
}

// Run shows it.
func (s *ShowNode) Run(c *Call) error { return c.show(place("/v1/nodes/", s.ID), by("id")) }

// DrainNode is `oxbow node drain`.
type DrainNode struct {
	ID string `arg:"" help:"The node's id."`
}

// Run drains it.
func (d *DrainNode) Run(c *Call) error {
	return c.act(Request{Method: http.MethodPost, Path: place("/v1/nodes/", d.ID, "/drain")},
		"node %s drains: it leaves `oxbow node list` when its publishers have gone", d.ID)
}
