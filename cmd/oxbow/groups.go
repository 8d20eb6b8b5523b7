package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/packager"
)

// groups gives ingest the packager under its own interface: a stream publishes its own show, or joins that of its
// group. The lease of a group's show is acquired for the first of its members, kept while any is connected, and given
// back after the last; each member has its own stream's beside.
type groups struct {
	packager *packager.Packager
	// prepare has a show that another node began continued here, before it is published to.
	prepare func(ctx context.Context, path media.StreamPath, epoch uint64) error
	leases  heldLeases
	stream  func(context.Context, media.StreamPath) (media.Stream, error)
	members func(context.Context, media.StreamPath) ([]string, error)
	// elsewhere says that another node owns a stream.
	elsewhere func(context.Context, media.StreamPath) (bool, error)

	mu struct {
		sync.Mutex
		live map[media.StreamPath]*liveGroup
	}
}

// heldLeases are leases that can be lost while they are held.
type heldLeases interface {
	ingest.Leases
	// Holds says that what was acquired under an epoch was not lost since.
	Holds(path media.StreamPath, epoch uint64) bool
}

// liveGroup is a group with members that are connected or about to be; groups.mu guards members.
type liveGroup struct {
	members map[string]int // connections by stream; two for a moment when one takes over
	// acquiring is a mutex of the lease, which is waited for while groups.mu is free.
	acquiring sync.Mutex
	epoch     uint64
}

// refuse keeps out who publishes a group itself, and a member whose group is live elsewhere: its show is made by one
// node.
func (g *groups) refuse(ctx context.Context, stream media.Stream) error {
	if stream.Settings.Group != "" {
		show := media.StreamPath{Publisher: stream.Path.Publisher, Stream: stream.Settings.Group}
		away, err := g.elsewhere(ctx, show)
		if err == nil && away {
			err = fmt.Errorf("%w: other streams of its group %s are published to another server: publish this one there too",
				media.ErrConflict, show)
		}
		return err
	}
	names, err := g.members(ctx, stream.Path)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%w: it is made of the streams %s: publish those, with their keys", media.ErrConflict,
			strings.Join(names, ", "))
	}
	return err
}

// Publish implements ingest.Packager.
func (g *groups) Publish(ctx context.Context, stream media.Stream, epoch uint64) (ingest.Publication, error) {
	if stream.Settings.Group == "" {
		if err := g.prepare(ctx, stream.Path, epoch); err != nil {
			return nil, err
		}
		publication, err := g.packager.Publish(ctx, stream, epoch)
		if err != nil {
			return nil, err
		}
		if !g.leases.Holds(stream.Path, epoch) { // since it was acquired; nobody sends away who is not here yet
			return nil, errors.Join(errLeaseLost(stream.Path), publication.Close(false))
		}
		return publication, nil
	}
	show, err := g.stream(ctx, media.StreamPath{Publisher: stream.Path.Publisher, Stream: stream.Settings.Group})
	if errors.Is(err, media.ErrNotFound) { // it would tell the publisher that the key is wrong
		err = fmt.Errorf("%w: its group %q is gone", media.ErrConflict, stream.Settings.Group)
	}
	if err != nil {
		return nil, err
	}
	names, err := g.members(ctx, show.Path)
	if err != nil {
		return nil, err
	}
	live := g.enter(show.Path, stream.Path.Stream)
	showEpoch, err := g.acquire(ctx, live, show.Path)
	if err != nil {
		return nil, errors.Join(err, g.leave(ctx, live, show.Path, stream.Path.Stream))
	}
	member, err := g.packager.Join(ctx, show, showEpoch, packager.Membership{
		Stream: stream, Epoch: epoch, Members: names,
	})
	if err != nil {
		return nil, errors.Join(err, g.leave(ctx, live, show.Path, stream.Path.Stream))
	}
	joined := &membership{Member: member, leave: func() error {
		return g.leave(context.WithoutCancel(ctx), live, show.Path, stream.Path.Stream)
	}}
	switch {
	case !g.holds(live, show.Path):
		return nil, errors.Join(errLeaseLost(show.Path), joined.Close(false))
	case !g.leases.Holds(stream.Path, epoch):
		return nil, errors.Join(errLeaseLost(stream.Path), joined.Close(false))
	}
	return joined, nil
}

// errLeaseLost is for who was about to publish under a lease that another node has by now.
func errLeaseLost(path media.StreamPath) error {
	return fmt.Errorf("%w: the lease of %s was lost meanwhile: publish again", media.ErrUnavailable, path)
}

// holds says that the group's lease was not lost.
func (g *groups) holds(live *liveGroup, show media.StreamPath) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.live[show] == live
}

func (g *groups) enter(show media.StreamPath, member string) *liveGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.live == nil {
		g.mu.live = make(map[media.StreamPath]*liveGroup)
	}
	live := g.mu.live[show]
	if live == nil {
		live = &liveGroup{members: make(map[string]int)}
		g.mu.live[show] = live
	}
	live.members[member]++
	return live
}

func (g *groups) acquire(ctx context.Context, live *liveGroup, show media.StreamPath) (uint64, error) {
	live.acquiring.Lock()
	defer live.acquiring.Unlock()
	if live.epoch == 0 {
		epoch, err := g.leases.Acquire(ctx, show, media.FeedPrimary)
		if err != nil {
			return 0, fmt.Errorf("acquire %s: %w", show, err)
		}
		if err := g.prepare(ctx, show, epoch); err != nil {
			err = fmt.Errorf("go on with %s: %w", show, err)
			return 0, errors.Join(err, g.leases.Release(context.WithoutCancel(ctx), show, epoch))
		}
		live.epoch = epoch
	}
	return live.epoch, nil
}

// leave takes a member's connection out, and gives the lease back after the last.
func (g *groups) leave(ctx context.Context, live *liveGroup, show media.StreamPath, member string) error {
	g.mu.Lock()
	if live.members[member]--; live.members[member] == 0 {
		delete(live.members, member)
	}
	last := len(live.members) == 0
	if last && g.mu.live[show] == live {
		delete(g.mu.live, show)
	}
	g.mu.Unlock()
	if !last || live.epoch == 0 {
		return nil
	}
	if err := g.leases.Release(ctx, show, live.epoch); err != nil {
		return fmt.Errorf("release %s: %w", show, err)
	}
	return nil
}

// lost gives up a show whose lease another holds now, and names its members that are connected here: they are to be
// sent away. Who comes before the last of them has left acquires the lease anew, else it would go on without.
func (g *groups) lost(show media.StreamPath) (members []media.StreamPath) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if live := g.mu.live[show]; live != nil {
		for name := range live.members {
			members = append(members, media.StreamPath{Publisher: show.Publisher, Stream: name})
		}
		delete(g.mu.live, show)
	}
	return members
}

// membership is a member's publication; the lease is kept as long.
type membership struct {
	*packager.Member
	once  sync.Once
	leave func() error
}

// Close shadows the member's.
func (m *membership) Close(clean bool) error {
	err := m.Member.Close(clean)
	m.once.Do(func() { err = errors.Join(err, m.leave()) })
	return err
}
