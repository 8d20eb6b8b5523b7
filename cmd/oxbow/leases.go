package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

const (
	// heartbeat is how often the node and its leases are renewed; they expire after several missed beats.
	heartbeat = time.Second
	// beatTimeout bounds what one beat waits for the registry.
	beatTimeout = 900 * time.Millisecond
	// sleepLimit is how old the last beat may be before the process is taken to have slept, through a SIGSTOP or a pause
	// of its machine: longer than a beat and its timeout.
	sleepLimit = 2 * time.Second
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
	// floor is the highest epoch that storage knows of a stream: a registry that lost its memory starts above it.
	floor func(ctx context.Context, path media.StreamPath) uint64
	// growing gives this node's shows.
	growing func() map[media.StreamPath]media.RecordingID
	// feed says who publishes a stream here, and for how long nothing has come.
	feed func(media.StreamPath) (feed string, silent time.Duration)
	// lost is told that another node took a stream over: nothing of it may be announced any more. It may be told twice.
	lost func(media.StreamPath)
	// outdated is told that the show that is here is not the newest: another node had the stream since.
	outdated func(media.StreamPath)
	draining atomic.Bool
	// beaten is when the last beat ended, however; in nanoseconds since began.
	beaten atomic.Int64
	began  time.Time

	mu struct {
		sync.Mutex
		held map[media.StreamPath]*hold
		away bool // the registry did not answer the last beat
	}
}

// hold is a lease that this node has; leases.mu guards it.
type hold struct {
	// epoch is the lease's; first is the one that this hold began with.
	epoch, first uint64
	// publishers counts connections; two for a moment when one takes over.
	publishers int
	feed       string
}

func newLeases(r registry.Registry, node media.Node, logger *slog.Logger) *leases {
	l := &leases{registry: r, node: node, logger: logger, began: time.Now()}
	l.mu.held = make(map[media.StreamPath]*hold)
	return l
}

// Acquire takes the stream's lease from whoever holds it. While the registry is away a node that has the lease goes on
// with it: nobody else can have taken it over, or this node learns of it when the registry is back.
func (l *leases) Acquire(ctx context.Context, path media.StreamPath, feed string) (uint64, error) {
	lease := l.lease(path, 0)
	lease.Feed = feed
	l.mu.Lock()
	h := l.mu.held[path]
	l.mu.Unlock()
	var floor uint64
	if h != nil {
		floor = h.first // storage may be slow, and has nothing newer
	} else {
		floor = l.floor(ctx, path)
	}
	epoch, err := l.registry.Acquire(ctx, lease, floor)
	l.mu.Lock()
	h = l.mu.held[path]
	if err != nil {
		defer l.mu.Unlock()
		if !errors.Is(err, media.ErrUnavailable) {
			return 0, err
		}
		if h == nil {
			return 0, ingest.Away(err, "the servers cannot tell who has the stream, for their registry is away: try again in a "+
				"moment")
		}
		l.logger.Warn("registry is away: going on with the lease", "publisher", path.Publisher, "stream", path.Stream)
		h.publishers++
		h.feed = feed
		return h.epoch, nil
	}
	stale := h != nil && h.epoch+1 < epoch // somebody else had it meanwhile
	if h == nil || stale {
		h = &hold{first: epoch}
		l.mu.held[path] = h
	}
	h.epoch = max(h.epoch, epoch) // two connections may acquire at once: the later lease counts
	h.feed = feed
	h.publishers++
	l.mu.Unlock()
	if stale {
		l.outdated(path)
	}
	return epoch, nil
}

// Release says that a publisher has left. The lease goes with the show.
func (l *leases) Release(ctx context.Context, path media.StreamPath, epoch uint64) error {
	growing := l.growing()
	l.mu.Lock()
	h := l.mu.held[path]
	if h == nil || epoch < h.first {
		l.mu.Unlock()
		return nil
	}
	h.publishers--
	_, grows := growing[path]
	if h.publishers > 0 || grows {
		l.mu.Unlock()
		return nil
	}
	delete(l.mu.held, path)
	l.mu.Unlock()
	return l.registry.Release(ctx, path, l.node.ID, h.epoch)
}

// adopt notes the lease of a show that came to this node without a publisher.
func (l *leases) adopt(path media.StreamPath, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.held[path] = &hold{epoch: epoch, first: epoch}
}

// giveUp releases the lease of a show that this node has handed over.
func (l *leases) giveUp(ctx context.Context, path media.StreamPath) error {
	l.mu.Lock()
	h := l.mu.held[path]
	delete(l.mu.held, path)
	l.mu.Unlock()
	if h == nil {
		return nil
	}
	return l.registry.Release(ctx, path, l.node.ID, h.epoch)
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

// Run renews the node's registration and its leases until the context ends.
func (l *leases) Run(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		l.beat(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// Awake is false when no beat has ended for so long that the process must have slept, and may have lost its leases.
func (l *leases) Awake() bool { return time.Since(l.began)-time.Duration(l.beaten.Load()) < sleepLimit }

// Confirm asks whether a stream is still this node's: media.ErrFenced. An error of the registry itself is no loss.
func (l *leases) Confirm(ctx context.Context, path media.StreamPath) error {
	l.mu.Lock()
	h := l.mu.held[path]
	l.mu.Unlock()
	if h == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	err := l.registry.Renew(ctx, l.renewal(path, h, l.growing()))
	if errors.Is(err, media.ErrFenced) {
		l.lose(path, h)
	}
	return err
}

// beat renews everything once.
func (l *leases) beat(ctx context.Context) {
	defer func() { l.beaten.Store(int64(time.Since(l.began))) }()
	call, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if l.load != nil {
		busy := l.load()
		l.busy.Store(&busy)
	}
	registered := make(chan error, 1)
	go func() { registered <- l.registry.Register(call, l.registration()) }() // a registry that hangs delays both once
	growing := l.growing()
	var renewals, over []media.Lease
	holds := make(map[media.StreamPath]*hold)
	l.mu.Lock()
	for path, h := range l.mu.held {
		if _, grows := growing[path]; h.publishers <= 0 && !grows {
			delete(l.mu.held, path) // the show has ended
			over = append(over, l.lease(path, h.epoch))
			continue
		}
		holds[path] = h
		renewals = append(renewals, l.renewal(path, h, growing))
	}
	l.mu.Unlock()
	var err error
	for i, renewed := range l.registry.RenewAll(call, renewals) {
		if errors.Is(renewed, media.ErrFenced) {
			l.lose(renewals[i].Path, holds[renewals[i].Path])
		} else if renewed != nil {
			err = renewed
		}
	}
	for _, lease := range over { // one that is not given back ends by itself
		if err := l.registry.Release(call, lease.Path, lease.Node, lease.Epoch); err != nil {
			l.logger.Debug("release lease", "publisher", lease.Path.Publisher, "stream", lease.Path.Stream, "err", err)
		}
	}
	l.tell(ctx, errors.Join(err, <-registered))
}

// list gives the leases that the node has, in order of path.
func (l *leases) list() []media.Lease {
	growing := l.growing()
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []media.Lease
	for path, h := range l.mu.held {
		list = append(list, l.renewal(path, h, growing))
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

// renewal is a lease as it is now.
func (l *leases) renewal(path media.StreamPath, h *hold, growing map[media.StreamPath]media.RecordingID) media.Lease {
	lease := l.lease(path, h.epoch)
	lease.Recording = growing[path]
	feed, silent := l.feed(path)
	if feed == media.FeedNone && h.publishers > 0 {
		feed = h.feed // it is on its way in
	}
	lease.Feed, lease.Silent = feed, media.Span(silent)
	return lease
}

// lose gives up a stream that another node owns.
func (l *leases) lose(path media.StreamPath, h *hold) {
	l.mu.Lock()
	ours := l.mu.held[path] == h
	if ours {
		delete(l.mu.held, path)
	}
	l.mu.Unlock()
	if ours {
		l.logger.Info("lease lost", "publisher", path.Publisher, "stream", path.Stream)
		l.lost(path)
	}
}

// tell logs when the registry goes and comes.
func (l *leases) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	changed := l.mu.away != (err != nil)
	l.mu.away = err != nil
	held := len(l.mu.held)
	l.mu.Unlock()
	switch {
	case changed && err != nil:
		l.logger.Error("registry is away: streams go on, nobody can begin or take over", "streams", held, "err", err)
	case changed:
		l.logger.Info("registry is back", "streams", held)
	}
}
