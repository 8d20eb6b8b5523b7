package ingest

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Kinds of repair: input that is wrong and that we can make good or do without. Those of coded video are
// bitstream.Fault's.
const (
	repairRepeatedConfig = string(bitstream.RepeatedConfig)
	repairNoConfig       = "no_config"       // a frame before its decoder configuration; dropped
	repairEmptyFrame     = "empty_frame"     // a message without media; dropped
	repairADTS           = "adts"            // AAC with an ADTS header; taken off
	repairBadMetadata    = "bad_metadata"    // metadata that does not parse; passed over
	repairMessage        = "ignored_message" // a message of a kind that is read past
	repairUnknownPacket  = "ignored_packet"  // an FLV packet that carries no media
	repairTrackLimit     = "ignored_track"   // a track past the limit of its kind; its frames are passed over
	repairLoneField      = "lone_field"      // a field of H.264 without the other one; it is a sample alone
	repairAudioFrame     = "audio_frame"     // audio that is no frame of its codec; dropped

	// Of MPEG transport streams.
	repairSRTGap       = "srt_gap"       // SRT gave packets up, or they came faster than they could be taken
	repairTSSync       = "ts_sync"       // no packet where one must be; the next was searched for
	repairTSPacket     = "ts_packet"     // a packet marked broken, scrambled or that does not parse; dropped
	repairTSContinuity = "ts_continuity" // packets are missing
	repairTSDamaged    = "ts_damaged"    // an access unit or PES packet with a part missing; dropped
	repairTSTable      = "ts_table"      // a section with a wrong checksum or length; passed over
	repairTSTooLarge   = "ts_too_large"  // an access unit past its limit; dropped
	repairTSUntimed    = "ts_untimed"    // a PES packet without a time; dropped
	repairTSSplit      = "ts_split"      // several access units in a PES packet; they were given times
	repairTSSkipped    = "ts_skipped"    // a stream or program that is not taken
	repairAudioSync    = "audio_sync"    // no audio frame where one must begin; the next was searched for

	repairHLSGap = "hls_gap" // segments of a source are lost
)

type metrics struct {
	connections *prometheus.GaugeVec
	accepted    *prometheus.CounterVec
	publishers  prometheus.Gauge
	standbys    prometheus.Gauge
	switches    *prometheus.CounterVec
	published   *prometheus.CounterVec
	left        *prometheus.CounterVec
	refused     *prometheus.CounterVec
	delayed     prometheus.Counter
	bytes       *prometheus.CounterVec
	frames      *prometheus.CounterVec
	mediaBytes  *prometheus.CounterVec
	repairs     *prometheus.CounterVec
	srtPackets  *prometheus.CounterVec

	warnings      *prometheus.GaugeVec
	warningsTotal *prometheus.CounterVec
	sources       *prometheus.GaugeVec
	sourceRetries prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "oxbow", Subsystem: "ingest", Name: name, Help: help,
		}, labels)
	}
	m := &metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "oxbow", Subsystem: "ingest", Name: "connections", Help: "Connections open now.",
		}, []string{"protocol"}),
		publishers: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "oxbow", Subsystem: "ingest", Name: "publishers", Help: "Publishers connected now that are live.",
		}),
		standbys: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "oxbow", Subsystem: "ingest", Name: "standbys", Help: "Publishers connected now that stand by.",
		}),
		switches:  counter("switches_total", "Standbys that took over, by cause.", "cause"),
		accepted:  counter("connections_total", "Connections accepted.", "protocol"),
		published: counter("publishers_total", "Publishes accepted.", "protocol"),
		left:      counter("publishers_left_total", "Publishers that left, by how.", "how"),
		refused:   counter("refused_total", "Connections and publishes refused.", "reason"),
		delayed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "oxbow", Subsystem: "ingest", Name: "delayed_total",
			Help: "Wrong keys that were answered late, since too many came from their address.",
		}),
		bytes:      counter("received_bytes_total", "Bytes received.", "protocol"),
		frames:     counter("frames_total", "Frames handed to the packager.", "kind"),
		mediaBytes: counter("frames_bytes_total", "Payload bytes of those frames.", "kind"),
		repairs:    counter("repairs_total", "Faults of publishers' streams that were passed over.", "what"),
		srtPackets: counter("srt_packets_total",
			"SRT data packets: received, lost at first, retransmitted, discarded as doubled or late, undecrypted, "+
				"missing in the end, and dropped since a queue was full (overflow); broken handshakes.", "what"),
		warnings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "oxbow", Subsystem: "ingest", Name: "warnings", Help: "Publishers that are warned of it now.",
		}, []string{"code"}),
		warningsTotal: counter("warnings_total", "Warnings of publishers' streams raised.", "code"),
	}
	reg.MustRegister(m.connections, m.accepted, m.publishers, m.standbys, m.switches, m.published, m.left,
		m.refused, m.delayed, m.bytes, m.frames,
		m.mediaBytes, m.repairs, m.srtPackets, m.warnings, m.warningsTotal)
	for _, cause := range []string{causeSilence, causeGone, causeRequest} {
		m.switches.WithLabelValues(cause)
	}
	for _, reason := range []string{"full", "unavailable", "crowded", reasonInternal} { // ours, which alerts go by
		m.refused.WithLabelValues(reason)
	}
	for _, what := range []string{
		"received", "lost", "retransmitted", "discarded", "undecrypted", "missing", "overflow",
	} {
		m.srtPackets.WithLabelValues(what) // zero is a figure too
	}
	m.sources = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "oxbow", Subsystem: "ingest", Name: "sources", Help: "Enabled sources by what they do now.",
	}, []string{"state"})
	m.sourceRetries = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "oxbow", Subsystem: "ingest", Name: "source_retries_total",
		Help: "Tries of sources that failed or ended, and are made again.",
	})
	for _, state := range media.SourceStates() {
		m.sources.WithLabelValues(string(state))
	}
	reg.MustRegister(m.sources, m.sourceRetries)
	return m
}

func (m *metrics) refuse(reason string) {
	m.refused.WithLabelValues(strings.ReplaceAll(reason, " ", "_")).Inc()
}

// kindCounters are the counters of one kind of track, looked up once.
type kindCounters struct{ frames, bytes prometheus.Counter }

func (m *metrics) kind(kind media.Kind) kindCounters {
	return kindCounters{frames: m.frames.WithLabelValues(string(kind)), bytes: m.mediaBytes.WithLabelValues(string(kind))}
}
