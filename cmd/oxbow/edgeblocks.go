package main

import (
	"context"
	"time"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/blocks"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/slab"
)

var (
	_ blocks.Store = (*objstore.Dir)(nil)
	_ blocks.Store = (*objstore.S3)(nil)
)

// edgeBlocks are the archives' media in the edge's memory. What the edge caches of it refers to them, so that their
// share of --cache-size is all that media of archived recordings takes; live media, playlists and heads have the other.
type edgeBlocks struct {
	*blocks.Cache
	purges *cacheproxy.Purges
}

// openBlocks makes the edge's blocks, which are closed when the services have ended. Their memory is of the arena that
// the edge's other media are in.
func (n *node) openBlocks(ctx context.Context, cacheSize byteSize, arena *slab.Arena) edgeBlocks {
	b := edgeBlocks{purges: new(cacheproxy.Purges)}
	cfg := blocks.Config{MaxBytes: b.share(cacheSize), Arena: arena}
	if n.disk != nil {
		cfg.Tier = blockTier{disk: n.disk, arena: arena, purges: b.purges}
	}
	b.Cache = blocks.New(cfg, n.metrics)
	n.services.add(ctx, "archived blocks", func(ctx context.Context) error {
		<-ctx.Done()
		return b.Close()
	})
	return b
}

// share is what blocks have of the cache's size: what a VOD edge lives on and a live edge hardly uses. It is a fixed
// part, so that a rush of either kind leaves the other its own.
func (edgeBlocks) share(cacheSize byteSize) int64 { return int64(cacheSize) / 2 }

// purge forgets what memory has. What the disk has is looked at when it is read (blockTier).
func (b edgeBlocks) purge(scope string, _ time.Time) { b.Forget(scope) }

// files gives a store as an origin reads it.
func (b edgeBlocks) files(name string, objects archiver.Objects) reclog.Files {
	if store, ok := objects.(blocks.Store); ok {
		return b.Storage(name, store)
	}
	return objects
}
