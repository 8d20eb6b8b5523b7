package cacheproxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// Proxy is the edge: an http.Handler for everything under /{publisher}/{stream}/. Mount it so that no router cleans
// paths before it: a redirect is what no player wants (HTTP-12).
//
// The server that runs it needs a ReadHeaderTimeout and an IdleTimeout, and no WriteTimeout: the proxy bounds each
// write itself, and a blocking reload may wait long for its first byte.
type Proxy struct {
	config    Config
	logger    *slog.Logger
	metrics   *metrics
	cache     *cache
	fronts    *fronts
	flights   flights
	locator   *locator
	trust     atomic.Pointer[trust]
	policies  atomic.Pointer[policies] // nil until the directory told
	feed      *policyFeed
	steering  atomic.Pointer[steeringOffer] // nil is no steering
	gone      *tombstones
	purges    *Purges
	watches   watches
	pending   atomic.Bool // what was purged while nobody followed is not known yet
	transport http.RoundTripper
	archives  *archives
	upstreams *pool.Pool
	peers     peers
	turns     turns
	unzip     unzipper
	packer    packer
	asked     sync.Pool // of *Request, for observers
	copies    sync.Pool // for answers over HTTP/2
	waiting   atomic.Int64
	leaving   atomic.Bool
	load      load
	running   sync.WaitGroup
	// hitStatus is the Cache-Status of a hit, ready made.
	hitStatus []string
}

// New makes an edge. Archives serve the same paths out of object storage, each a store by its name; "" and
// media.DefaultArchive are the same one. Follow keeps the edge up to date; without it the directory is asked more
// often.
func New(
	config Config, stores map[string]http.Handler, logger *slog.Logger, registerer prometheus.Registerer,
) *Proxy {
	config = config.withDefaults()
	p := &Proxy{
		config:    config,
		logger:    logger,
		cache:     newCache(config.MaxBytes, config.PartTTL),
		flights:   newFlights(config.MaxFlights, config.Arena),
		transport: config.Transport,
		gone:      newTombstones(),
		purges:    config.Purges,
		feed:      newPolicyFeed(),
		archives:  newArchives(stores, logger),
		unzip:     unzipper{max: config.MaxPlaylistBytes},
		packer:    newPacker(),
		hitStatus: []string{tagged(hitStatus, config.ID)},
		turns:     newTurns(),
	}
	p.peers.proxy, p.peers.self = p, hashOf(config.ID)
	p.peers.site.Store(&site{})
	if p.transport == nil {
		p.transport = newTransport()
	}
	p.transport = config.Tokens.Transport(p.transport, logger) // archives have transports of their own
	p.fronts = newFronts(p.cache)
	p.metrics = newMetrics(registerer, p)
	p.upstreams = pool.New(pool.Config{EjectTime: restTime, Check: p.check}, logger, registerer)
	p.locator = newLocator(config.Directories, p.transport, p.metrics, logger)
	p.trust.Store(&trust{})
	p.locator.sure = func() bool { return p.trust.Load().sure }
	p.locator.gone = p.bury
	p.cache.refused = p.gone.names
	if config.Disk != nil {
		p.cache.tell(p.keep)
	}
	p.cache.onFreed(freed(p.flights.arena))
	return p
}

// Close cuts the fetches under way and waits for them. Call it when the server that runs the proxy has shut down.
func (p *Proxy) Close() error {
	for _, f := range p.flights.all() {
		f.cancel(http.ErrServerClosed)
	}
	p.peers.close()
	p.upstreams.Close()
	p.running.Wait()
	p.locator.running.Wait()
	if t, ok := p.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Latest gives the stream's live or latest recording as the directory knows it: what an archive handler needs for the
// stream's own URL. Errors are media.ErrNotFound, ErrGone, ErrUnavailable.
func (p *Proxy) Latest(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
	loc, _, err := p.locator.locate(ctx, locationKey{path: path}, 0)
	if err == nil && loc.Recording == "" { // it is about to be live
		err = fmt.Errorf("latest recording of %s: %w", path, media.ErrNotFound)
	}
	return loc.Recording, err
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		p.preflight(w, r)
		return
	default:
		h := w.Header()
		setCORS(h)
		h.Set("Allow", "GET, HEAD, OPTIONS")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusMethodNotAllowed)
		p.metrics.requests[resultError].Inc()
		return
	}
	v := visit{path: r.URL.Path, query: r.URL.RawQuery, head: r.Method == http.MethodHead}
	if err := p.handle(p.newWeb(w, r), v, r.URL.RawPath != ""); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// serve answers a GET or HEAD. An error means that nothing was sent yet.
func (p *Proxy) serve(x exchange, v visit) (result, error) {
	k := mediaKey(v.path)
	text, directed := textPath(k.path)
	if text && v.query != "" {
		over := func(l list) bool { return p.fronts.ended(l, time.Now()) }
		if err := k.readQuery(v.query, directed, over); err != nil {
			if _, unknown := parseRoute(k.path); unknown != nil {
				err = unknown
			}
			return resultError, err
		}
	}
	if text {
		v.coding = codingGzip // for edges, which unpack it
		if v.peer == nil {
			v.coding = acceptedCoding(x.values("Accept-Encoding"))
		}
		k.plain = v.coding == codingPlain
	}
	now := time.Now()
	o, vouched, res := p.look(k, now)
	if res == resultHit && p.trust.Load().holds(vouched, now) {
		return res, p.answer(x, v, found{object: o}, now)
	}
	// The path is a piece of the request's header; what keeps it must not keep that.
	v.path, v.query, v.token = strings.Clone(v.path), strings.Clone(v.query), strings.Clone(v.token)
	k.path = v.path
	x.keep()
	rt, err := parseRoute(k.path)
	if err != nil {
		return resultError, err
	}
	if v.peer == nil && p.circles(x) {
		return resultError, errCircle
	}
	if res != resultMiss {
		if err := p.vouch(x.context(), rt, k, vouched, now); err != nil {
			return resultError, err
		}
	}
	switch {
	case res == resultHit:
		return res, p.answer(x, v, found{object: o}, now)
	case p.gone.has(rt.recording, now):
		return resultError, media.ErrGone
	case rt.sliding && k.clip != (hls.Clip{}):
		return resultError, fmt.Errorf("%w: start and end are not for a playlist that slides: ask the recording's",
			media.ErrInvalid)
	case v.peer != nil && v.peer.keptOnly:
		return p.serveKept(x, v, rt, k)
	case v.peer != nil && rt.kind == kindDownload:
		return resultError, fmt.Errorf("%w: edges do not ask each other for %.120q", media.ErrNotFound, k.path)
	case res == resultStale:
		p.refresh(x.context(), rt, k)
		return res, p.answer(x, v, found{object: o, result: res}, now)
	case rt.kind == kindDownload:
		if k.clip, err = hls.ParseClip(v.query); err != nil {
			return resultError, err
		}
		return resultPass, p.passTo(x, v, rt, k)
	}
	return p.serveMiss(x, v, rt, k)
}

// serveMiss answers out of a flight.
func (p *Proxy) serveMiss(x exchange, v visit, rt route, k key) (result, error) {
	for again := true; ; again = false {
		if p.leaving.Load() {
			return resultError, errLeaving
		}
		f, err := p.find(x.context(), rt, k, v.peer)
		if err != nil {
			return resultError, err
		}
		if f.flight != nil {
			f.object, err = p.awaitHead(x.context(), f.flight)
		}
		switch {
		case err != nil:
			p.leave(f)
			if p.leaving.Load() {
				err = errLeaving
			}
			return resultError, err
		case p.gone.has(rt.recording, time.Now()): // meanwhile
			p.leave(f)
			return resultError, media.ErrGone
		case again && p.fronts.outdated(k, f.object, time.Now()):
			// A newer version passed it while it was on its way (SEQ-9).
		default:
			defer p.leave(f)
			switch {
			case f.flight == nil:
			case f.object.disk:
				f.result = resultDisk
			case f.object.standIn:
				f.result = resultStale
			}
			if v.peer == nil {
				p.metrics.peers.answers[f.object.way.source].Inc()
			}
			return f.result, p.answer(x, v, f, time.Now())
		}
		p.leave(f)
	}
}

// awaitHead gives the flight's object, or as long as that is under way its head.
func (p *Proxy) awaitHead(ctx context.Context, f *flight) (*object, error) {
	v, err := f.wait(ctx)
	if err != nil {
		return nil, err
	}
	if v.result != nil {
		return v.result, nil
	}
	return v.head, nil
}
