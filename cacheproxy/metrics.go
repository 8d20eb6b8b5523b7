package cacheproxy

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/oxbow-video/oxbow/internal/playback"
)

// result is how a request was answered.
type result uint8

const (
	resultHit result = iota
	resultMiss
	resultCollapsed // it shared a fetch that another request began
	resultStale
	resultPass // passed through, not cached
	resultError
	resultDisk // a hit of the disk cache
	results
)

func (r result) String() string {
	return [...]string{"hit", "miss", "collapsed", "stale", "pass", "error", "disk"}[r]
}

type metrics struct {
	served
	upstreamRequests *prometheus.CounterVec

	directoryRequests prometheus.Counter
	mirrorAnswers     prometheus.Counter
	continued         prometheus.Counter
	resumed           prometheus.Counter
	zstdMade          prometheus.Counter
	hedgesWon         prometheus.Counter

	eventsConnected, eventsSure prometheus.Gauge
	events                      *prometheus.CounterVec
	eventLag                    prometheus.Histogram
	eventResets, evictions      prometheus.Counter
	purges                      prometheus.Counter

	refusals                       map[string]prometheus.Counter
	verifications, unknownPolicies prometheus.Counter

	peers peerMetrics

	mu    sync.Mutex
	hosts map[string]bool
}

// maxHosts bounds the values of the label "upstream"; nodes beyond that are "other".
const maxHosts = 64

func newMetrics(reg prometheus.Registerer, p *Proxy) *metrics {
	factory := promauto.With(reg)
	m := &metrics{served: newServed(factory, p.cache, &p.flights), hosts: make(map[string]bool)}
	m.upstreamRequests = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_upstream_requests_total",
		Help: "Requests to ingest nodes and the archive, by kind of object.",
	}, []string{"kind"})
	m.directoryRequests = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_directory_requests_total", Help: "Requests to the directory service.",
	})
	m.mirrorAnswers = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_mirror_answers_total",
		Help: "Answers that a recording's mirror gave because its archive did not.",
	})
	m.continued = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_continued_downloads_total",
		Help: "Times that a download went on from another place than the one that broke it off.",
	})
	m.resumed = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_resumed_bodies_total",
		Help: "Bodies that an upstream broke off while viewers read them, and that another one brought to their end.",
	})
	m.zstdMade = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_zstd_playlists_total", Help: "Versions of playlists that were packed by zstd.",
	})
	m.hedgesWon = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_hedges_won_total",
		Help: "Requests that were answered by the second upstream because the first was late.",
	})
	m.peers.add(factory, p)
	m.addEvents(factory, p)
	m.addPlayback(factory, p)
	return m
}

func (m *metrics) failed(upstream string) {
	m.mu.Lock()
	if !m.hosts[upstream] {
		if len(m.hosts) >= maxHosts {
			upstream = "other"
		} else {
			m.hosts[upstream] = true
		}
	}
	m.mu.Unlock()
	m.upstreamErrors.WithLabelValues(upstream).Inc()
}

func (m *metrics) addEvents(factory promauto.Factory, p *Proxy) {
	m.eventsConnected = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_events_connected", Help: "Whether a directory's stream of events is open.",
	})
	m.eventsSure = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_events_sure",
		Help: "Whether the stream tells of every change; without, the directory is asked about all that is served.",
	})
	m.events = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_events_total", Help: "Events that came, by type.",
	}, []string{"type"})
	m.eventLag = factory.NewHistogram(prometheus.HistogramOpts{
		Name:    "oxbow_cacheproxy_event_lag_seconds",
		Help:    "Time from an event to its arrival, by the clocks of both machines.",
		Buckets: []float64{.01, .05, .25, 1, 5, 30},
	})
	m.eventResets = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_event_resets_total",
		Help: "How often all locations were forgotten because events may have been missed.",
	})
	m.evictions = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_event_evictions_total",
		Help: "Objects dropped because of what happened to their recording.",
	})
	m.purges = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_purges_total", Help: "Purges of a publisher, a stream or a recording, each done twice.",
	})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_tombstones", Help: "Deleted recordings that are remembered.",
	}, func() float64 { return float64(p.gone.len()) })
}

func (m *metrics) addPlayback(factory promauto.Factory, p *Proxy) {
	refusals := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_playback_refusals_total",
		Help: "Requests for what is signed that were not let in, by what was wrong with their tokens.",
	}, []string{"reason"})
	m.refusals = make(map[string]prometheus.Counter)
	for _, reason := range playback.Reasons() {
		m.refusals[reason] = refusals.WithLabelValues(reason)
	}
	m.verifications = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_playback_verifications_total",
		Help: "Playback tokens that were verified; those of the other requests were remembered.",
	})
	m.unknownPolicies = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_playback_unknown_total",
		Help: "Requests that were answered 503 because no directory has told yet who may watch.",
	})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_playback_tokens", Help: "Playback tokens that are remembered.",
	}, func() float64 {
		if known := p.policies.Load(); known != nil {
			return float64(known.verdicts.len())
		}
		return 0
	})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_playback_policies_age_seconds",
		Help: "Time since the catalog has said last who may watch; infinite before the first time.",
	}, func() float64 {
		if at := p.feed.confirmed.Load(); at != 0 {
			return max(0, time.Since(time.Unix(0, at)).Seconds())
		}
		return math.Inf(1)
	})
}
