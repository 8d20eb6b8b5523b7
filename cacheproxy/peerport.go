package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

var (
	// errUninvited: whoever asks has not the cluster's token.
	errUninvited = errors.New("this port is for the cluster's edges, which have its --cluster-token")
	// errAbsent: it is not cached, and nobody is to be asked for it (RFC 9111 section 5.2.1.7).
	errAbsent = errors.New("not cached here")
)

// PeerPort is what other edges ask, an http.Handler and a fastlane.Handler: the paths of the Proxy without tokens of
// viewers, which the asking edge has looked at, and /healthz. It must not be reached by viewers; with
// Config.Tokens it answers nobody else than who has that.
type PeerPort struct{ proxy *Proxy }

// Peers gives the port at which other edges ask this one.
func (p *Proxy) Peers() *PeerPort { return &PeerPort{p} }

// ServeHTTP implements http.Handler.
func (o *PeerPort) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	v := visit{path: r.URL.Path, query: r.URL.RawQuery, head: r.Method == http.MethodHead}
	if r.URL.RawPath != "" {
		v.path = "" // as for viewers: it would be another name for a thing
	}
	if err := o.handle(o.proxy.newWeb(w, r), v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// ServeLane implements fastlane.Handler, for all paths.
func (o *PeerPort) ServeLane(x *fastlane.Exchange) error {
	return o.handle((*lane)(x), visit{path: x.Path(), query: x.Query(), head: x.Head()})
}

func (o *PeerPort) handle(x exchange, v visit) error {
	p := o.proxy
	if v.path == checkPath {
		return o.health(x, v)
	}
	who, err := o.admit(x)
	v.peer = who
	if err != nil {
		v.peer = &caller{}
	}
	res := resultError
	if err == nil {
		p.hearPurge(v.path, x.values(purgedField), time.Now())
		res, err = p.serve(x, v)
	}
	if err != nil {
		res = resultError
		if !errors.Is(err, errCut) {
			if x.context().Err() != nil {
				return errCut // nobody is there to be told
			}
			err = p.writeError(x, v, err)
		}
	}
	p.metrics.peers.served[v.peer.as][res].Inc()
	return err
}

// admit says who asks, and whether that is an edge of the cluster.
func (o *PeerPort) admit(x exchange) (*caller, error) {
	if !o.invited(x) {
		return nil, errUninvited
	}
	who, err := parseChain(x.values(chainField), o.proxy.config.ID)
	if err != nil {
		if errors.Is(err, errCircle) {
			o.proxy.metrics.peers.loops.Inc()
		}
		return nil, err
	}
	o.proxy.peers.heard(who.id)
	who.keptOnly = first(x.values("Cache-Control")) == onlyIfCached
	return who, nil
}

func (o *PeerPort) invited(x exchange) bool {
	lines := x.values("Authorization")
	if o.proxy.config.Guard == nil {
		return o.proxy.config.Tokens.Judge(lines).Admits()
	}
	return o.proxy.config.Guard.Admit(lines, func() (context.Context, netip.Addr) {
		remote := x.remote()
		x.keep() // the answer may be held back
		return x.context(), remote
	})
}

const onlyIfCached = "only-if-cached"

func (o *PeerPort) health(x exchange, v visit) error {
	text := []byte("ok\n")
	ok := &object{status: http.StatusOK, header: http.Header{
		"Content-Type": {"text/plain; charset=utf-8"}, "Cache-Control": {"no-store"},
	}, chunks: []slab.Piece{slab.Of(text)}}
	ok.setLength(int64(len(text)))
	r := reply{object: ok, status: ok.status, head: v.head, age: -1, to: ok.length}
	err := x.begin(r)
	switch {
	case err != nil:
	case r.bodyless():
		err = x.end()
	default:
		b := body{x: x, to: r.to}
		err = b.send(nil, ok)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}

// serveKept answers with what is on disk, or with a fetch that asks no sibling, and else with errAbsent.
func (p *Proxy) serveKept(x exchange, v visit, rt route, k key) (result, error) {
	if f := p.flights.join(k, v.peer.may()); f != nil {
		defer f.leave()
		f.shared.Store(true)
		o, err := p.awaitHead(x.context(), f)
		if err != nil {
			return resultError, err
		}
		if p.gone.has(rt.recording, time.Now()) {
			return resultError, media.ErrGone
		}
		return resultCollapsed, p.answer(x, v, found{object: o, flight: f, result: resultCollapsed}, time.Now())
	}
	if o, _ := p.lookup(k, time.Now()); o != nil { // it ended just now
		return resultHit, p.answer(x, v, found{object: o}, time.Now())
	}
	if o, _ := p.fromDisk(x.context(), rt, k); o != nil {
		return resultDisk, p.answer(x, v, found{object: o, result: resultDisk}, time.Now())
	}
	return resultError, errAbsent
}
