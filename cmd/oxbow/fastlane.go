package main

import (
	"context"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/front"
)

// viewersEdge is the edge as its servers need it.
type viewersEdge interface {
	fastlane.Handler
	leaver
}

// serveViewers serves the port at which viewers ask, with the fast lane in front of all if it is wanted. Mine says
// which of the port's paths are for the edge in the lane; nil means all.
func (n *node) serveViewers(
	l net.Listener, all http.Handler, edge viewersEdge, mine func(path string) bool, lane bool,
) func(context.Context) error {
	leaving := new(front.Leaving)
	server := newHTTPServer(leaving.Handler(all), n.logger)
	if !lane {
		return serveUntilLeft(l, server, leaving, edge, usualLeave())
	}
	lanes := fastlane.New(fastlane.Config{
		Handler: edge, HTTP: server, Logger: n.logger,
		Takes:       mine,
		HeadTimeout: headTimeout, IdleTimeout: idleTimeout,
	})
	n.metrics.MustRegister(laneMetrics{
		stats: lanes.Stats,
		open:  prometheus.NewDesc("oxbow_fastlane_connections", "Open connections in the fast lane.", nil, nil),
		connections: prometheus.NewDesc("oxbow_fastlane_connections_total",
			"Connections that viewers made.", nil, nil),
		requests: prometheus.NewDesc("oxbow_fastlane_requests_total",
			"Requests that were answered in the fast lane.", nil, nil),
		handed: prometheus.NewDesc("oxbow_fastlane_handed_over_total",
			"Connections that were handed over to net/http, by what of a request was the reason.", []string{"reason"}, nil),
		closed: prometheus.NewDesc("oxbow_fastlane_closed_total",
			"Connections that the fast lane gave up: idle, too slow with a head or in reading, or left by their viewer.",
			[]string{"reason"}, nil),
	})
	return serveUntilLeft(l, lanes, leaving, edge, usualLeave())
}

// laneMetrics tells Prometheus the lane's counts.
type laneMetrics struct {
	stats                                       func() fastlane.Stats
	open, connections, requests, handed, closed *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m laneMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m laneMetrics) Collect(to chan<- prometheus.Metric) {
	now := m.stats()
	count := func(of *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(of, prometheus.CounterValue, float64(n), labels...)
	}
	to <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(now.Open))
	count(m.connections, now.Connections)
	count(m.requests, now.Requests)
	for reason, n := range now.HandedOver {
		count(m.handed, n, reason)
	}
	for reason, n := range now.Closed {
		count(m.closed, n, reason)
	}
}
