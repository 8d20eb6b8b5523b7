package main

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

// httpsMetrics count what happens at --https.
type httpsMetrics struct {
	registry    prometheus.Registerer
	hellos      prometheus.Counter
	handshakes  *prometheus.CounterVec
	requests    [4]prometheus.Counter // by major version
	http2Errors *prometheus.CounterVec
}

func newHTTPSMetrics(certs *certificates, registry prometheus.Registerer) *httpsMetrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_https_requests_total", Help: "Requests over TLS, by version of HTTP.",
	}, []string{"protocol"})
	m := &httpsMetrics{
		registry: registry,
		hellos: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_https_hellos_total", Help: "TLS handshakes that were begun.",
		}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_https_handshakes_total",
			Help: "TLS handshakes that came to an end, by version, protocol chosen and whether a session was resumed.",
		}, []string{"version", "protocol", "resumed"}),
		http2Errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_https_http2_errors_total", Help: "Faults of HTTP/2 connections and streams, by kind.",
		}, []string{"kind"}),
	}
	for major, name := range []string{"", "HTTP/1.1", "HTTP/2", "HTTP/3"} {
		if name != "" {
			m.requests[major] = requests.WithLabelValues(name)
		}
	}
	registry.MustRegister(requests, m.hellos, m.handshakes, m.http2Errors, certificateAges{certs})
	return m
}

// countQUIC has HTTP/3's connections counted.
func (m *httpsMetrics) countQUIC(open func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_https_quic_connections", Help: "Open QUIC connections.",
	}, func() float64 { return float64(open()) }))
}

func (m *httpsMetrics) request(major int) {
	if major > 0 && major < len(m.requests) {
		m.requests[major].Inc()
	}
}

// http2Error is for http.HTTP2Config, whose kinds are a few.
func (m *httpsMetrics) http2Error(kind string) { m.http2Errors.WithLabelValues(kind).Inc() }

// watch has the handshakes of a configuration counted.
func (m *httpsMetrics) watch(config *tls.Config) {
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m.hellos.Inc()
		return nil, nil // as configured
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		resumed := "no"
		if state.DidResume {
			resumed = "yes"
		}
		m.handshakes.WithLabelValues(tls.VersionName(state.Version), state.NegotiatedProtocol, resumed).Inc()
		return nil
	}
}

// certificateAges tells Prometheus when certificates end.
type certificateAges struct{ of *certificates }

var certificateEnd = prometheus.NewDesc("oxbow_https_certificate_expiry_timestamp_seconds",
	"When a certificate that is served ends.", []string{"name"}, nil)

// Describe implements prometheus.Collector.
func (c certificateAges) Describe(to chan<- *prometheus.Desc) { to <- certificateEnd }

// Collect implements prometheus.Collector.
func (c certificateAges) Collect(to chan<- prometheus.Metric) {
	told := make(map[string]bool)
	tell := func(leaf *x509.Certificate, name string) {
		if !told[name] { // two keys of one name: the first is chosen first
			told[name] = true
			to <- prometheus.MustNewConstMetric(certificateEnd, prometheus.GaugeValue, float64(leaf.NotAfter.Unix()), name)
		}
	}
	for _, pair := range c.of.pairs {
		leaf := pair.current().Leaf
		name := leaf.Subject.CommonName
		if len(leaf.DNSNames) > 0 {
			name = leaf.DNSNames[0]
		}
		tell(leaf, name)
	}
	if c.of.acme == nil {
		return
	}
	for _, name := range c.of.acme.flags.Domains {
		for _, held := range c.of.acme.cache.AllMatchingCertificates(name) {
			tell(held.Leaf, name)
			break
		}
	}
}
