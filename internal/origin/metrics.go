package origin

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	renders  prometheus.Counter
	packs    prometheus.Counter
	waiting  prometheus.Gauge
	waits    *prometheus.CounterVec
	loads    *prometheus.CounterVec
	broken   prometheus.Counter
	late     prometheus.Gauge
	// downloads counts the files prepared, and downloading those being sent.
	downloads   *prometheus.CounterVec
	downloading prometheus.Gauge
	// underway and sent are what Busy tells.
	underway, sent atomic.Int64
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "oxbow_origin_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oxbow_origin_" + name, Help: help}, labels)
	}
	m := &metrics{
		requests: vec("requests_total", "Requests by kind of URL and status.", "kind", "status"),
		bytes:    vec("sent_bytes_total", "Bytes of bodies sent, by kind of URL.", "kind"),
		renders:  counter("playlist_renders_total", "Playlists rendered: one per version and variant."),
		packs:    counter("playlist_compressions_total", "Playlists compressed: one per version and variant."),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_origin_waiters", Help: "Requests held until a playlist or part is there.",
		}),
		waits: vec("waits_total", "Ended waits by result: served, timeout, refused, left, moved.", "result"),
		loads: vec("recording_loads_total", "Recordings read from storage, by result.", "result"),
		late: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_origin_late_readings", Help: "Readings of storage that nobody waits for any more: it stalls.",
		}),
		downloads: vec("downloads_prepared_total", "Files for download whose header was made, by result.", "result"),
		downloading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_origin_downloads", Help: "Downloads that are being sent.",
		}),
		broken: counter("media_read_errors_total", "Answers that ended early because storage failed in mid-body."),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.bytes, m.renders, m.packs, m.waiting, m.waits, m.loads, m.broken, m.late, m.downloads,
			m.downloading)
	}
	return m
}

func (m *metrics) count(k kind, status int, sent int64) {
	m.requests.WithLabelValues(string(k), statusLabel(status)).Inc()
	if sent > 0 {
		m.sent.Add(sent)
		m.bytes.WithLabelValues(string(k)).Add(float64(sent))
	}
}

// statusLabel avoids formatting for the statuses of nearly all requests.
func statusLabel(status int) string {
	switch status {
	case 200:
		return "200"
	case 206:
		return "206"
	case 304:
		return "304"
	case 404:
		return "404"
	}
	return strconv.Itoa(status)
}
