package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oxbow-video/oxbow/internal/progress"
)

// NodeCommands is `oxbow node`.
type NodeCommands struct {
	Connection `embed:""`

	List  ListNodes `cmd:"" help:"List the nodes that are there, and their load."`
	Show  ShowNode  `cmd:"" help:"Show a node."`
	Drain DrainNode `cmd:"" help:"Have an ingest node or an edge send its clients to others, and stop."`
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
			"ID=id", "ROLE=role", "CLUSTER=cluster", "STARTED=~started_at", "DRAINING=draining",
			"PUBLISHERS=load.publishers", "IN=load.bits_in", "REQUESTS=load.viewers", "OUT=load.bits_out",
			"+VERSION=version", "+URL=url", "+CAPACITY=load.capacity",
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
	ID   string `arg:"" help:"The node's id."`
	Wait bool   `name:"wait" help:"Wait until the node has stopped."`
}

// Run drains it.
func (d *DrainNode) Run(c *Call) error {
	drain := Request{Method: http.MethodPost, Path: place("/v1/nodes/", d.ID, "/drain")}
	if !d.Wait {
		return c.act(drain, "node %s drains: it stops when its clients have gone; what supervises it may start it again: "+
			"STARTED of `oxbow node list` tells", d.ID)
	}
	alone, err := c.alone()
	if err != nil {
		return err
	}
	answer, err := c.do(Request{Method: http.MethodGet, Path: place("/v1/nodes/", d.ID)})
	if err != nil {
		return err
	}
	before, err := decodeObject(answer)
	if err != nil {
		return errors.Join(errShape, err)
	}
	if err := c.act(drain, "node %s drains", d.ID); err != nil {
		return err
	}
	return c.stopped(d.ID, before.text("started_at"), alone)
}

// alone says whether there is one node only: then its process has the API too.
func (c *Call) alone() (bool, error) {
	answer, err := c.do(Request{Method: http.MethodGet, Path: "/v1/nodes", Query: url.Values{"limit": {"2"}}})
	if err != nil {
		return false, err
	}
	var p page
	if err := json.Unmarshal(answer, &p); err != nil {
		return false, errors.Join(errShape, err)
	}
	return len(p.Items) == 1, nil
}

const (
	// drainPoll is how often a node that drains is looked at.
	drainPoll = 500 * time.Millisecond
	// drainSilence is how long the API may be away meanwhile.
	drainSilence = time.Minute
)

// stopped waits until the node that started then is no more, or its process answers nobody if it is alone. Its next
// start may be there before anybody sees that it went.
func (c *Call) stopped(id, started string, alone bool) error {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	answered := time.Now()
	publishers := ""
	var told atomic.Pointer[string]
	defer c.progress("node "+id, func() progress.State {
		if text := told.Load(); text != nil {
			return progress.State{Text: *text}
		}
		return progress.State{Text: "drains"}
	})()
	for {
		answer, err := c.send(Request{Method: http.MethodGet, Path: place("/v1/nodes/", id)})
		var refused *APIError
		switch {
		case errors.As(err, &refused) && refused.Status == http.StatusNotFound, errors.Is(err, syscall.ECONNREFUSED) && alone:
			c.note("node %s has stopped", id)
			return nil
		case errors.As(err, &refused) && refused.Status < 500, c.process.Context.Err() != nil:
			return err
		case err != nil && time.Since(answered) > drainSilence:
			return fmt.Errorf("node %s drains, and whether it has stopped is unknown: %w", id, err)
		case err == nil:
			answered = time.Now()
			o, err := decodeObject(answer)
			if err != nil {
				return errors.Join(errShape, err)
			}
			if o.text("started_at") != started {
				c.note("node %s has stopped, and was started again", id)
				return nil
			}
			if now := human("publishers", o.get("load.publishers")); now != publishers {
				publishers = now
				c.note("publishers: %s", publishers)
				told.Store(new("drains, publishers: " + clean(publishers, maxCell)))
			}
		}
		select {
		case <-tick.C:
		case <-c.process.Context.Done():
			return c.process.Context.Err()
		}
	}
}
