package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// restTime is how long an upstream that was away once is asked last.
const restTime = time.Second

// errOutrun: another upstream was faster.
var errOutrun = errors.New("another upstream has answered")

// answer is what one upstream said, or why it said nothing.
type answer struct {
	up   upstream
	use  *pool.Use
	resp *http.Response
	err  error
}

// drop ends what is of no use any more.
func (a answer) drop() {
	if a.resp != nil {
		_ = a.resp.Body.Close()
	}
	if a.use != nil {
		a.use.Done()
	}
}

// pick gives the next upstream that has a place for the request. No use means that there is none left to ask.
func (s *search) pick(ctx context.Context) (upstream, *pool.Use, error) {
	for {
		for len(s.queue) > 0 {
			up := s.queue[0]
			s.queue = s.queue[1:]
			if slices.Contains(s.tried, up.name) {
				continue
			}
			use, ok := s.proxy.upstreams.Begin(up.id(), s.ask.waits())
			if !ok {
				s.full = append(s.full, up)
				continue
			}
			return s.picked(up, use)
		}
		if len(s.full) > 0 && (s.rounds == 2 || s.refusal == nil && s.err == nil) {
			up := s.full[0]
			s.full = nil
			use, err := s.proxy.upstreams.Await(ctx, up.id())
			switch {
			case err == nil:
				return s.picked(up, use)
			case ctx.Err() != nil:
				return upstream{}, nil, err
			}
			s.err = err
			s.tried = append(s.tried, up.name)
		}
		if s.rounds == 2 {
			return upstream{}, nil, nil
		}
		s.rounds++
		if err := s.locate(ctx); err != nil {
			return upstream{}, nil, err
		}
	}
}

func (s *search) picked(up upstream, use *pool.Use) (upstream, *pool.Use, error) {
	if s.owed && !s.proxy.upstreams.Retry() {
		use.Done()
		return upstream{}, nil, nil
	}
	s.owed = false
	s.tried = append(s.tried, up.name)
	return up, use, nil
}

func (s *search) order(ups []upstream) []upstream {
	return pool.Order(s.proxy.upstreams, ups, upstream.id, s.ask.waits())
}

// wanted says that a status is what was asked for.
func (s *search) wanted(status int) bool {
	switch status {
	case http.StatusOK:
		return true
	case http.StatusPartialContent:
		return s.rest || s.ask.kind == kindDownload
	case http.StatusNotModified:
		return s.ask.kind == kindDownload
	}
	return false
}

// failed notes an upstream that gave no answer.
func (s *search) failed(a answer) {
	s.err = a.err
	s.proxy.metrics.failed(a.up.name)
	s.proxy.logger.Debug("upstream failed", "upstream", a.up.name, "path", s.ask.path, "err", a.err)
	switch late := errors.Is(a.err, errTimeout); {
	case errors.Is(a.err, errOwnerMoved), late && s.ask.holds:
		// It may have waited in good faith.
	case late:
		s.fault(a, pool.Late)
	case errors.Is(a.err, errBadAnswer):
		s.fault(a, pool.Bad)
	case a.up.base == "":
		s.fault(a, pool.Down)
	default:
		s.fault(a, pool.Unreachable)
	}
	a.use.Done()
}

func (s *search) fault(a answer, f pool.Fault) {
	a.use.Failed(f)
	s.owed = s.owed || f.Loads()
}

// attempt is one upstream's answer on its way.
type attempt struct {
	answer
	cancel context.CancelCauseFunc
	done   chan struct{}
}

func launch(
	ctx context.Context, up upstream, use *pool.Use, ask func(context.Context) (*http.Response, error),
) *attempt {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{answer: answer{up: up, use: use}, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.resp, a.err = ask(ctx) //nolint:bodyclose // it is the answer's
	}()
	return a
}

func (a *attempt) wait() answer {
	<-a.done
	return a.answer
}

// giveUp cuts the attempt and waits for its end, which comes at once.
func (a *attempt) giveUp() {
	a.cancel(errOutrun)
	a.wait().drop()
}

// contest asks an upstream and, when its answer's header is late, the next one too: the first good answer wins, and the
// other is cut. It gives the answers in the order in which they are to be judged.
func (s *search) contest(ctx context.Context, up upstream, use *pool.Use) []answer {
	ask := func(ctx context.Context) (*http.Response, error) { return s.roundTrip(ctx, up, use) }
	other, ok := s.rival()
	if !ok {
		resp, err := ask(ctx) //nolint:bodyclose // it is the answer's
		return []answer{{up, use, resp, err}}
	}
	first := launch(ctx, up, use, ask)
	late := time.NewTimer(s.proxy.upstreams.HedgeAfter(up.id()))
	defer late.Stop()
	select {
	case <-first.done:
		return []answer{first.answer}
	case <-late.C:
	}
	if !s.proxy.upstreams.Well(other.id()) || !s.proxy.upstreams.Hedge() {
		return []answer{first.wait()}
	}
	otherUse, ok := s.proxy.upstreams.Begin(other.id(), s.ask.waits())
	if !ok {
		return []answer{first.wait()}
	}
	second := launch(ctx, other, otherUse, func(ctx context.Context) (*http.Response, error) {
		return s.proxy.roundTrip(ctx, other, s.ask, otherUse)
	})
	// Until first has ended, the search's fields are its own: it may follow its recording to another node.
	select {
	case <-first.done:
		if a := first.answer; a.err == nil && a.resp.StatusCode < http.StatusInternalServerError {
			second.giveUp()
			return []answer{a}
		}
		s.tried = append(s.tried, other.name)
		return []answer{first.answer, second.wait()}
	case <-second.done:
	}
	switch a := second.answer; {
	case a.err == nil && s.wanted(a.resp.StatusCode):
		use.Failed(pool.Outrun)
		first.giveUp()
		s.proxy.metrics.hedgesWon.Inc()
		s.tried = append(s.tried, other.name)
		return []answer{a}
	case a.err == nil:
		// Its turn to be believed has not come.
		a.drop()
		return []answer{first.wait()}
	default:
		last := first.wait()
		s.tried = append(s.tried, other.name)
		return []answer{a, last}
	}
}

// rival gives who is to be asked too when an upstream is late: only for what is there already, and no mirror, which is
// for when the archive does not answer.
func (s *search) rival() (upstream, bool) {
	switch s.ask.kind {
	case kindSegment, kindInit, kindSubtitle:
	default:
		return upstream{}, false
	}
	if s.guess || s.unknown || s.ask.method != http.MethodGet {
		return upstream{}, false
	}
	for _, up := range s.queue {
		if slices.Contains(s.tried, up.name) || up.store != "" && up.store == s.mirror {
			continue
		}
		return up, true
	}
	return upstream{}, false
}

// checkPath is what a node that is out is asked. Any answer but a 5xx says that its process serves.
const checkPath = "/healthz"

// check asks a node whether it is there; an archive is in this process, and only requests tell of its storage.
func (p *Proxy) check(ctx context.Context, id string) error {
	if !strings.Contains(id, "://") {
		return pool.ErrNoCheck
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id+checkPath, nil)
	if err != nil {
		return err
	}
	req.Header = http.Header{"User-Agent": {"oxbow-edge"}}
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxRefusal)) // so that the connection can be used again
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s answers %d: %w", checkPath, resp.StatusCode, errBadAnswer)
	}
	return nil
}
