package cacheproxy

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// ReverseConfig holds a Reverse's limits. The zero value of every field but Upstreams is usable, and means what its
// comment says.
type ReverseConfig struct {
	// Upstreams are the base URLs of the origin, without a slash at their ends: the first is asked, and the others in
	// turn while it fails. They must have the same things at the same paths.
	Upstreams []string
	// MaxBytes bounds the memory cache, overhead included. Zero means 256 MiB.
	MaxBytes int64
	// Disk keeps what memory has no room for, and over a restart. Nil means that nothing is kept.
	Disk *diskcache.Store
	// Arena gives the memory for bodies; its use is told in the metrics. Nil is one of its own.
	Arena *slab.Arena
	// MaxObjectBytes is the largest body that is cached. A larger one passes through. Zero means 64 MiB.
	MaxObjectBytes int64
	// MaxFlights bounds the cacheable fetches under way. Zero means 4096.
	MaxFlights int
	// MaxWaiters bounds the requests that wait for or read from upstreams. Zero means 65536.
	MaxWaiters int
	// FetchTimeout bounds the wait for an answer's header, which a packager may hold back for three target durations.
	// Zero means a minute.
	FetchTimeout time.Duration
	// StallTimeout bounds a pause within an upstream's body. Zero means a minute.
	StallTimeout time.Duration
	// WriteTimeout bounds one write of up to 256 KiB to a client. Zero means 30 s.
	WriteTimeout time.Duration
	// Linger is how long a fetch may go on after its last client has left. Zero means 5 s.
	Linger time.Duration
	// Disconnected is how long past its lifetime an answer may stand in while no upstream answers at all, if it does not
	// forbid that (RFC 9111 section 4.2.4). Zero means a minute, negative never.
	Disconnected time.Duration
	// TrustedProxies are the addresses of proxies in front of the edge, whose X-Forwarded-For is passed on. Empty means
	// nobody.
	TrustedProxies []netip.Prefix
	// Observers are told of every request and of what came of it. There are at most four.
	Observers []Observer
	// Limits bounds what one client takes. Nil is no limit.
	Limits Limits
	// Transport carries requests to the upstreams. Nil means a pooled HTTP/1.1 transport of its own.
	Transport http.RoundTripper
}

func (c ReverseConfig) withDefaults() ReverseConfig {
	orBytes(&c.MaxBytes, 256<<20)
	orBytes(&c.MaxObjectBytes, 64<<20)
	orCount(&c.MaxFlights, 4096)
	orCount(&c.MaxWaiters, 65536)
	orSpan(&c.FetchTimeout, time.Minute)
	orSpan(&c.StallTimeout, time.Minute)
	orSpan(&c.WriteTimeout, 30*time.Second)
	orSpan(&c.Linger, 5*time.Second)
	if c.Arena == nil {
		c.Arena = slab.New()
	}
	if c.Disconnected == 0 {
		c.Disconnected = time.Minute
	}
	return c
}

// Reverse is the edge's cache in front of any HTTP origin: an http.Handler that knows nothing of HLS. What may be kept,
// for how long, and for whom, only the origin's answers say (internal/httpcache); requests' own Cache-Control is not
// heeded, for it would let anybody send load past the cache.
//
// An answer is keyed by its URI, in one spelling and with its query, and by the request's values of what it varies by.
// A fetch whose answer may be shared is one for all who ask meanwhile; an answer for one goes to that one, and who
// waited for it asks for himself.
//
// The server that runs it needs what Proxy's does.
type Reverse struct {
	config    ReverseConfig
	logger    *slog.Logger
	metrics   *reverseMetrics
	cache     *cache
	flights   flights
	origins   []upstream
	upstreams *pool.Pool
	transport http.RoundTripper
	// pseudonym is this process in Via, by which it knows its own requests.
	pseudonym   string
	asked       sync.Pool // of *Request, for observers
	copies      sync.Pool // for answers over HTTP/2
	waiting     atomic.Int64
	leaving     atomic.Bool
	running     sync.WaitGroup
	generations atomic.Uint64
	changes     changes
	partsMu     sync.Mutex // of lists of parts, against lost ones
}

// NewReverse makes one.
func NewReverse(config ReverseConfig, logger *slog.Logger, registerer prometheus.Registerer) (*Reverse, error) {
	config = config.withDefaults()
	p := &Reverse{
		config:    config,
		logger:    logger,
		cache:     newCache(config.MaxBytes, 0),
		flights:   newFlights(config.MaxFlights, config.Arena),
		transport: config.Transport,
		changes:   changes{under: make(map[string]*change)},
		pseudonym: "oxbow-" + strconv.FormatUint(rand.Uint64(), 36),
	}
	var err error
	if p.origins, err = newOrigins(config.Upstreams); err != nil {
		return nil, err
	}
	p.upstreams = pool.New(p.poolConfig(), logger, registerer)
	if p.transport == nil {
		p.transport = newTransport()
	}
	p.cache.onFreed(freed(p.flights.arena))
	p.useDisk()
	p.metrics = newReverseMetrics(registerer, p)
	return p, nil
}

// Close cuts the fetches under way and waits for them. Call it when the server that runs the handler has shut down.
func (p *Reverse) Close() error {
	for _, f := range p.flights.all() {
		f.cancel(http.ErrServerClosed)
	}
	p.running.Wait()
	p.upstreams.Close()
	if t, ok := p.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// errLoop is a request that this process has sent.
var errLoop = errors.New("request came back: an upstream leads to this edge")

// errMethod is a method that no cache passes on.
var errMethod = errors.New("method is not for a reverse proxy")

// respondTo answers a request that was let in.
func (p *Reverse) respondTo(w http.ResponseWriter, r *http.Request) result {
	res, err := p.serve(w, r)
	if err != nil {
		res = resultError
		p.fail(w, r, err)
	}
	p.metrics.requests[res].Inc()
	return res
}

func (p *Reverse) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // to return would tell who has closed one half only of a good answer without a body
	}
	p.writeError(w, r, err)
}

// serve answers. An error means that nothing was sent yet.
func (p *Reverse) serve(w http.ResponseWriter, r *http.Request) (result, error) {
	uri, err := requestURI(r)
	switch {
	case err != nil:
		return resultError, err
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return resultError, fmt.Errorf("%s: %w", r.Method, errMethod)
	case strings.Contains(strings.Join(r.Header["Via"], ","), p.pseudonym):
		return resultError, errLoop
	}
	if p.waiting.Add(1) > int64(p.config.MaxWaiters) {
		p.waiting.Add(-1)
		return resultError, fmt.Errorf("%d waiters: %w", p.config.MaxWaiters, errBusy)
	}
	defer p.waiting.Add(-1)
	cacheable := r.ContentLength == 0 && len(r.Header["If-Match"]) == 0 && len(r.Header["If-Unmodified-Since"]) == 0
	switch {
	case cacheable && r.Method == http.MethodGet:
		return p.get(w, r, uri)
	case cacheable && r.Method == http.MethodHead:
		return p.head(w, r, uri)
	}
	return resultPass, p.pass(w, r, uri)
}

// maxURI bounds a request's target.
const maxURI = 8 << 10

// requestURI gives the request's path and query in one spelling (RFC 3986 section 6.2.2): upper-case escapes, none of
// what needs none. Dot segments stay, for the upstream gets the same text as the key.
func requestURI(r *http.Request) (string, error) {
	uri := r.RequestURI
	if !strings.HasPrefix(uri, "/") {
		uri = r.URL.RequestURI() // the absolute form, or a request that was made in this process
	}
	if len(uri) > maxURI {
		return "", errLong
	}
	if !strings.HasPrefix(uri, "/") || strings.ContainsAny(uri, "# \\\n\r\t") {
		return "", fmt.Errorf("%w: request target", media.ErrInvalid)
	}
	return normalizeURI(uri), nil
}

func normalizeURI(uri string) string {
	if !strings.Contains(uri, "%") {
		return strings.Clone(uri) // what keeps it must not keep the whole header
	}
	b := make([]byte, 0, len(uri))
	for i := 0; i < len(uri); i++ {
		if uri[i] != '%' || i+2 >= len(uri) {
			b = append(b, uri[i])
			continue
		}
		v, err := strconv.ParseUint(uri[i+1:i+3], 16, 8)
		switch c := byte(v); {
		case err != nil:
			b = append(b, '%')
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b = append(b, c)
		default:
			b = fmt.Appendf(b, "%%%02X", c)
		}
		i += 2
	}
	return string(b)
}
