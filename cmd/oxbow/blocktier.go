package main

import (
	"context"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/blocks"
	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

var _ blocks.Tier = blockTier{}

// blockTier keeps archived blocks in the edge's cache on disk, beside what else is there.
type blockTier struct {
	disk  *diskcache.Store
	arena *slab.Arena
	// purges says what is not to be used that was written by then; nil is nothing.
	purges *cacheproxy.Purges
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
	if group, spoilt := t.spoilt(key, v.Meta); spoilt {
		t.Drop(group) // with whatever came since, once
		return slab.Piece{}, false
	}
	return slab.Piece{Buffer: buffer, Data: buffer.Bytes()[:v.Size:v.Size]}, true
}

// Put has a block written.
func (t blockTier) Put(key, group string, piece slab.Piece) bool {
	written := strconv.AppendInt(nil, time.Now().UnixMilli(), 36)
	return t.disk.Put(blockPrefix+key, blockPrefix+group, written, [][]byte{piece.Data}, piece.Buffer)
}

// spoilt says whether a block was purged since it was written, and in which group it is. One that says no time was
// written before any purge.
func (t blockTier) spoilt(key string, meta []byte) (group string, spoilt bool) {
	if t.purges == nil {
		return "", false
	}
	group, recording, ok := blocks.TierGroup(key)
	since := t.purges.Since(recording)
	if !ok || since.IsZero() {
		return "", false
	}
	written, err := strconv.ParseInt(string(meta), 36, 64)
	if err == nil && time.UnixMilli(written).After(since) {
		return "", false
	}
	return group, true
}

// Drop drops a recording's blocks, also those of an earlier run.
func (t blockTier) Drop(group string) { t.disk.Drop(blockPrefix + group) }
