package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

var (
	// errNoPulse: an edge does not answer when it is asked whether it is there.
	errNoPulse = errors.New("edge is silent")
	// errFollow: another fetch of the same key asks whom this one would.
	errFollow = errors.New("another fetch asks for it")
)

// keptTime bounds the wait for what a sibling is to have already, unless that may be held back.
const keptTime = 2 * time.Second

// source is where an object came from.
type source uint8

const (
	fromNode source = iota
	fromArchive
	fromMirror
	fromSibling
	fromShield
	fromOwnDisk
	sources
)

func (s source) String() string {
	return [...]string{"node", "archive", "mirror", "sibling", "shield", "disk"}[s]
}

// way is how an answer came.
type way struct {
	source source
	hops   int // edges that it came through
	age    time.Duration
}

// peered says that another edge gave it.
func (w way) peered() bool { return w.source == fromSibling || w.source == fromShield }

// wayOf gives how an answer came.
func (s *search) wayOf(up upstream, h http.Header) way {
	switch {
	case up.peer != nil:
		t, _ := parseTold(h)
		w := way{source: fromSibling, hops: t.hops + 1, age: t.age}
		if up.peer.as == asShield {
			w.source = fromShield
		}
		return w
	case up.base != "":
		return way{source: fromNode}
	case up.store != "" && up.store == s.mirror:
		return way{source: fromMirror}
	}
	return way{source: fromArchive}
}

// others is what of a search's plan is still to be asked.
type others struct {
	plan
	flight *flight // whose search it is; nil is nobody's
	follow *flight // set with errFollow: joined
	kept   bool    // the one that is asked now is only for what it has
}

// nextPeer gives the next edge to ask. No use means that it is the others' turn.
func (s *search) nextPeer() (upstream, *pool.Use, error) {
	o := &s.others
	for o.asks != 0 {
		var of *peer
		o.kept = false
		switch {
		case len(o.siblings) > 0:
			of, o.siblings = o.siblings[0], o.siblings[1:]
		case o.asks&askSiblings != 0:
			if err := s.narrow(o.asks &^ askSiblings); err != nil {
				return upstream{}, nil, err
			}
			continue
		case o.plan.kept != nil && o.asks&askKept != 0:
			of, o.plan.kept, o.kept = o.plan.kept, nil, true
		case o.asks&askKept != 0:
			if err := s.narrow(o.asks &^ askKept); err != nil {
				return upstream{}, nil, err
			}
			continue
		case len(o.shields) > 0:
			of, o.shields = o.shields[0], o.shields[1:]
		default:
			if err := s.narrow(0); err != nil {
				return upstream{}, nil, err
			}
			continue
		}
		if of.up.name == s.avoid || slices.Contains(s.tried, of.up.name) || !s.proxy.peers.well(of) {
			continue
		}
		use, ok := s.proxy.upstreams.Begin(of.up.id(), s.ask.waits())
		if !ok {
			s.proxy.metrics.peers.ask(of, outcomeFull)
			continue
		}
		s.tried = append(s.tried, of.up.name)
		return of.up, use, nil
	}
	return upstream{}, nil, nil
}

// narrow goes on to those that are asked next, or has the search follow a fetch that did so before.
func (s *search) narrow(to asks) error {
	s.others.asks = to
	if s.others.flight == nil {
		return nil
	}
	if s.others.follow = s.proxy.flights.narrow(s.others.flight, to); s.others.follow != nil {
		return errFollow
	}
	return nil
}

// forPeer gives the request as another edge gets it.
func (s *search) forPeer(of *peer) ask {
	a := s.ask
	a.header = maps.Clone(a.header)
	if purged := s.proxy.tellPurge(a.path, time.Now()); purged != nil {
		a.header[purgedField] = purged
	}
	a.header[chainField] = []string{extended(s.others.chain, s.proxy.config.ID, of.as)}
	switch {
	case !s.others.kept:
		// It may have to ask several itself, with the same patience. That it is there is looked at all the time.
		a.wait = 2*a.wait + time.Second
	case !a.holds:
		a.wait = keptTime
		fallthrough
	default:
		a.header["Cache-Control"] = []string{onlyIfCached}
	}
	return a
}

// roundTripPeer asks another edge, and gives up as soon as that is silent.
func (s *search) roundTripPeer(ctx context.Context, of *peer, use *pool.Use) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	life := of.living()
	stop := context.AfterFunc(life, func() { cancel(context.Cause(life)) })
	resp, err := s.proxy.roundTrip(ctx, of.up, s.forPeer(of), use)
	if err != nil {
		stop()
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("ask %s: %w", of.up.name, cause)
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &peerBody{ReadCloser: resp.Body, stop: stop, cancel: cancel}
	return resp, nil
}

// askPeer asks another edge. Final says that the answer stands, or that there is no use in going on.
func (s *search) askPeer(ctx context.Context, up upstream, use *pool.Use) (answer, bool, error) {
	of := up.peer
	ask := func(ctx context.Context) (*http.Response, error) { return s.roundTripPeer(ctx, of, use) }
	if s.others.kept || !s.hedged() {
		resp, err := ask(ctx) //nolint:bodyclose // it is the answer's
		return s.judgePeer(ctx, answer{up, use, resp, err})
	}
	first := launch(ctx, up, use, ask)
	late := time.NewTimer(s.proxy.upstreams.HedgeAfter(up.id()))
	defer late.Stop()
	select {
	case <-first.done:
		return s.judgePeer(ctx, first.answer)
	case <-late.C:
	}
	if !s.proxy.upstreams.Hedge() {
		return s.judgePeer(ctx, first.wait())
	}
	// It asks as if there were no site.
	beside := &search{proxy: s.proxy, where: s.where, ask: s.ask, rest: s.rest}
	beside.others.plan = s.others.beyond()
	var from string
	second := launch(ctx, upstream{}, nil, func(ctx context.Context) (resp *http.Response, err error) {
		resp, from, err = beside.next(ctx)
		return resp, err
	})
	select {
	case <-first.done:
		if a := first.answer; a.err == nil && s.wanted(a.resp.StatusCode) {
			second.giveUp()
			return s.judgePeer(ctx, a)
		}
		if a, final, err := s.judgePeer(ctx, first.answer); final { // a refusal
			second.giveUp()
			return a, final, err
		}
	case <-second.done:
		if a := second.answer; a.err != nil || !s.wanted(a.resp.StatusCode) {
			a.drop()
			return s.judgePeer(ctx, first.wait())
		}
		use.Failed(pool.Outrun)
		first.giveUp()
		s.proxy.metrics.hedgesWon.Inc()
	}
	a := second.wait()
	s.came, a.up.name = beside.came, from
	return a, true, a.err
}

// hedged says that another answer may be asked for beside a late one: of what is there already.
func (s *search) hedged() bool {
	switch s.ask.kind {
	case kindSegment, kindInit, kindSubtitle:
		return s.ask.method == http.MethodGet
	case kindMultivariant, kindPlaylist, kindPart, kindImage, kindDownload:
	}
	return false
}

// judgePeer says whether an edge's answer stands, and what it says of the edge.
func (s *search) judgePeer(ctx context.Context, a answer) (answer, bool, error) {
	of := a.up.peer
	m := &s.proxy.metrics.peers
	if a.err != nil {
		if ctx.Err() != nil {
			a.use.Done()
			return a, true, context.Cause(ctx)
		}
		s.peerFailed(a)
		return a, false, nil
	}
	t, ok := parseTold(a.resp.Header)
	status := a.resp.StatusCode
	if !ok {
		a.err = fmt.Errorf("%s answers %d and not as an edge's --internal port: %w", a.up.name, status, errBadAnswer)
		s.discard(a.resp)
		s.peerFailed(a)
		return a, false, nil
	}
	refused := func(what outcome) (answer, bool, error) {
		m.ask(of, what)
		s.discard(a.resp)
		return a, false, nil
	}
	switch {
	case t.err == toldAbsent:
		a.use.Answered()
		return refused(outcomeAbsent)
	case t.err == toldLoop:
		a.use.Answered()
		m.loops.Inc()
		s.others.siblings = nil // they know of another order than we
		return refused(outcomeLoop)
	case t.err == toldBusy:
		a.use.Failed(pool.Bad)
		return refused(outcomeFull)
	case t.err == toldDenied:
		a.use.Failed(pool.Down)
		return refused(outcomeFailed)
	case status == http.StatusServiceUnavailable && t.err == "" && s.ask.holds:
		// It was held back in vain.
	case status >= http.StatusInternalServerError:
		// The edge is well, and what it asked is not: this one looks for itself, and leaves the others in peace.
		a.use.Answered()
		s.others.siblings, s.owed = nil, true
		s.err = fmt.Errorf("%s answers %d: %w", a.up.name, status, media.ErrUnavailable)
		return refused(outcomeUpstream)
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest || status < 300 && !s.wanted(status):
		a.err = fmt.Errorf("%s answers %d: %w", a.up.name, status, errBadAnswer)
		s.discard(a.resp)
		s.peerFailed(a)
		return a, false, nil
	}
	a.use.Answered()
	if status < http.StatusMultipleChoices {
		m.ask(of, outcomeAnswered)
	} else {
		m.ask(of, outcomeRefused)
	}
	s.came = s.wayOf(a.up, a.resp.Header)
	return a, true, nil
}

// peerFailed notes an edge that gave no answer, or none of use.
func (s *search) peerFailed(a answer) {
	s.err = a.err
	what := outcomeFailed
	switch late := errors.Is(a.err, errTimeout); {
	case errors.Is(a.err, errNoPulse):
		what = outcomeSilent
	case late && s.others.kept, late && s.ask.holds:
	case late:
		a.use.Failed(pool.Late)
	case errors.Is(a.err, errBadAnswer):
		a.use.Failed(pool.Bad)
	default:
		a.up.peer.cut.Store(true)
		a.use.Failed(pool.Unreachable)
	}
	s.proxy.metrics.peers.ask(a.up.peer, what)
	s.proxy.logger.Debug("edge failed", "id", a.up.peer.id, "path", s.ask.path, "err", a.err)
	a.use.Done()
}

// peerBody is the body of an edge's answer, which ends when that is silent.
type peerBody struct {
	io.ReadCloser
	stop   func() bool
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (b *peerBody) Close() error {
	b.stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
