package packager

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

type metrics struct {
	shows         *prometheus.GaugeVec // by state
	interruptions prometheus.Counter
	longest       prometheus.Gauge
	recordings    prometheus.Counter
	takes         prometheus.Counter
	parts         *prometheus.CounterVec // by kind of track, as the next three
	segments      *prometheus.CounterVec
	bytes         *prometheus.CounterVec
	repairs       *prometheus.CounterVec // and kind of repair
	dependent     prometheus.Counter
	fillers       prometheus.Counter
	lost          prometheus.Counter
	storageErrors prometheus.Counter
	degraded      prometheus.Gauge
	saveErrors    prometheus.Counter
	eventsDropped prometheus.Counter
	logDropped    prometheus.Counter
	timedMetadata *prometheus.CounterVec // by kind

	metadataDropped prometheus.Counter
	metadataLost    prometheus.Counter
	eventsRefused   prometheus.Counter

	unaligned    prometheus.Counter
	groupChanges *prometheus.CounterVec // by what changed
	soundLeftOut prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "oxbow_packager_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oxbow_packager_" + name, Help: help}, labels)
	}
	m := &metrics{
		shows: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "oxbow_packager_shows", Help: "Recordings that grow, by state.",
		}, []string{"state"}),
		interruptions: counter("interruptions_total", "Times that a show began to wait for its publisher."),
		longest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_packager_longest_interruption_seconds",
			Help: "How long the show that waits for its publisher since longest has done so; 0 without any.",
		}),
		recordings:    counter("recordings_total", "Recordings begun."),
		takes:         counter("takes_total", "Takes begun."),
		parts:         vec("parts_total", "Parts made.", "kind"),
		segments:      vec("segments_total", "Segments finished.", "kind"),
		bytes:         vec("bytes_total", "Bytes of parts.", "kind"),
		repairs:       vec("repairs_total", "Samples whose time was repaired, by kind of repair.", "kind", "repair"),
		dependent:     counter("dependent_segments_total", "Video segments that begin without a key frame."),
		fillers:       counter("filler_segments_total", "Gap segments that stand for an absent publisher."),
		lost:          counter("lost_segments_total", "Segments that storage does not have, so that recordings have gaps."),
		storageErrors: counter("storage_errors_total", "Failures of the recording log."),
		degraded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_packager_degraded_shows", Help: "Shows whose recording fails or stalls at present. Alarm on this.",
		}),
		saveErrors:    counter("save_errors_total", "Failed writes of recordings' rows and events."),
		eventsDropped: counter("events_dropped_total", "Events that a full queue dropped."),
		logDropped: counter("log_events_dropped_total",
			"Events of the log that were dropped because too many waited for the catalog."),
		timedMetadata: vec("timed_metadata_total", "Pieces of timed metadata taken.", "kind"),

		metadataDropped: counter("timed_metadata_dropped_total", "Pieces of timed metadata without room or time."),
		metadataLost:    counter("timed_metadata_lost_total", "Pieces of timed metadata that recordings lack."),
		eventsRefused:   counter("timed_events_refused_total", "Events of the API that were refused."),

		unaligned: counter("unaligned_segments_total",
			"Segments of video that begin without a key frame where the leading video's do not."),
		groupChanges: vec("group_changes_total",
			"Changes of a group's tracks, of the member that leads, or of a clock's place.", "change"),
		soundLeftOut: counter("group_sounds_left_out_total", "Members' tracks of sound that another member has too."),
	}
	reg.MustRegister(m.shows, m.interruptions, m.longest, m.recordings, m.takes, m.parts, m.segments, m.bytes, m.repairs,
		m.dependent, m.fillers,
		m.lost, m.storageErrors, m.degraded, m.saveErrors, m.eventsDropped, m.logDropped, m.timedMetadata,
		m.metadataDropped, m.metadataLost, m.eventsRefused, m.unaligned, m.groupChanges, m.soundLeftOut)
	return m
}

func (m *metrics) part(kind media.Kind, size int) {
	m.parts.WithLabelValues(string(kind)).Inc()
	m.bytes.WithLabelValues(string(kind)).Add(float64(size))
}

func (m *metrics) segment(kind media.Kind) { m.segments.WithLabelValues(string(kind)).Inc() }
