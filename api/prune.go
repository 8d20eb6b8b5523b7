package api

import (
	"context"
	"time"
)

const (
	// pruneFirst is when what has outlived its time is removed first: a process that begins answers before. pruneEvery is
	// how often then.
	pruneFirst = time.Minute
	pruneEvery = time.Hour
)

// pruneLoop prunes after a first wait, and then every pruneEvery, until ctx ends.
func pruneLoop(ctx context.Context, first time.Duration, prune func()) {
	for wait := first; ; wait = pruneEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			prune()
		}
	}
}
