package cacheproxy

import (
	"errors"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// errNoPolicies: nobody has told yet who may watch what, so nobody is let in.
var errNoPolicies = errors.New("this edge does not know yet who may watch: try again in a moment")

// policies is who may watch what, as the directory told it, with the tokens that were verified by it. It is replaced,
// never modified, and what was remembered of tokens goes with it: a revoked key is good for nothing from then on.
type policies struct {
	version int64
	// guards has the publishers of which anything is signed; all others are public.
	guards   map[string]*guard
	verdicts *verdicts
	// born is when the catalog was made that says so.
	born time.Time
}

// lost gives the guard as it is kept when the catalog that told of it was lost.
func (g *guard) lost() *guard {
	kept := *g
	kept.kept = true
	return &kept
}

// guard is one publisher's policy.
type guard struct {
	kept      bool // by a catalog that was lost since
	publisher string
	signed    bool            // what holds for streams that are not in streams
	streams   map[string]bool // those that differ
	verifier  *playback.Verifier
}

// newPolicies takes over what was told. Known is what was before, or nil: a younger catalog in the place of that one,
// or an older state of it, says nothing of publishers that it lacks. They stay as they were guarded.
func newPolicies(told media.PlaybackPolicies, known *policies) *policies {
	p := &policies{
		version: told.Version, guards: make(map[string]*guard, len(told.Publishers)), verdicts: newVerdicts(),
		born: told.Born,
	}
	if known != nil && !known.born.IsZero() {
		another := !told.Born.Equal(known.born) || told.Version < known.version
		for name, g := range known.guards {
			if another || g.kept {
				p.guards[name] = g.lost()
			}
		}
	}
	for _, name := range told.Public {
		delete(p.guards, name)
	}
	for name, of := range told.Publishers {
		// A policy that we do not know is not one that lets everybody in.
		g := &guard{publisher: name, signed: of.Playback != media.PlaybackPublic, streams: make(map[string]bool)}
		for stream, policy := range of.Streams {
			g.streams[stream] = policy != media.PlaybackPublic
		}
		g.verifier = playback.NewVerifier(name, of.Keys)
		p.guards[name] = g
	}
	return p
}

// guarding gives who lets viewers in to a path, or nil if everybody may see it. It is called for every request.
func (p *policies) guarding(path string) *guard {
	if len(p.guards) == 0 {
		return nil
	}
	publisher, rest := element(path)
	g, ok := p.guards[publisher]
	if !ok {
		return nil
	}
	stream, _ := element(rest)
	if signed, differs := g.streams[stream]; differs {
		if !signed {
			return nil
		}
		return g
	}
	if !g.signed {
		return nil
	}
	return g
}

// element cuts the first element off a path that begins with a slash. The rest begins with one too, or is empty.
func element(path string) (first, rest string) {
	path = strings.TrimPrefix(path, "/")
	if at := strings.IndexByte(path, '/'); at >= 0 {
		return path[:at], path[at:]
	}
	return path, ""
}

// visit is what of a request says what it asks for: without a token.
type visit struct {
	path, query string
	head        bool
	// token is put into the URIs of a multivariant playlist; empty leaves them as they are.
	token string
	// carries says that the path of a multivariant playlist had a token before it, which its relative URIs keep.
	carries bool
	// coding is what a playlist may be packed by.
	coding coding
	// access is what let it in.
	access access
	// peer is the edge that asks; nil is a viewer.
	peer *caller
}

// admit takes the token off what a request asks for, and lets it in or not: the error is a *playback.RefusalError or
// errNoPolicies. Public streams take no notice of tokens, good or bad.
func (p *Proxy) admit(a asker, v *visit) error {
	token, inQuery := "", false
	if strings.HasPrefix(v.path, tokenPrefix) {
		token, v.path = cutPathToken(v.path)
	}
	if v.query != "" && strings.Contains(v.query, tokenField) {
		var other string
		if other, v.query = cutQueryToken(v.query); token == "" {
			token, inQuery = other, true
		}
	}
	known := p.policies.Load()
	if known == nil {
		p.metrics.unknownPolicies.Inc()
		return errNoPolicies
	}
	g := known.guarding(v.path)
	if g == nil {
		return nil
	}
	v.access = signed
	grant, err := p.grant(known, g, token)
	if err == nil {
		if grant.ByOrigin() {
			v.access = signedByOrigin
		}
		err = p.covers(grant, a, v.path)
	}
	if err != nil {
		var refused *playback.RefusalError
		if errors.As(err, &refused) {
			p.metrics.refusals[refused.Reason].Inc()
		}
		return err
	}
	switch {
	case !strings.HasSuffix(v.path, "/index.m3u8"):
	case inQuery:
		v.token = token
	default:
		v.carries = true
	}
	return nil
}

// grant gives what a token allows, out of memory if it was verified before.
func (p *Proxy) grant(known *policies, g *guard, token string) (*playback.Grant, error) {
	switch {
	case token == "":
		return nil, playback.Missing()
	case len(token) > playback.MaxToken: // it is not looked at, nor remembered
		return g.verifier.Verify(token)
	}
	now := time.Now()
	key := verdictKey(g.publisher, token)
	if grant, err := known.verdicts.get(key, now); grant != nil || err != nil {
		return grant, err
	}
	p.metrics.verifications.Inc()
	grant, err := g.verifier.Verify(token)
	known.verdicts.put(key, grant, err, now)
	return grant, err
}

// covers is nil when the grant covers the request.
func (p *Proxy) covers(grant *playback.Grant, a asker, path string) error {
	_, path = element(path)
	stream, path := element(path)
	recording, rest := element(path)
	if rest == "" { // a file of the stream
		recording = ""
	}
	return grant.Admit(playback.Request{
		Stream: stream, Recording: recording,
		Client: p.config.viewer(a), Origin: originOf(a),
	}, time.Now())
}
