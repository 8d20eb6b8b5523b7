package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// drainQuiet is for how long nobody has asked anything when an edge's viewers are held to have gone: more than what
	// lies between two reloads of a playlist.
	drainQuiet = 8 * time.Second
	drainLook  = 200 * time.Millisecond
)

// edgeRole is an edge as its directory knows it: it tells of itself, and drains when it is told to.
type edgeRole struct {
	n    *node
	edge *cacheproxy.Proxy
	self media.Node
	// busy gives requests so far, those under way, and bytes sent so far.
	busy func() (requests int64, open int, sent int64)
	// peers and steering are what orders change.
	peers    func(media.EdgePeers)
	steering func(media.Steering)
	// stop begins the drain.
	stop func()

	load     edgeLoad // of the goroutine that beats
	orders   media.EdgeOrders
	asked    atomic.Int64 // when a request was known last, in nanoseconds of Unix
	draining atomic.Bool
	setup    edgeSetup
	wake     chan struct{}
}

func (n *node) newEdgeRole(edge *cacheproxy.Proxy, self media.Node, stop func()) *edgeRole {
	r := &edgeRole{
		n: n, edge: edge, self: self, peers: edge.SetPeers, steering: edge.SetSteering, stop: stop,
		busy: edge.Busy, wake: make(chan struct{}, 1), setup: edgeSetup{edge: *self.Edge},
	}
	r.load.busy = r.busy
	return r
}

// startBeats has the directory know the edge.
func (r *edgeRole) startBeats(ctx context.Context, directories []string) {
	b := &edgeBeat{
		directories: directories, tokens: r.n.tokens, node: r.node, obey: r.obey, logger: r.n.logger, wake: r.wake,
	}
	b.start(r.n.metrics)
	r.setup.flags(r.n.logger)
	r.n.services.add(ctx, "beats", b.Run)
}

// node gives what the edge tells of itself now.
func (r *edgeRole) node() media.Node {
	now := time.Now()
	self, edge := r.self, *r.self.Edge
	self.Load = r.load.read(now)
	r.asked.Store(r.load.asked.UnixNano())
	self.Draining = r.draining.Load()
	edge.Ready = r.n.ready.Load()
	edge.Trouble = r.trouble(self.Load)
	self.Edge = &edge
	return self
}

// trouble gives the first reason why viewers had better be elsewhere.
func (r *edgeRole) trouble(load media.Load) string {
	for _, look := range []func() string{
		r.edge.Trouble,
		func() string { return over(load.BitsOut, r.self.Edge.BitsCapacity) },
		memoryTrouble,
		r.n.diskTrouble,
	} {
		if text := look(); text != "" {
			return text
		}
	}
	return ""
}

// obey does what changed in the orders.
func (r *edgeRole) obey(o media.EdgeOrders) {
	if !slices.Equal(o.Peers.Siblings, r.orders.Peers.Siblings) || !slices.Equal(o.Peers.Shields, r.orders.Peers.Shields) {
		r.peers(o.Peers)
	}
	if o.Steering != r.orders.Steering {
		r.steering(o.Steering)
	}
	r.setup.look(r.n.logger, o)
	if o.Drain && !r.orders.Drain {
		r.n.logger.Info("the directory orders a drain")
		r.stop()
	}
	r.orders = o
}

// up says that the edge serves, unless it drains already.
func (r *edgeRole) up() {
	r.n.ready.Store(true)
	if r.draining.Load() {
		r.n.ready.Store(false)
	}
}

// drain sends the viewers away and serves on until they have gone, or for as long as most, and until a service fails,
// whose failure it gives.
func (r *edgeRole) drain(most time.Duration) error {
	r.draining.Store(true)
	r.n.ready.Store(false)
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.n.logger.Info("draining", "most", most)
	begun := time.Now()
	end := time.NewTimer(most)
	defer end.Stop()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	last := time.Unix(0, r.asked.Load())
	for known := int64(-1); ; {
		requests, open, _ := r.busy()
		if now := time.Now(); open > 0 || known >= 0 && requests != known {
			last = now
		} else if now.Sub(last) >= drainQuiet {
			r.n.logger.Info("all viewers have left", "took", now.Sub(begun).Round(time.Millisecond))
			return nil
		}
		known = requests
		select {
		case <-tick.C:
		case err := <-r.n.services.failed:
			return err
		case <-end.C:
			if most > 0 {
				r.n.logger.Warn("viewers are left behind", "requests", open, "waited", most)
			}
			return nil
		}
	}
}
