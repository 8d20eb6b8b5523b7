package main

import (
	"context"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// startPuller has the streams that have a source fetched from it.
func (n *node) startPuller(ctx context.Context, publishers *ingest.Server) {
	owned := func(ctx context.Context, path media.StreamPath) (bool, error) {
		lease, ok, err := n.registry.Owner(ctx, path)
		return ok && lease.Feed != media.FeedNone, err
	}
	n.sources = publishers.Puller(n.catalog, owned)
	n.services.add(ctx, "sources", n.sources.Run)
}
