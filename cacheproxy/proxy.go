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
	gone      *tombstones
	transport http.RoundTripper
	archives  *archives
	upstreams *pool.Pool
	unzip     unzipper
	copies    sync.Pool // for answers over HTTP/2
	waiting   atomic.Int64
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
		flights:   flights{live: make(map[key]*flight), max: config.MaxFlights, arena: config.Arena},
		transport: config.Transport,
		gone:      newTombstones(),
		feed:      newPolicyFeed(),
		archives:  newArchives(stores, logger),
		unzip:     unzipper{max: config.MaxPlaylistBytes},
		hitStatus: []string{hitStatus},
	}
	if p.transport == nil {
		p.transport = newTransport()
	}
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
		p.preflight(w)
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

func (p *Proxy) preflight(w http.ResponseWriter) {
	h := w.Header()
	setCORS(h)
	h["Access-Control-Allow-Methods"] = []string{"GET, HEAD, OPTIONS"}
	h["Access-Control-Allow-Headers"] = []string{"Range, If-Range, If-None-Match, If-Modified-Since, Cache-Control"}
	h["Access-Control-Max-Age"] = []string{"86400"}
	h["Allow"] = []string{"GET, HEAD, OPTIONS"}
	w.WriteHeader(http.StatusNoContent)
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
		k.plain = !acceptsGzip(x.values("Accept-Encoding"))
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
		f, err := p.find(x.context(), rt, k)
		if err != nil {
			return resultError, err
		}
		if f.flight != nil {
			f.object, err = p.awaitHead(x.context(), f.flight)
		}
		switch {
		case err != nil:
			p.leave(f)
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
