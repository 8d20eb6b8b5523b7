package archiver

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

type metrics struct {
	actions  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	lateness *prometheus.GaugeVec
	busy     prometheus.Gauge
	bytes    prometheus.Counter
	stored   prometheus.Counter
	present  prometheus.Counter
	deleted  prometheus.Counter
	damaged  prometheus.Counter
	repaired prometheus.Counter
	// waiting is of the publishers that have something due, by lane.
	waiting   *prometheus.GaugeVec
	archiveUp *prometheus.GaugeVec
	uploads   underWay
	salvaged  prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_archiver_actions_total",
			Help: "Actions on finished recordings, by action and result (ok, failed, fenced).",
		}, []string{"action", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oxbow_archiver_action_duration_seconds", Help: "Duration of actions, failed ones too.",
			Buckets: prometheus.ExponentialBuckets(0.05, 4, 10), // to 3.6 hours
		}, []string{"action"}),
		lateness: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "oxbow_archiver_lateness_seconds",
			Help: "How long past its due time the action claimed last was; it grows with the backlog. Claims go by due time.",
		}, []string{"action"}),
		busy:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "oxbow_archiver_busy", Help: "Actions under way."}),
		bytes:    counter("oxbow_archiver_stored_bytes_total", "Bytes put into object storage."),
		stored:   counter("oxbow_archiver_stored_objects_total", "Objects put into object storage."),
		present:  counter("oxbow_archiver_present_objects_total", "Objects that object storage had already."),
		deleted:  counter("oxbow_archiver_deleted_objects_total", "Objects deleted from object storage."),
		damaged:  counter("oxbow_archiver_damaged_recordings_total", "Recordings archived with damage that recovery left."),
		repaired: counter("oxbow_archiver_repaired_archives_total", "Archives found incomplete after they were verified."),
		salvaged: counter("oxbow_archiver_salvaged_recordings_total",
			"Recordings archived from what had been uploaded while they grew, because their local copy was gone."),
	}
	m.waiting = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oxbow_archiver_waiting_publishers",
		Help: "Publishers that have something due, by lane (archive, remove). They take turns.",
	}, []string{"lane"})
	m.archiveUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oxbow_archiver_archive_up", Help: "1 while the archive works, however slow, by its name.",
	}, []string{"archive"})
	registerer.MustRegister(m.actions, m.seconds, m.lateness, m.busy, m.bytes, m.stored, m.present, m.deleted,
		m.damaged, m.repaired, m.salvaged, m.waiting, m.archiveUp)
	registerer.MustRegister(m.uploadGauges()...)
	return m
}

// uploadGauges tell how far the archiving is that is under way, of all recordings together.
func (m *metrics) uploadGauges() []prometheus.Collector {
	gauge := func(name, help string, value func(media.Progress) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oxbow_archiver_upload_" + name, Help: help},
			func() float64 { return value(m.uploads.sum()) })
	}
	return []prometheus.Collector{
		gauge("done_bytes", "Bytes that the archives have of the recordings under way.",
			func(p media.Progress) float64 { return float64(p.Done) }),
		gauge("total_bytes", "Bytes that the archives are to have of the recordings under way.",
			func(p media.Progress) float64 { return float64(p.Total) }),
		gauge("rate_bytes_per_second", "Bytes sent in a second, of late.",
			func(p media.Progress) float64 { return float64(p.Rate) }),
		gauge("eta_seconds", "Until the recordings under way are archived, at that rate; +Inf while nothing is sent.",
			func(p media.Progress) float64 {
				if p.Done >= p.Total {
					return 0
				}
				return float64(p.Total-p.Done) / float64(p.Rate)
			}),
	}
}

func (m *metrics) began(c media.Claim, now time.Time) {
	m.busy.Inc()
	if due := dueOf(c); !due.IsZero() {
		m.lateness.WithLabelValues(string(c.Action)).Set(now.Sub(due).Seconds())
	}
}

func (m *metrics) ended(action media.Action, took time.Duration, err error) {
	m.busy.Dec()
	result := "ok"
	switch {
	case errors.Is(err, errLost):
		result = "fenced"
	case err != nil:
		result = "failed"
	}
	m.actions.WithLabelValues(string(action), result).Inc()
	m.seconds.WithLabelValues(string(action)).Observe(took.Seconds())
}
