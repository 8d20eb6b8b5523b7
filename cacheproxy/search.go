package cacheproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// maxRefusal bounds the body of an answer that is no 200.
const maxRefusal = 64 << 10

// search walks the upstreams of one request until one gives an answer that stands. It is not safe for concurrent use.
//
// The order is: other edges (peerask.go); the nodes as the directory gives them, those that are out last
// (internal/upstream), then the archive if it has the recording, and then its mirror, which is for when the archive
// does not answer: what the archive says counts. Playlists of what is archived come from there first, for a node may
// remember the show as it was when it ended.
// A node's 404 or 410 is not the end, for the recording may just have moved: the directory is asked again and then the
// place that it names, once. A guess of the directory's is another matter: all its nodes are asked, and the archive,
// and what none of them has is unavailable.
type search struct {
	proxy *Proxy
	where locationKey
	ask   ask

	queue   []upstream
	tried   []string
	rounds  int
	unknown bool // the directory could not be asked; the archive was put in on trust
	guess   bool // the directory guesses: a 404 only says that it is not there
	refusal *http.Response
	err     error

	mirror   string // the store that has a copy
	archived bool   // the directory says that the recording is
	first    string // the node that the directory named first, while the recording grows: its owner
	moves    int    // how often that was another one while an answer was waited for

	full  []upstream // that had no place for the request
	owed  bool       // what failed has loaded an upstream: the next one is asked out of the budget for that
	avoid string     // who is asked last, for it broke off just now
	rest  bool       // of a body is what is asked for: a 206 will do

	others others // edges, which are asked before all
	begun  bool
	came   way // of the last answer
}

// next gives the next answer that stands: a 200 (or for what passes through, 206, 304, 416), a refusal that all had to
// agree on, or an error. After it, next may be called again if the body broke.
func (s *search) next(ctx context.Context) (*http.Response, string, error) {
	if !s.begun {
		s.begun = true
		s.proxy.upstreams.Request()
	}
	for {
		up, use, err := s.nextPeer()
		if err != nil {
			return nil, "", err
		}
		if use != nil {
			a, final, err := s.askPeer(ctx, up, use)
			if err != nil {
				return nil, "", err
			}
			if final {
				return a.resp, a.up.name, nil
			}
			continue
		}
		up, use, err = s.pick(ctx)
		if err != nil {
			return nil, "", err
		}
		if use == nil {
			return s.verdict()
		}
		answers := s.contest(ctx, up, use)
		for i, a := range answers {
			switch {
			case a.err == nil && s.stands(a):
				s.came = s.wayOf(a.up, a.resp.Header)
				return a.resp, a.up.name, nil
			case a.err == nil:
			case ctx.Err() != nil:
				for _, rest := range answers[i:] {
					rest.drop()
				}
				return nil, "", context.Cause(ctx)
			default:
				s.failed(a)
			}
		}
	}
}

// stands says whether an answer is final. What is not is kept as a refusal, its body read.
func (s *search) stands(a answer) bool {
	up, resp := a.up, a.resp
	status := resp.StatusCode
	if status < 300 || status >= 400 && status < 500 {
		a.use.Answered()
	}
	switch {
	case s.wanted(status):
		s.countMirror(up)
		return true
	case status == http.StatusNotFound, status == http.StatusGone:
		if s.guess && status == http.StatusNotFound {
			s.refuse(resp)
			return false
		}
		// Other nodes read the same storage; only the directory knows more.
		s.queue = slices.DeleteFunc(s.queue, func(u upstream) bool { return u.base != "" })
		if up.base == "" && s.unknown {
			s.discard(resp)
			s.err = fmt.Errorf("directory is away and the archive does not have it: %w", media.ErrUnavailable)
			return false
		}
		if up.base == "" && up.store != s.mirror {
			s.queue = nil // its mirror knows no better
		}
		s.refuse(resp)
		return false
	case status == http.StatusMisdirectedRequest:
		// The node has just lost the stream, or handed it over: others know more, and the directory soon.
		s.discard(resp)
		s.err = fmt.Errorf("%s gave the stream up: %w", up.name, media.ErrUnavailable)
		return false
	case status == http.StatusServiceUnavailable && s.ask.holds && up.base != "":
		a.use.Answered()
		return true
	case status >= 500:
		s.proxy.metrics.failed(up.name)
		switch {
		case up.base == "":
			s.fault(a, pool.Down) // a mirror comes first for a moment
		case status == http.StatusServiceUnavailable && s.ask.waits():
			a.use.Answered() // there is nothing yet
		default:
			s.fault(a, pool.Bad)
		}
		s.refuse(resp)
		return false
	case status >= 400:
		return true
	}
	// Redirects are not followed (HTTP-12), and nothing else was asked for.
	s.discard(resp)
	a.err = fmt.Errorf("%s answers %d: %w", up.name, status, errBadAnswer)
	s.failed(a)
	return false
}

func (s *search) countMirror(up upstream) {
	if up.store != "" && up.store == s.mirror {
		s.proxy.metrics.mirrorAnswers.Inc()
	}
}

func (s *search) refuse(resp *http.Response) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	s.discard(resp)
	if err != nil {
		s.err = err
		return
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	s.refusal = resp
}

func (s *search) discard(resp *http.Response) { _ = resp.Body.Close() }

func (s *search) verdict() (*http.Response, string, error) {
	switch resp := s.refusal; {
	case resp != nil && s.guess && resp.StatusCode == http.StatusNotFound:
		// The node that has it may be the one that is away, and who knows is away too: no cache may keep a "not found".
		s.refusal = nil
		return nil, "", fmt.Errorf("catalog is away and nobody has %s: %w", s.ask.path, media.ErrUnavailable)
	case resp != nil && (resp.StatusCode < 500 || resp.StatusCode == http.StatusServiceUnavailable):
		s.refusal = nil
		return resp, "", nil
	case resp != nil:
		s.refusal = nil
		return nil, "", fmt.Errorf("upstream answers %d: %w", resp.StatusCode, errBadAnswer)
	case s.err != nil:
		return nil, "", s.err
	}
	return nil, "", fmt.Errorf("no upstream has %s: %w", s.ask.path, media.ErrUnavailable)
}

// locate fills the queue: at first with all that the directory names, later with what an answer newer than the failure
// names beyond that.
func (s *search) locate(ctx context.Context) error {
	after := 0
	if s.rounds > 1 {
		after = s.proxy.locator.mark(s.where)
	}
	loc, current, err := s.proxy.locator.locate(ctx, s.where, after)
	if errors.Is(err, media.ErrUnavailable) {
		// An edge that has lost its directory can still serve what the archive has.
		s.unknown = true
		if s.where.recording == "" && s.rounds == 1 {
			return err
		}
		if s.where.recording != "" {
			s.queue = append(s.queue, s.proxy.archives.all...)
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.archived = loc.State == media.Archived
	s.guess, s.first = loc.Guess, ""
	if loc.State.Growing() && !loc.Guess && len(loc.Nodes) > 0 {
		s.first = loc.Nodes[0]
	}
	moved := !loc.Guess && s.refusal != nil && s.refusal.StatusCode < 500
	for i, node := range loc.Nodes {
		if i == 0 || !moved {
			s.queue = append(s.queue, nodeUpstream(node))
		}
	}
	s.queue = s.order(s.queue)
	switch {
	case loc.Archived && !loc.Guess:
		stores, err := s.proxy.archives.of(loc)
		if err != nil {
			s.err = err
		}
		s.mirror = loc.Mirror
		if moved && len(stores) > 0 && slices.Contains(s.tried, stores[0].name) {
			stores = nil
		}
		stores = s.order(stores)
		if s.archived && s.ask.kind.text() {
			s.queue = append(stores, s.queue...)
		} else {
			s.queue = append(s.queue, stores...)
		}
	case loc.Guess, !current && s.rounds > 1 && !loc.State.Growing():
		s.queue = append(s.queue, s.proxy.archives.all...)
	}
	if i := slices.IndexFunc(s.queue, func(u upstream) bool { return u.name == s.avoid }); i >= 0 {
		s.queue = append(slices.Delete(slices.Clone(s.queue), i, i+1), s.queue[i])
	}
	return nil
}
