package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/steering"
)

const (
	// steeringPeriod is how often the nodes are looked at. Edges tell of themselves every second.
	steeringPeriod = 500 * time.Millisecond
	// steeringRulesPeriod is how often the rules are.
	steeringRulesPeriod = time.Second
	// steeringWait bounds a look at either.
	steeringWait = time.Second
	// maxSteeringTTL bounds what a TTL is stretched to.
	maxSteeringTTL = 5 * time.Minute
)

// SteeringRules keeps where operators send viewers. PutSteeringRule's error is media.ErrNotFound without the publisher
// or stream, media.ErrLimit, or a *media.FieldError; DeleteSteeringRule's media.ErrNotFound.
type SteeringRules interface {
	PutSteeringRule(ctx context.Context, r media.SteeringRule) (media.SteeringRule, error)
	SteeringRules(ctx context.Context) ([]media.SteeringRule, error)
	DeleteSteeringRule(ctx context.Context, publisher, stream string) error
}

// noSteeringRules is a catalog without rules.
type noSteeringRules struct{}

func (noSteeringRules) PutSteeringRule(context.Context, media.SteeringRule) (media.SteeringRule, error) {
	return media.SteeringRule{}, media.ErrUnavailable
}
func (noSteeringRules) SteeringRules(context.Context) ([]media.SteeringRule, error) { return nil, nil }
func (noSteeringRules) DeleteSteeringRule(context.Context, string, string) error {
	return media.ErrNotFound
}

// steerer keeps the picture of the edges by which viewers are steered.
type steerer struct {
	url    string
	ttl    time.Duration
	nodes  func(ctx context.Context) ([]media.Node, error)
	rules  SteeringRules
	logger *slog.Logger
	fleet  atomic.Pointer[steering.Fleet]
	meter  meter

	moves, refused prometheus.Counter
	in, out        prometheus.Gauge

	mu struct {
		sync.Mutex
		watch     steering.Watch
		nodes     []media.Node         // told last
		rules     []media.SteeringRule // read last
		rulesAt   time.Time
		rulesAway bool
	}
}

func newSteerer(cfg Config, deps Deps, logger *slog.Logger, registerer prometheus.Registerer) *steerer {
	s := &steerer{
		url: cfg.SteeringURL, ttl: cfg.SteeringTTL, nodes: deps.Nodes, rules: deps.SteeringRules, logger: logger,
		meter: meter{bound: cfg.SteeringRate},
		moves: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_api_steering_moves_total",
			Help: "Steering manifests that sent a viewer to another edge than it was at.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_api_steering_shed_total",
			Help: "Requests for steering manifests that were told to come back later: there were too many.",
		}),
	}
	if s.rules == nil {
		s.rules = noSteeringRules{}
	}
	edges := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oxbow_api_steering_edges", Help: "Edges by whether viewers are steered to them.",
	}, []string{"state"})
	s.in, s.out = edges.WithLabelValues("in"), edges.WithLabelValues("out")
	registerer.MustRegister(s.moves, s.refused, edges)
	return s
}

// run looks at the edges until the context ends.
func (s *steerer) run(ctx context.Context) {
	if s.url == "" {
		return
	}
	tick := time.NewTicker(steeringPeriod)
	defer tick.Stop()
	for {
		s.look(ctx, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look makes the picture anew. What does not answer is as it was.
func (s *steerer) look(ctx context.Context, now time.Time) *steering.Fleet {
	ctx, cancel := context.WithTimeout(ctx, steeringWait)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes, err := s.nodes(ctx)
	if err == nil {
		s.mu.nodes = nodes
	} else {
		s.logger.DebugContext(ctx, "edges are as they were", "err", err)
	}
	if now.Sub(s.mu.rulesAt) >= steeringRulesPeriod {
		s.readRulesLocked(ctx, now)
	}
	f := s.mu.watch.Fleet(s.mu.nodes, s.mu.rules, now)
	out := 0
	for i := range f.Edges {
		if f.Edges[i].Out != "" {
			out++
		}
	}
	s.in.Set(float64(len(f.Edges) - out))
	s.out.Set(float64(out))
	s.fleet.Store(f)
	return f
}

func (s *steerer) readRulesLocked(ctx context.Context, now time.Time) {
	rules, err := s.rules.SteeringRules(ctx)
	if away := err != nil; away != s.mu.rulesAway {
		s.mu.rulesAway = away
		if away {
			s.logger.WarnContext(ctx, "steering rules can't be read: those read last hold on", "err", err)
		}
	}
	if err == nil {
		s.mu.rules, s.mu.rulesAt = rules, now
	}
}

// current gives the picture, which it makes if nobody else does.
func (s *steerer) current(ctx context.Context) *steering.Fleet {
	if f := s.fleet.Load(); f != nil && s.url != "" {
		return f
	}
	return s.look(ctx, time.Now())
}

// changed has the next look read the rules.
func (s *steerer) changed(ctx context.Context) {
	s.mu.Lock()
	s.mu.rulesAt = time.Time{}
	s.mu.Unlock()
	s.look(ctx, time.Now())
}

// steeringRoute serves players.
func (s *Server) steeringRoute(r chi.Router) {
	const path = "/steering/{publisher}/{stream}"
	r.Get(path, s.serveSteering)
	r.Options(path, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		steeringCORS(h)
		h["Access-Control-Allow-Methods"] = []string{"GET, HEAD, OPTIONS"}
		h["Access-Control-Allow-Headers"] = []string{"*"}
		h["Access-Control-Max-Age"] = []string{"86400"}
		w.WriteHeader(http.StatusNoContent)
	})
}

func steeringCORS(h http.Header) {
	h["Access-Control-Allow-Origin"] = []string{"*"}
	h["Access-Control-Expose-Headers"] = []string{"Retry-After"}
	h["Timing-Allow-Origin"] = []string{"*"}
	h["Cross-Origin-Resource-Policy"] = []string{"cross-origin"}
	h["Cache-Control"] = []string{"no-store"}
}

// serveSteering answers a player with its steering manifest (RFC 8216bis section 7.2). It needs no token: it tells
// where edges are, which is no secret, and nothing of the stream. 410 has players stop asking.
//
// Too many requests are answered with a longer TTL, and only far beyond with 503. Never with 429: hls.js then never
// asks again (up to 1.7.4), though it should after the Retry-After.
func (s *Server) serveSteering(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	steeringCORS(h)
	if s.cfg.SteeringURL == "" {
		writeProblem(w, newProblem(http.StatusGone, "viewers are not steered: the api has no --steering-url"))
		return
	}
	path := media.StreamPath{Publisher: chi.URLParam(r, "publisher"), Stream: chi.URLParam(r, "stream")}
	if media.CheckPublisherName(path.Publisher) != nil || media.CheckStreamName(path.Stream) != nil {
		writeProblem(w, newProblem(http.StatusNotFound, "no stream has a name like that"))
		return
	}
	v, err := steering.ReadViewer(path, r.URL.Query())
	if err != nil {
		writeProblem(w, newProblem(http.StatusBadRequest, "%s", err))
		return
	}
	now := time.Now()
	times := s.steerer.meter.note(now)
	ttl := steeringTTL(s.cfg.SteeringTTL, times, v.Slot)
	if times > 4 && !v.First { // whoever begins needs an answer most: it would not ask again for five minutes
		s.steerer.refused.Inc()
		h.Set("Retry-After", strconv.Itoa(int(ttl/time.Second)))
		writeProblem(w, newProblem(http.StatusServiceUnavailable, "too many players ask: try again in %v", ttl))
		return
	}
	text, moved := s.steerer.current(r.Context()).AppendManifest(make([]byte, 0, 2048), v, ttl, now)
	if moved {
		s.steerer.moves.Inc()
	}
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	_, _ = w.Write(text) // the player may have left
}

// steeringTTL is a viewer's, stretched by how many times too many ask. A fifth of the viewers come a second earlier,
// again and again others: those who began at the same time do not stay together for ever.
func steeringTTL(ttl time.Duration, times int64, slot uint32) time.Duration {
	ttl = min(ttl*time.Duration(times), max(ttl, maxSteeringTTL))
	if ttl >= 5*time.Second && (uint32(time.Now().Unix())+slot)%5 == 0 { //nolint:gosec // whatever it is
		ttl -= time.Second
	}
	return ttl
}

// meter counts requests by the second.
type meter struct {
	bound               int64
	second, count, last atomic.Int64
}

// note counts one, and gives how many times the bound there are: 1 is within it. It may be off by some where a second
// ends.
func (m *meter) note(now time.Time) (times int64) {
	second := now.Unix()
	if old := m.second.Load(); old != second && m.second.CompareAndSwap(old, second) {
		n := m.count.Swap(0)
		if second != old+1 {
			n = 0
		}
		m.last.Store(n)
	}
	return 1 + (max(m.count.Add(1), m.last.Load())-1)/m.bound
}
