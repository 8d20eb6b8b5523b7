package main

import (
	"context"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/internal/media"
)

// steeringFlags are how viewers are steered among edges.
type steeringFlags struct {
	SteeringURL playbackURL `name:"steering-url" placeholder:"URL" help:"Where players reach --http, like https://api.example.com: edges that tell their --public-url are then told to steer their viewers (default: viewers are not steered)."`
	SteeringTTL steeringTTL `name:"steering-ttl" default:"10s" placeholder:"DURATION" help:"How often players ask which edge to play from, in whole seconds (default: ${default})."`
}

// put sets them in the API's.
func (f *steeringFlags) put(cfg api.Config) api.Config {
	cfg.SteeringURL, cfg.SteeringTTL = string(f.SteeringURL), time.Duration(f.SteeringTTL)
	return cfg
}

// steeringTTL is a flag's steering interval.
type steeringTTL time.Duration

// UnmarshalText reads it.
func (t *steeringTTL) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Second || d > 5*time.Minute || d%time.Second != 0 {
		return fmt.Errorf("%q is no steering interval: use whole seconds from 1s to 5m", text)
	}
	*t = steeringTTL(d)
	return nil
}

const (
	// steeringLook is how often the API looks whether anybody can be steered, and steeringWorry how long there may be
	// edges none of which can before the operator is told: they may be starting.
	steeringLook  = 5 * time.Second
	steeringWorry = 10 * time.Second
)

// lookAtSteering tells the operator of a --steering-url that steers nobody.
func (n *node) lookAtSteering(ctx context.Context, f steeringFlags) {
	if f.SteeringURL == "" {
		return
	}
	n.services.add(ctx, "look at steering", func(ctx context.Context) error {
		tick := time.NewTicker(steeringLook)
		defer tick.Stop()
		for since := time.Now(); ; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			nodes, err := n.registry.Nodes(ctx)
			switch edges, public := edgesOf(nodes); {
			case public > 0:
				<-ctx.Done()
				return nil
			case err != nil || edges == 0:
				since = time.Now()
			case time.Since(since) >= steeringWorry:
				n.logger.Warn("no viewer is steered: none of the edges tells where viewers reach it", "edges", edges,
					"do", "start each edge with a --public-url of its own")
				<-ctx.Done()
				return nil
			}
		}
	})
}

// edgesOf counts the edges, and those that viewers can be sent to.
func edgesOf(nodes []media.Node) (edges, public int) {
	for _, node := range nodes {
		if node.Role == media.RoleEdge && node.Edge != nil {
			edges++
			if node.Edge.PublicURL != "" {
				public++
			}
		}
	}
	return edges, public
}
