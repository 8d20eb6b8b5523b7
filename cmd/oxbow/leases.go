package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// nodeID names this process in the registry; with the in-memory registry there is no other.
const nodeID = "local"

// heartbeat is how often the node and its leases are renewed; they expire after several missed beats.
const heartbeat = time.Second

// leases holds this node's leases on streams: ingest acquires and releases them, Run keeps them alive.
type leases struct {
	registry registry.Registry
	node     media.Node
	logger   *slog.Logger
	// floor is the highest epoch that storage knows: a registry that lost its memory starts above it.
	floor uint64
	// lost is told that another node took a stream over; its connection must end.
	lost func(media.StreamPath)

	mu struct {
		sync.Mutex
		held map[media.StreamPath]uint64
	}
}

// Acquire takes the stream's lease from whoever holds it.
func (l *leases) Acquire(ctx context.Context, path media.StreamPath, feed string) (uint64, error) {
	lease := l.lease(path, 0)
	lease.Feed = feed
	epoch, err := l.registry.Acquire(ctx, lease, l.floor)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.held == nil {
		l.mu.held = map[media.StreamPath]uint64{}
	}
	l.mu.held[path] = max(l.mu.held[path], epoch) // two connections may acquire at once: the later lease counts
	return epoch, nil
}

// lease is this node's on a stream.
func (l *leases) lease(path media.StreamPath, epoch uint64) media.Lease {
	return media.Lease{Path: path, Node: l.node.ID, Cluster: l.node.Cluster, Epoch: epoch}
}

// Owner gives the lease that another node holds.
func (l *leases) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	lease, owned, err := l.registry.Owner(ctx, path)
	return lease, owned && lease.Node != l.node.ID, err
}

// Release gives the lease back, unless a newer connection to this node has acquired it again.
func (l *leases) Release(ctx context.Context, path media.StreamPath, epoch uint64) error {
	l.mu.Lock()
	if l.mu.held[path] == epoch {
		delete(l.mu.held, path)
	}
	l.mu.Unlock()
	return l.registry.Release(ctx, path, l.node.ID, epoch)
}

// Run renews the node's registration and its leases until the context ends.
func (l *leases) Run(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		l.renew(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// renew is one beat.
func (l *leases) renew(ctx context.Context) {
	if err := l.registry.Register(ctx, l.node); err != nil && ctx.Err() == nil {
		l.logger.Warn("heartbeat", "err", err)
	}
	l.mu.Lock()
	held := maps.Clone(l.mu.held)
	l.mu.Unlock()
	for path, epoch := range held {
		err := l.registry.Renew(ctx, l.lease(path, epoch))
		switch {
		case errors.Is(err, media.ErrFenced):
			l.mu.Lock()
			ours := l.mu.held[path] == epoch
			if ours {
				delete(l.mu.held, path)
			}
			l.mu.Unlock()
			if ours {
				l.logger.Info("lease lost", "publisher", path.Publisher, "stream", path.Stream)
				l.lost(path)
			}
		case err != nil && ctx.Err() == nil:
			l.logger.Warn("renew lease", "publisher", path.Publisher, "stream", path.Stream, "err", err)
		}
	}
}
