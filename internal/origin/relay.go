package origin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// RelayedHeader marks a request that a node passed on to the owner of a stream: it is passed on once.
const RelayedHeader = "Oxbow-Relayed"

const (
	relayDial = time.Second
	// relayWait bounds the wait for the owner's answer: blocking reloads are held for three target durations.
	relayWait = 45 * time.Second
	// ownerTTL is how long it is believed who owns a stream.
	ownerTTL = 500 * time.Millisecond
	// liveLook is how often a request that waits for another process looks whether the show has come to this one.
	liveLook = 50 * time.Millisecond
	// maxMoves bounds how often one request follows a stream from node to node.
	maxMoves = 4
	// ownerPatience bounds the wait for a registry that hangs, and awayTTL is how long it is not asked again then:
	// players of another node's stream wait as long, now and then.
	ownerPatience = 300 * time.Millisecond
	awayTTL       = 1500 * time.Millisecond
)

// Owner is the node that has a stream's growing show.
type Owner struct {
	URL       string            // its base URL, without a slash at the end; empty when no other node owns the stream
	Recording media.RecordingID // empty if the show has not begun
}

// RelayConfig is a Relay's.
type RelayConfig struct {
	// Own answers from this node's shows and its storage.
	Own http.Handler
	// Live knows this node's shows.
	Live Live
	// Owner says which other node owns a stream.
	Owner func(ctx context.Context, path media.StreamPath) (Owner, error)
	// Awake is false when this process may have slept through the loss of its shows; then Confirm is asked about a stream
	// before its show is served. Nil is always awake.
	Awake   func() bool
	Confirm func(ctx context.Context, path media.StreamPath) error
	// Tokens are shown to the owner. Nil is none.
	Tokens *admission.Tokens
}

// Relay lets any node of a cluster be asked about any of the cluster's recordings: what another node has live is asked
// of that node, all else answered from here. If the owner does not answer, storage does.
type Relay struct {
	cfg       RelayConfig
	owners    *cache[media.StreamPath, Owner]
	alive     *cache[string, bool] // by base URL
	transport *admission.Transport
	logger    *slog.Logger
	relayed   *prometheus.CounterVec
}

// NewRelay makes a Relay.
func NewRelay(cfg RelayConfig, logger *slog.Logger, reg prometheus.Registerer) *Relay {
	r := &Relay{
		cfg: cfg, logger: logger,
		transport: cfg.Tokens.Transport(&http.Transport{
			DialContext:            (&net.Dialer{Timeout: relayDial}).DialContext,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        time.Minute,
			ResponseHeaderTimeout:  relayWait,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // the encoding is the client's
		}, logger),
		relayed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_origin_relayed_total",
			Help: "Requests that were passed on to the node that owns the stream, by what came of it.",
		}, []string{"result"}),
	}
	reg.MustRegister(r.relayed)
	r.owners = newCache(4<<20, 2*time.Second, func(
		ctx context.Context, path media.StreamPath, old Owner, had bool,
	) fetched[Owner] {
		ctx, cancel := context.WithTimeout(ctx, ownerPatience)
		defer cancel()
		owner, err := cfg.Owner(ctx, path)
		ttl := ownerTTL
		if ctx.Err() != nil {
			ttl = awayTTL
		}
		if err != nil && had {
			owner, err = old, nil // the registry is away: who owned it goes on
		}
		return fetched[Owner]{value: owner, err: err, cost: smallCost, ttl: ttl}
	})
	r.alive = newCache(1<<20, 2*aliveWait, r.check)
	return r
}

// Close closes the connections to other nodes that are idle.
func (r *Relay) Close() error {
	r.transport.CloseIdleConnections()
	return nil
}

// ServeHTTP answers one request.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t, err := parsePath(req.URL.Path)
	if err != nil || req.Method != http.MethodGet && req.Method != http.MethodHead {
		r.cfg.Own.ServeHTTP(w, req)
		return
	}
	if r.cfg.Awake != nil && !r.cfg.Awake() && r.has(t) {
		// Whatever comes of it: a show that was lost is gone from Live after this.
		if err := r.cfg.Confirm(req.Context(), t.path); err != nil {
			r.logger.Debug("confirm ownership", "publisher", t.path.Publisher, "stream", t.path.Stream, "err", err)
		}
	}
	if req.Header.Get(RelayedHeader) != "" {
		// Passed on once; the show may be about to come to this node.
		if r.has(t) || !t.waits() || !r.serveStored(w, req, t, nil) && req.Context().Err() == nil {
			r.cfg.Own.ServeHTTP(w, req)
		}
		return
	}
	r.follow(w, req, t)
}

// follow answers from where the show is, even if it moves meanwhile.
func (r *Relay) follow(w http.ResponseWriter, req *http.Request, t target) {
	silent := "" // the owner that did not answer
	for range maxMoves {
		if r.has(t) {
			break
		}
		owner, err := r.owners.get(req.Context(), t.path)
		if err == nil && owner.has(t) && owner.URL != silent {
			if r.pass(w, req, t, owner) {
				return
			}
			silent = owner.URL
			continue
		}
		if !t.waits() {
			break
		}
		moved := func(now Owner) bool { return now.has(t) && now.URL != silent }
		if r.serveStored(w, req, t, moved) || req.Context().Err() != nil {
			return
		}
	}
	r.cfg.Own.ServeHTTP(w, req)
}

// waits says that an answer may be held back for what is not there yet.
func (t target) waits() bool {
	return t.kind != kindSegment && t.kind != kindInit && t.kind != kindSubtitle && t.kind != kindPicture &&
		t.kind != kindPoster && t.kind != kindDownload
}

// has says that the owner, another node, has the show that a URL is about.
func (o Owner) has(t target) bool { return o.URL != "" && (t.id == "" || t.id == o.Recording) }

// has says that this node has the show that a URL is about.
func (r *Relay) has(t target) bool {
	if t.id == "" {
		_, ok := r.cfg.Live.Current(t.path)
		return ok
	}
	_, ok := r.cfg.Live.Show(t.path, t.id)
	return ok
}

// errOwnerChanged: the stream has another owner by now.
var errOwnerChanged = errors.New("the stream's owner changed")

// pass asks the owner. It is false when nothing was answered.
func (r *Relay) pass(w http.ResponseWriter, req *http.Request, t target, owner Owner) bool {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	go r.watch(ctx, cancel, t, owner)
	resp, err := r.askAwake(ctx, cancel, req, owner)
	if err == nil && !answers(resp.StatusCode) {
		_ = resp.Body.Close()
		err = errors.New("it answers " + resp.Status)
	}
	if err != nil {
		if req.Context().Err() != nil {
			r.relayed.WithLabelValues("left").Inc()
			return true // nobody reads the answer
		}
		r.relayed.WithLabelValues("failed").Inc()
		r.logger.Debug("owner does not answer", "publisher", t.path.Publisher, "stream", t.path.Stream,
			"owner", owner.URL, "err", errors.Join(err, context.Cause(ctx)))
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	r.relayed.WithLabelValues("ok").Inc()
	header := w.Header()
	for name, values := range resp.Header {
		if name != "Connection" && name != "Keep-Alive" && name != "Transfer-Encoding" && name != "Date" {
			header[name] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		// The length says that more was to come: the client sees that the answer is cut.
		panic(http.ErrAbortHandler)
	}
	return true
}

// answers says that a status is the owner's answer, not a fault of it or a sign that it lost the stream.
func answers(status int) bool {
	return status < http.StatusInternalServerError && status != http.StatusMisdirectedRequest &&
		status != http.StatusUnauthorized || // that is about this node, not about the viewer
		status == http.StatusServiceUnavailable // nothing new in time
}

// watch gives up on an owner that is the owner no more: a node that hangs would hold the request for long.
func (r *Relay) watch(ctx context.Context, giveUp context.CancelCauseFunc, t target, owner Owner) {
	r.awaitMove(ctx, t, func(now Owner) bool { return now.URL != owner.URL })
	giveUp(errOwnerChanged)
}

// awaitMove returns when the show has come to this node, when moved, if it is not nil, is true of the stream's owner,
// or when ctx ends.
func (r *Relay) awaitMove(ctx context.Context, t target, moved func(Owner) bool) {
	look := time.NewTicker(liveLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if r.has(t) {
			return
		}
		if moved == nil {
			continue
		}
		if now, err := r.owners.get(ctx, t.path); err == nil && moved(now) {
			return
		}
	}
}

// serveStored answers from storage. A request that waits there for what the last owner would have written is not kept
// when the show goes on here or, as moved says, somewhere else: serveStored is false then, and nothing was answered.
func (r *Relay) serveStored(w http.ResponseWriter, req *http.Request, t target, moved func(Owner) bool) bool {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	answer := &revocable{ResponseWriter: w, header: make(http.Header)}
	go func() {
		r.awaitMove(ctx, t, moved)
		if ctx.Err() == nil && answer.revoke() {
			cancel()
		}
	}()
	r.cfg.Own.ServeHTTP(answer, req.WithContext(ctx))
	return !answer.revoke()
}

// revocable is an answer that can be taken back for as long as nothing of it was sent.
type revocable struct {
	http.ResponseWriter
	header http.Header

	mu struct {
		sync.Mutex
		begun, revoked bool
	}
}

// revoke takes the answer back; it is false if something was sent.
func (a *revocable) revoke() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.revoked = !a.mu.begun
	return a.mu.revoked
}

// begin says that something is to be sent, unless the answer was taken back.
func (a *revocable) begin() (first, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first = !a.mu.begun
	a.mu.begun = a.mu.begun || !a.mu.revoked
	return first, a.mu.begun
}

// Header implements http.ResponseWriter.
func (a *revocable) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *revocable) WriteHeader(status int) {
	if first, ok := a.begin(); ok && first {
		maps.Copy(a.ResponseWriter.Header(), a.header)
		a.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (a *revocable) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if _, ok := a.begin(); !ok {
		return len(b), nil
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (a *revocable) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (r *Relay) ask(ctx context.Context, req *http.Request, owner Owner) (*http.Response, error) {
	target := owner.URL + req.URL.Path
	if req.URL.RawQuery != "" {
		target += "?" + req.URL.RawQuery
	}
	out, err := http.NewRequestWithContext(ctx, req.Method, target, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Accept-Encoding", "Range", "If-Range", "If-None-Match", "Accept", "Traceparent"} {
		if values := req.Header[name]; len(values) > 0 {
			out.Header[name] = values
		}
	}
	out.Header.Set(RelayedHeader, "1")
	return r.transport.RoundTrip(out)
}
