package cacheproxy

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what asking another edge came to.
type outcome uint8

const (
	outcomeAnswered outcome = iota
	outcomeRefused          // 404, 410 and the like, which stand
	outcomeAbsent           // it has it not, and was asked for no more
	outcomeUpstream         // it lives, and got it from nobody
	outcomeFull             // it, or what is kept for asks of it, has too much to do
	outcomeLoop
	outcomeFailed
	outcomeSilent // it was cut off, for it did not answer its pulse
	outcomes
)

func (o outcome) String() string {
	return [...]string{"answered", "refused", "absent", "upstream", "full", "loop", "failed", "silent"}[o]
}

// peerMetrics are those of edges that ask each other.
type peerMetrics struct {
	asks      *prometheus.CounterVec
	served    [relations][results]prometheus.Counter
	sentBytes prometheus.Counter
	answers   [sources]prometheus.Counter
	fetches   [relations][sources]prometheus.Counter
	hops      prometheus.Histogram
	loops     prometheus.Counter
	mu        sync.Mutex
	known     map[string]bool
}

func (m *peerMetrics) add(factory promauto.Factory, p *Proxy) {
	m.known = make(map[string]bool)
	m.asks = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_peer_asks_total", Help: "Requests to other edges, by edge and what came of it.",
	}, []string{"peer", "outcome"})
	served := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_peer_requests_total",
		Help: "Requests of other edges, by what they took this one for and how they were answered.",
	}, []string{"as", "result"})
	fetches := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_fetches_total",
		Help: "Objects that were fetched, by whom they were fetched for at first and where they came from.",
	}, []string{"for", "from"})
	answers := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_answers_total",
		Help: "Viewers' requests that memory did not answer, by where the object came from.",
	}, []string{"from"})
	for s := range sources {
		m.answers[s] = answers.WithLabelValues(s.String())
	}
	for r := range relations {
		for s := range sources {
			m.fetches[r][s] = fetches.WithLabelValues(r.String(), s.String())
		}
		for res := range results {
			m.served[r][res] = served.WithLabelValues(r.String(), res.String())
		}
	}
	m.sentBytes = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_peer_sent_bytes_total", Help: "Bytes of bodies sent to other edges.",
	})
	m.hops = factory.NewHistogram(prometheus.HistogramOpts{
		Name:    "oxbow_cacheproxy_hops",
		Help:    "Other edges that an object which was fetched came through.",
		Buckets: []float64{0, 1, 2, 3},
	})
	m.loops = factory.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_cacheproxy_loops_total", Help: "Requests that had gone in a circle, as either end saw them.",
	})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_peers", Help: "Other edges that this one may ask.",
	}, func() float64 {
		s := p.peers.site.Load()
		return float64(len(s.siblings) + len(s.shields))
	})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_cacheproxy_peers_silent", Help: "Those of them that do not answer.",
	}, func() float64 {
		s, n := p.peers.site.Load(), 0
		for _, list := range [][]*peer{s.siblings, s.shields} {
			for _, of := range list {
				if !of.alive.Load() || !p.upstreams.Well(of.up.id()) {
					n++
				}
			}
		}
		return float64(n)
	})
}

func (m *peerMetrics) ask(of *peer, what outcome) {
	id := of.id
	m.mu.Lock()
	if !m.known[id] {
		if len(m.known) >= maxHosts {
			id = "other"
		} else {
			m.known[id] = true
		}
	}
	m.mu.Unlock()
	m.asks.WithLabelValues(id, what.String()).Inc()
}

// fetched counts an object that came.
func (m *peerMetrics) fetched(who *caller, w way) {
	as := asViewer
	if who != nil {
		as = who.as
	}
	m.fetches[as][w.source].Inc()
	m.hops.Observe(float64(w.hops))
}
