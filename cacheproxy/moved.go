package cacheproxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

const (
	// moveLook is when, and how often from then on, the directory is asked about a growing recording of which a node does
	// not answer: longer than a live stream's part takes.
	moveLook = time.Second
	// maxSearchMoves bounds how often one request follows a recording to its next owner.
	maxSearchMoves = 4
)

// errOwnerMoved: the node that was asked is not the owner any more, and may never answer.
var errOwnerMoved = errors.New("the recording has another owner")

// roundTrip asks one upstream. A node that hangs, or that waits for what another one has by now, is left as soon as the
// directory names another owner, which is asked next.
func (s *search) roundTrip(ctx context.Context, up upstream, use *pool.Use) (*http.Response, error) {
	if s.first == "" || up.base == "" || s.moves == maxSearchMoves {
		return s.proxy.roundTrip(ctx, up, s.ask, use)
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	looking, stop := context.WithCancel(ctx)
	defer stop()
	moved := make(chan []string, 1)
	watch := time.AfterFunc(moveLook, func() {
		nodes := s.awaitMove(looking, up)
		if nodes != nil {
			giveUp(errOwnerMoved)
		}
		moved <- nodes
	})
	resp, err := s.proxy.roundTrip(ctx, up, s.ask, use)
	if watch.Stop() {
		return resp, err
	}
	stop()
	nodes := <-moved
	if nodes == nil {
		return resp, err
	}
	if err == nil { // the answer came too late: its body is cut
		s.discard(resp)
		err = errOwnerMoved
	}
	s.moves++
	s.first, s.tried = nodes[0], []string{up.name}
	archive := slices.DeleteFunc(s.queue, func(u upstream) bool { return u.base != "" })
	s.queue = nil
	for _, node := range nodes {
		s.queue = append(s.queue, nodeUpstream(node))
	}
	s.queue = append(s.queue, archive...)
	return nil, err
}

// awaitMove gives where the recording is once its owner is neither the one that it was nor the one that is asked, or
// nil when ctx ends.
func (s *search) awaitMove(ctx context.Context, up upstream) []string {
	look := time.NewTicker(moveLook)
	defer look.Stop()
	for {
		locator := s.proxy.locator
		loc, current, err := locator.locate(ctx, s.where, locator.mark(s.where))
		if err == nil && current && !loc.Guess && len(loc.Nodes) > 0 && loc.Nodes[0] != s.first &&
			nodeUpstream(loc.Nodes[0]).name != up.name {
			return loc.Nodes
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}
