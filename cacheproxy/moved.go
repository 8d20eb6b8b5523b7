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
	// not answer: longer than a live stream's part takes. An event of it has it asked at once.
	moveLook = time.Second
	// maxSearchMoves bounds how often one request follows a recording to its next owner.
	maxSearchMoves = 4
)

var (
	// errOwnerMoved: the node that was asked is not the owner any more, and may never answer.
	errOwnerMoved = errors.New("the recording has another owner")
	// errSilent: the node that was asked answers nothing else either.
	errSilent = errors.New("the node does not answer checks")
)

// roundTrip asks one upstream. A node that hangs, or that waits for what another one has by now, is left as soon as the
// directory names another owner, which is asked next. One that holds an answer back and is silent altogether is left
// too: another node may reach it, or what it wrote.
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
	silent := make(chan bool, 1)
	listen := time.AfterFunc(moveLook, func() {
		gone := s.awaitSilence(looking, up)
		if gone {
			giveUp(errSilent)
		}
		silent <- gone
	})
	s.proxy.watches.add(s.where, watch)
	resp, err := s.proxy.roundTrip(ctx, up, s.ask, use)
	s.proxy.watches.remove(s.where, watch) // before the watch is stopped: nothing fires behind that
	stop()
	if !listen.Stop() && <-silent && err == nil { // the answer came too late: its body is cut
		s.discard(resp)
		resp, err = nil, errSilent
	}
	if watch.Stop() {
		return resp, err
	}
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

// awaitSilence waits until a node that was asked fails a check, and says whether it did before ctx ended.
func (s *search) awaitSilence(ctx context.Context, up upstream) bool {
	look := time.NewTicker(moveLook)
	defer look.Stop()
	for ctx.Err() == nil {
		if !s.proxy.upstreams.Alive(ctx, up.id()) {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
		case <-look.C:
		}
	}
	return false
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
