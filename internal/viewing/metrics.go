package viewing

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

type metrics struct {
	malformed   prometheus.Counter
	leftOut     prometheus.Counter
	droppedRows prometheus.Counter
	reports     *prometheus.CounterVec
	// of viewings, by minutes that are over
	figures map[string]prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, b *Book) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "oxbow_viewing_" + name, Help: help})
		registerer.MustRegister(c)
		return c
	}
	gauge := func(name, help string, value func() float64) {
		registerer.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "oxbow_viewing_" + name, Help: help}, value))
	}
	m := &metrics{
		malformed:   counter("cmcd_malformed_total", "Requests with CMCD that is out of form."),
		leftOut:     counter("left_out_total", "Requests of viewers or streams beyond those that are counted."),
		droppedRows: counter("rows_dropped_total", "Rows of minutes that no directory took in time."),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_viewing_reports_total", Help: "Reports to directories, by their outcome.",
		}, []string{"outcome"}),
		figures: map[string]prometheus.Counter{
			"starts":   counter("starts_total", "Viewings that began, by minutes that are over, like all figures of viewings."),
			"watch":    counter("watch_seconds_total", "How long viewers were there."),
			"startups": counter("startups_total", "Viewings with CMCD that have shown a picture."),
			"startup":  counter("startup_seconds_total", "How long that took them."),
			"stalls":   counter("stalls_total", "Stalls that players told of by CMCD."),
			"stalled":  counter("stalled_seconds_total", "How long those were."),
			"cmcd":     counter("cmcd_watch_seconds_total", "How long viewers with CMCD were there."),
			"errors":   counter("player_errors_total", "Errors that players told of by CMCD."),
		},
	}
	registerer.MustRegister(m.reports)
	gauge("viewers", "Viewers that are there.", func() float64 { return float64(b.present.Load()) })
	gauge("rows_waiting", "Rows of minutes that no directory has taken yet.", func() float64 {
		b.minutes.Lock()
		defer b.minutes.Unlock()
		return float64(len(b.minutes.done))
	})
	return m
}

func (m *metrics) fold(v *media.Viewing) {
	for name, n := range map[string]float64{
		"starts": float64(v.Starts), "watch": float64(v.WatchMS) / 1000, "startups": float64(v.Startups),
		"startup": float64(v.StartupMS) / 1000, "stalls": float64(v.Stalls), "stalled": float64(v.StalledMS) / 1000,
		"cmcd": float64(v.CMCDWatchMS) / 1000, "errors": float64(v.Errors),
	} {
		m.figures[name].Add(n)
	}
}
