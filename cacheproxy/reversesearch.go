package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

const (
	// A Reverse can't know what an origin holds back with good reason, as a part that is announced: it takes an answer for
	// late after the usual time of such waits, and no sooner.
	reverseHedgeFloor, reverseHedgeUnknown = time.Second, 3 * time.Second
	// reverseSlowStart is none: while an origin gets a growing share, its playlists and those of the one that stood in for
	// it would be mixed, and the cache spares it the rush.
	reverseSlowStart = time.Nanosecond
)

// newOrigins reads the operator's list.
func newOrigins(bases []string) (origins []upstream, err error) {
	if len(bases) == 0 {
		return nil, errors.New("no upstream")
	}
	for _, base := range bases {
		u, err := url.Parse(base)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" {
			return nil, fmt.Errorf("upstream %.200q: use a base URL like http://origin.example.com:8080", base)
		}
		origins = append(origins, upstream{name: u.Host, base: strings.TrimRight(base, "/")})
	}
	return origins, nil
}

// poolConfig is that of what knows how well the origins are. Fetches that may be cached take a place each, of which
// there are as many as there may be fetches: who passes through takes none.
func (p *Reverse) poolConfig() pool.Config {
	c := pool.Config{
		Places: p.config.MaxFlights, EjectTime: restTime, SlowStart: reverseSlowStart,
		HedgeFloor: reverseHedgeFloor, HedgeUnknown: reverseHedgeUnknown,
	}
	if p.config.Transport == nil {
		c.Check = connects
	}
	return c
}

// connects says whether an origin takes connections: what it may be asked without harm nobody knows.
func connects(ctx context.Context, base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme // by the name of the service
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// hosts are the origins' names in URLs.
func (p *Reverse) hosts() []string {
	hosts := make([]string, 0, len(p.origins)+1)
	for _, up := range p.origins {
		hosts = append(hosts, up.name)
	}
	return hosts
}

// reverseSearch asks the origins of one request until one gives more than that it is down. It is not safe for
// concurrent use.
type reverseSearch struct {
	proxy *Reverse
	ask   reverseAsk
	again bool // it may be asked of another one
	queue []upstream
	full  []upstream // that had no place for it
	owed  bool       // what failed has loaded an origin: the next one is asked out of the budget for that
	kept  answer     // says that its origin is down, and stands if nobody says better
	err   error      // of the last that failed
	// failed says that one was asked, in vain.
	failed bool
}

// request asks origin after origin until one answers with more than that it is down; if none does, that answer stands.
// The caller closes the body.
func (p *Reverse) request(ctx context.Context, a reverseAsk) (*http.Response, error) {
	p.upstreams.Request()
	s := reverseSearch{
		proxy: p, ask: a, again: a.body == nil && !httpcache.Unsafe(a.method),
		queue: pool.Order(p.upstreams, slices.Clone(p.origins), upstream.id, a.waits),
	}
	for {
		up, use, err := s.pick(ctx)
		switch {
		case err != nil:
			s.dropKept()
			return nil, err
		case use == nil && s.kept.resp != nil:
			return s.kept.resp, nil
		case use == nil:
			return nil, s.err
		}
		answers := s.contest(ctx, up, use)
		for i, a := range answers {
			if a.err != nil && ctx.Err() != nil { // nobody waits for it any more
				for _, rest := range answers[i:] {
					rest.drop()
				}
				s.dropKept()
				return nil, context.Cause(ctx)
			}
			if s.stands(a) {
				s.dropKept()
				return a.resp, nil
			}
		}
		if !s.again {
			s.queue, s.full = nil, nil
		}
	}
}

func (s *reverseSearch) dropKept() {
	if s.kept.resp != nil {
		s.kept.drop()
	}
}

// pick gives the next origin that has a place for the request. No use means that there is none left to ask.
func (s *reverseSearch) pick(ctx context.Context) (upstream, *pool.Use, error) {
	if len(s.queue)+len(s.full) == 0 || s.owed && !s.proxy.upstreams.Retry() {
		return upstream{}, nil, nil
	}
	s.owed = false
	for len(s.queue) > 0 {
		up := s.queue[0]
		s.queue = s.queue[1:]
		if use, ok := s.proxy.upstreams.Begin(up.id(), s.ask.waits); ok {
			return up, use, nil
		}
		s.full = append(s.full, up)
	}
	if s.failed {
		return upstream{}, nil, nil
	}
	up := s.full[0]
	s.full = nil
	use, err := s.proxy.upstreams.Await(ctx, up.id())
	return up, use, err
}

// down says that an answer is of who stands before the origin, or of an origin that can't.
func down(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// stands says whether an answer is final. One that is not is noted, and kept or ended.
func (s *reverseSearch) stands(a answer) bool {
	p := s.proxy
	if a.err == nil && !down(a.resp.StatusCode) {
		a.use.Answered()
		return true
	}
	fault := pool.Bad
	s.failed = true
	switch {
	case a.err == nil:
		s.dropKept()
		s.kept = a
		s.err = fmt.Errorf("ask %s: status %d", a.up.name, a.resp.StatusCode)
	case errors.Is(a.err, errTimeout):
		fault, s.err = pool.Late, a.err
	default:
		fault, s.err = pool.Unreachable, a.err
	}
	a.use.Failed(fault)
	s.owed = s.owed || fault.Loads()
	p.metrics.failed(a.up.name)
	p.logger.Debug("upstream failed", "upstream", a.up.name, "uri", s.ask.uri, "err", s.err)
	if a.err != nil {
		a.use.Done()
	}
	return false
}

// contest asks an origin and, when its answer's header is late, the next one too: the first good answer wins, and the
// other is cut. It gives the answers in the order in which they are to be judged.
func (s *reverseSearch) contest(ctx context.Context, up upstream, use *pool.Use) []answer {
	p := s.proxy
	ask := func(up upstream, use *pool.Use) func(context.Context) (*http.Response, error) {
		return func(ctx context.Context) (*http.Response, error) { return p.roundTrip(ctx, up, s.ask, use) }
	}
	if s.ask.waits || !s.again || len(s.queue) == 0 {
		resp, err := ask(up, use)(ctx) //nolint:bodyclose // it is the answer's
		return []answer{{up, use, resp, err}}
	}
	first := launch(ctx, up, use, ask(up, use)) //nolint:bodyclose // it is the answer's
	late := time.NewTimer(p.upstreams.HedgeAfter(up.id()))
	defer late.Stop()
	select {
	case <-first.done:
		return []answer{first.answer}
	case <-late.C:
	}
	other := s.queue[0]
	if !p.upstreams.Well(other.id()) || !p.upstreams.Hedge() {
		return []answer{first.wait()}
	}
	otherUse, ok := p.upstreams.Begin(other.id(), false)
	if !ok {
		return []answer{first.wait()}
	}
	s.queue = s.queue[1:]
	second := launch(ctx, other, otherUse, ask(other, otherUse)) //nolint:bodyclose // it is the answer's
	select {
	case <-first.done:
		if a := first.answer; a.err == nil && !down(a.resp.StatusCode) {
			second.giveUp()
			return []answer{a}
		}
		return []answer{first.answer, second.wait()}
	case <-second.done:
	}
	switch a := second.answer; {
	case a.err == nil && a.resp.StatusCode < http.StatusBadRequest:
		use.Failed(pool.Outrun)
		first.giveUp()
		p.metrics.hedgesWon.Inc()
		return []answer{a}
	case a.err == nil && !down(a.resp.StatusCode): // the first is believed before it is told that there is no such thing
		b := first.wait()
		if b.err == nil && !down(b.resp.StatusCode) {
			a.drop()
			return []answer{b}
		}
		return []answer{b, a}
	default:
		return []answer{a, first.wait()}
	}
}
