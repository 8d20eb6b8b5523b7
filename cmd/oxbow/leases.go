package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// leases holds this node's leases on streams. Ingest acquires one for each publisher and releases it after; it is kept
// for as long as the show grows here, with its publisher or without, since this node is then the one to ask for it. Run
// keeps them alive.
type leases struct {
	registry registry.Registry
	logger   *slog.Logger
	node     media.Node
	// load says how busy the node is, and is asked at each beat; nil is not at all.
	load func() media.Load
	busy atomic.Pointer[media.Load]
	// stored gives the recording of a stream that grows by what storage says, if any, and the highest epoch that it knows
	// of the stream: a registry that lost its memory starts above that.
	stored func(ctx context.Context, path media.StreamPath) (media.RecordingID, uint64)
	// growing gives this node's shows.
	growing func() map[media.StreamPath]media.RecordingID
	// feed says who publishes a stream here, and for how long nothing has come.
	feed func(media.StreamPath) (feed string, silent time.Duration)
	// lost is told that another node took a stream over: nothing of it may be announced any more. It may be told twice.
	// Nobody acquires the stream here meanwhile, so that what it ends is what was lost.
	lost func(media.StreamPath)
	// outdated is told that the show that is here is not the newest: another node had the stream since.
	outdated func(media.StreamPath)
	draining atomic.Bool
	// left: the node is not listed any more.
	left atomic.Bool
	// beaten is when the last beat that has ended, however, began; in nanoseconds since began. What the registry said
	// may be as old as that.
	beaten atomic.Int64
	began  time.Time
	// metrics may be nil.
	metrics *leaseMetrics
	// turns are of who acquires a stream or gives it up, one at a time for each stream.
	turns turns

	// mu is held while growing and feed are asked, which wait for nothing.
	mu struct {
		sync.Mutex
		held map[media.StreamPath]*hold
		// unheld are shows that grew without a lease at the last beat.
		unheld map[media.StreamPath]bool
		away   bool // the registry did not answer the last beat
	}
}

// hold is a lease that this node has; leases.mu guards it.
type hold struct {
	// epoch is the lease's; first is the one that this hold began with.
	epoch, first uint64
	// users counts connections, two for a moment when one takes over, and an adoption that is under way.
	users int
	feed  string
	// coming is the recording that is being brought here; empty once it grows here.
	coming media.RecordingID
	// unsure counts what was acquired since without an answer: the registry may have given it, and count on from there.
	unsure uint64
	// gone: it was lost, and what was made under it is being ended.
	gone bool
	// losing is closed when it is known whether it is lost, and what was made under it has ended; nil if nobody doubts.
	losing chan struct{}
	asked  *question
}

func newLeases(r registry.Registry, node media.Node, logger *slog.Logger) *leases {
	l := &leases{registry: r, node: node, logger: logger, began: time.Now()}
	l.mu.held = make(map[media.StreamPath]*hold)
	return l
}

// Acquire takes the stream's lease from whoever holds it. While the registry is away a node that has the lease goes on
// with it: nobody else can have taken it over, or this node learns of it when the registry is back.
func (l *leases) Acquire(ctx context.Context, path media.StreamPath, feed string) (uint64, error) {
	done, err := l.turns.take(ctx, path)
	if err != nil {
		return 0, fmt.Errorf("%w: what another node took is still being ended: %w", media.ErrUnavailable, err)
	}
	defer done()
	lease := l.lease(path, 0)
	lease.Feed = feed
	l.mu.Lock()
	h := l.mu.held[path]
	var floor uint64
	if h != nil { // storage may be slow, and has nothing newer
		lease.Recording, floor = l.growing()[path], h.epoch
	}
	l.mu.Unlock()
	if h == nil { // what is about to be continued here is told at once: those who wait for it come
		lease.Recording, floor = l.stored(ctx, path)
	}
	epoch, err := l.registry.Acquire(ctx, lease, floor)
	l.mu.Lock()
	h = l.mu.held[path]
	if err != nil {
		defer l.mu.Unlock()
		if h == nil || !errors.Is(err, media.ErrUnavailable) {
			l.metrics.count(leaseRefused, 1)
			return 0, err
		}
		l.logger.Warn("registry is away: going on with the lease", "publisher", path.Publisher, "stream", path.Stream)
		h.users++
		h.feed = feed
		h.unsure++
		return h.epoch, nil
	}
	stale := h != nil && h.epoch+1 < epoch // somebody else had it meanwhile
	if h == nil || stale {
		h = &hold{first: epoch}
		l.mu.held[path] = h
		l.metrics.count(leaseAcquired, 1)
	}
	h.epoch, h.feed, h.coming, h.unsure = epoch, feed, lease.Recording, 0
	h.users++
	l.mu.Unlock()
	if stale {
		l.outdated(path)
	}
	return epoch, nil
}

// Holds says that what was acquired under an epoch was not lost since. Who publishes asks once it can be told of a
// loss: until then nobody sends it away.
func (l *leases) Holds(path media.StreamPath, epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.mu.held[path]
	return h != nil && !h.gone && epoch >= h.first
}

// Release says that a publisher has left, or that an adoption has come to its end. The lease goes with the show.
func (l *leases) Release(ctx context.Context, path media.StreamPath, epoch uint64) error {
	l.mu.Lock()
	h := l.mu.held[path]
	if h == nil || epoch < h.first {
		l.mu.Unlock()
		return nil
	}
	h.users--
	if _, grows := l.growing()[path]; h.users > 0 || grows || h.gone {
		l.mu.Unlock()
		return nil
	}
	delete(l.mu.held, path)
	l.metrics.count(leaseReleased, 1)
	newest := h.epoch
	l.mu.Unlock()
	return l.registry.Release(ctx, path, l.node.ID, newest)
}

// claim takes the lease of a show that comes to this node without a publisher, and that nobody has, or that this node
// itself had under an epoch before it stopped; zero is none. It is released when the show has come.
func (l *leases) claim(ctx context.Context, lease media.Lease, floor, before uint64) (uint64, error) {
	done, err := l.turns.take(ctx, lease.Path)
	if err != nil {
		return 0, err
	}
	defer done()
	l.mu.Lock()
	h := l.mu.held[lease.Path]
	var epoch uint64
	if h != nil && before > 0 { // of an older recording of a stream that was taken up again
		h.users++
		epoch = h.epoch
	}
	l.mu.Unlock()
	switch {
	case epoch > 0:
		return epoch, nil
	case h != nil:
		return 0, fmt.Errorf("%w: this node has it by now", media.ErrConflict)
	case before > 0:
		// Never from a node that has taken it over since: what is given back is the lease from before, or nothing.
		if err := l.registry.Release(ctx, lease.Path, l.node.ID, before); err != nil {
			return 0, err
		}
	}
	epoch, err = l.registry.Claim(ctx, lease, floor)
	if before > 0 && errors.Is(err, media.ErrUnavailable) {
		epoch, err = l.registry.Acquire(ctx, lease, floor) // no node was there that could have taken it
	}
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.held[lease.Path] = &hold{epoch: epoch, first: epoch, users: 1, feed: media.FeedNone}
	l.metrics.count(leaseAdopted, 1)
	return epoch, nil
}

// giveUp releases the lease of a show that this node has handed over.
func (l *leases) giveUp(ctx context.Context, path media.StreamPath) error {
	l.mu.Lock()
	h := l.mu.held[path]
	if h == nil {
		l.mu.Unlock()
		return nil
	}
	delete(l.mu.held, path)
	l.metrics.count(leaseReleased, 1)
	epoch := h.epoch
	l.mu.Unlock()
	return l.registry.Release(ctx, path, l.node.ID, epoch)
}

// Owner says which other node owns a stream.
func (l *leases) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	lease, owned, err := l.registry.Owner(ctx, path)
	return lease, owned && lease.Node != l.node.ID, err
}

// lease is this node's on a stream.
func (l *leases) lease(path media.StreamPath, epoch uint64) media.Lease {
	return media.Lease{Path: path, Node: l.node.ID, Cluster: l.node.Cluster, Epoch: epoch}
}

// list gives the leases that the node has, in order of path.
func (l *leases) list() []media.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	growing := l.growing()
	var list []media.Lease
	for path, h := range l.mu.held {
		list = append(list, l.renewalLocked(path, h, growing))
	}
	slices.SortFunc(list, func(a, b media.Lease) int { return strings.Compare(a.Path.String(), b.Path.String()) })
	return list
}

// registration is the node as it is now.
func (l *leases) registration() media.Node {
	node := l.node
	node.Draining = l.draining.Load()
	if busy := l.busy.Load(); busy != nil {
		node.Load = *busy
	}
	return node
}

// renewalLocked is a lease as it is now.
func (l *leases) renewalLocked(
	path media.StreamPath, h *hold, growing map[media.StreamPath]media.RecordingID,
) media.Lease {
	lease := l.lease(path, h.epoch)
	if rec, grows := growing[path]; grows {
		lease.Recording, h.coming = rec, ""
	} else {
		lease.Recording = h.coming
	}
	feed, silent := l.feed(path)
	if feed == media.FeedNone && h.users > 0 {
		feed = h.feed // it is on its way in
	}
	lease.Feed, lease.Silent = feed, media.Span(silent)
	return lease
}
