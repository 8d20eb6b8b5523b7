package main

import (
	"context"

	"github.com/oxbow-video/oxbow/internal/blocks"
	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

var _ blocks.Tier = blockTier{}

// blockTier keeps archived blocks in the edge's cache on disk, beside what else is there.
type blockTier struct {
	disk  *diskcache.Store
	arena *slab.Arena
}

// blockPrefix tells blocks' keys and groups from others' in the same directory.
const blockPrefix = "block:"

// Get reads a block into one buffer, in the pieces that it is verified in.
func (t blockTier) Get(ctx context.Context, key string, size int) (slab.Piece, bool) {
	var buffer *slab.Buffer
	at := 0
	v, ok := t.disk.Get(ctx, blockPrefix+key, func(n int) []byte {
		if n > size-at {
			return nil // it is another size
		}
		if buffer == nil {
			buffer = t.arena.Get(size)
		}
		room := buffer.Bytes()[at : at+n : at+n]
		at += n
		return room
	})
	if !ok || buffer == nil {
		return slab.Piece{}, false
	}
	return slab.Piece{Buffer: buffer, Data: buffer.Bytes()[:v.Size:v.Size]}, true
}

// Put has a block written.
func (t blockTier) Put(key, group string, piece slab.Piece) bool {
	return t.disk.Put(blockPrefix+key, blockPrefix+group, nil, [][]byte{piece.Data}, piece.Buffer)
}

// Drop drops a recording's blocks, also those of an earlier run.
func (t blockTier) Drop(group string) { t.disk.Drop(blockPrefix + group) }
