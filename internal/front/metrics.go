package front

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	refusedConnections, held, refused, paced, unlimited prometheus.Counter
	headers                                             *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer, b *Book) *metrics {
	factory := promauto.With(registerer)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Name: "oxbow_front_" + name, Help: help})
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_front_clients", Help: "Clients (IPv4 addresses, IPv6 /64) that are remembered for their limits.",
	}, func() float64 { clients, _ := b.usage(); return float64(clients) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_front_connections", Help: "Open connections that are counted for their client.",
	}, func() float64 { _, connections := b.usage(); return float64(connections) })
	return &metrics{
		refusedConnections: counter("connections_refused_total", "Connections above the limit of their client."),
		held:               counter("requests_held_total", "Requests that waited for the rate of their client."),
		refused:            counter("requests_refused_total", "Requests that were refused for the rate of their client."),
		paced:              counter("paced_seconds_total", "Time that bodies waited for the rate of their client."),
		unlimited:          counter("unlimited_total", "Times that a client had no limits, for want of room to remember it."),
		headers: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_front_proxy_headers_total", Help: "Headers of the PROXY protocol by what came of them.",
		}, []string{"outcome"}),
	}
}
