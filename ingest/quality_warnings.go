package ingest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits past which a stream is warned of.
const (
	longInterval     = 4 * time.Second // between key frames
	veryLongInterval = 10 * time.Second
	noKeyInterval    = 30 * time.Second
	noKeyAtStart     = 10 * time.Second
	unevenFrames     = 0.05
	unevenKeys       = 2    // of intervalsKept
	nearMaxBitrate   = 0.9  // of the publisher's
	slowPace         = 0.97 // seconds of media in a second
	fastPace         = 1.2
	slowLag          = 500 * time.Millisecond
	skewLimit        = 100 * time.Millisecond
	lossLimit        = 0.01
	latencyTrips     = 4 // round trips in SRT's latency
	damageLimit      = 3 // faults in ten seconds
	recently         = time.Minute
	calm             = 10 * time.Second // a condition must be over for this long
)

// alarm is one warning and its state.
type alarm struct {
	code, severity string
	after          time.Duration // how long it must be so before it is told
	// check says what is wrong and what to change; empty is nothing.
	check func(*quality) string

	bad    bool          // at the last look
	turned time.Duration // when that changed
	raised bool
	since  time.Time // when it was raised
	text   string
}

// newAlarms is the one table of warnings.
func newAlarms() []alarm {
	const notice, warning, fault = media.SeverityNotice, media.SeverityWarning, media.SeverityError
	return []alarm{
		{code: "no_keyframes", severity: fault, check: noKeyFrames},
		{code: "keyframe_interval_long", severity: warning, check: longKeyInterval},
		{code: "keyframe_interval_irregular", severity: notice, check: irregularKeyFrames},
		{code: "fps_unstable", severity: warning, after: 5 * time.Second, check: unstableFPS},
		{code: "bitrate_too_high", severity: warning, after: 5 * time.Second, check: highBitrate},
		{code: "bitrate_unstable", severity: notice, check: unstableBitrate},
		{code: "falling_behind", severity: fault, after: 5 * time.Second, check: fallingBehind},
		{code: "faster_than_realtime", severity: warning, after: 5 * time.Second, check: fasterThanRealTime},
		{code: "data_gaps", severity: warning, check: dataGaps},
		{code: "av_skew", severity: warning, after: 5 * time.Second, check: skewed},
		{code: "video_missing", severity: fault, check: func(q *quality) string { return missing(q, media.Video) }},
		{code: "audio_missing", severity: fault, check: func(q *quality) string { return missing(q, media.Audio) }},
		{code: "timestamps_jump", severity: warning, check: jumped},
		{code: "config_unstable", severity: warning, check: reconfigured},
		{code: "stream_damaged", severity: fault, check: damaged},
		{code: "unsupported_streams", severity: notice, check: notTaken},
		{code: "packet_loss", severity: warning, check: lossy},
		{code: "packets_missing", severity: fault, check: packetsMissing},
		{code: "srt_latency_low", severity: notice, after: 5 * time.Second, check: lowLatency},
		{code: "server_overloaded", severity: fault, check: overloaded},
	}
}

// judge raises and clears warnings: each costs one line of log and one count, however often its figures change.
func (q *quality) judge(wall time.Time) {
	for i := range q.alarms {
		a := &q.alarms[i]
		text := a.check(q)
		if bad := text != ""; bad != a.bad {
			a.bad, a.turned = bad, q.now
		}
		held := q.now - a.turned
		switch {
		case a.bad && (a.raised || held >= a.after):
			a.text = text
			if !a.raised {
				q.raise(a, wall)
			}
		case !a.bad && a.raised && held >= calm:
			q.clear(a, wall)
		}
	}
}

func (q *quality) raise(a *alarm, wall time.Time) {
	a.raised, a.since = true, wall
	if !slices.Contains(q.raised, a.code) {
		q.raised = append(q.raised, a.code)
	}
	q.metrics.warnings.WithLabelValues(a.code).Inc()
	q.metrics.warningsTotal.WithLabelValues(a.code).Inc()
	q.logger.Warn("ingest warning", "code", a.code, "severity", a.severity, "text", a.text)
	q.tell(a, media.WarningRaised)
}

// tell has a warning of a stream told elsewhere.
func (q *quality) tell(a *alarm, state string) {
	if q.warned != nil {
		q.warned(media.StreamPath{Publisher: q.identity.Publisher, Stream: q.identity.Stream}, media.IngestWarning{
			Code: a.code, Severity: a.severity, Text: a.text, Since: a.since,
		}, state)
	}
}

func (q *quality) clear(a *alarm, wall time.Time) {
	a.raised = false
	q.metrics.warnings.WithLabelValues(a.code).Dec()
	q.logger.Info("ingest warning over", "code", a.code, "dur", wall.Sub(a.since).Round(time.Second))
	q.tell(a, media.WarningOver)
}

// end takes the session's warnings out of the metrics, and gives the figures for its last log line.
func (q *quality) end() []any {
	for i := range q.alarms {
		if a := &q.alarms[i]; a.raised {
			a.raised = false
			q.metrics.warnings.WithLabelValues(a.code).Dec()
			q.tell(a, media.WarningOver)
		}
	}
	var repairs int64
	for _, n := range q.repairs {
		repairs += n
	}
	attrs := []any{"bitrate_bps", bitsPerSecond(q.identity.Bytes, q.arrived), "lag_ms", q.lag.Milliseconds(),
		"av_skew_ms", q.skews.median().Milliseconds(), "data_gaps", q.gaps.count, "repairs", repairs}
	if len(q.raised) > 0 {
		attrs = append(attrs, "warnings", strings.Join(q.raised, ","))
	}
	return attrs
}

func (q *quality) full() bool { return q.reviews >= qualityWindow }

const setKeyInterval = "set 2 s (OBS: Settings > Output > Keyframe Interval 2 s; ffmpeg: -g of twice the frame rate)"

func noKeyFrames(q *quality) string {
	if q.video == nil {
		return ""
	}
	keys := &q.video.meter.keys
	current := keys.current().media
	if current >= noKeyInterval || keys.count == 0 && current >= noKeyAtStart {
		return fmt.Sprintf("no key frame came for %d s: %s", current/time.Second, setKeyInterval)
	}
	return ""
}

func longKeyInterval(q *quality) string {
	if q.video == nil {
		return ""
	}
	keys := &q.video.meter.keys
	current := keys.current().media
	switch {
	case current >= noKeyInterval || keys.count == 0: // that is said otherwise
		return ""
	case keys.last.media > longInterval:
		return fmt.Sprintf("key-frame interval %.3g s: %s", keys.last.media.Seconds(), setKeyInterval)
	case current > veryLongInterval: // else its end is awaited, for the figure
		return fmt.Sprintf("key-frame interval over %d s: %s", veryLongInterval/time.Second, setKeyInterval)
	}
	return ""
}

func irregularKeyFrames(q *quality) string {
	if q.video == nil {
		return ""
	}
	if count, of := q.video.meter.keys.uneven(); count >= unevenKeys {
		return fmt.Sprintf("%d of the last %d key-frame intervals are not like the others: switch scene-cut key frames off "+
			"(OBS: x264 option scenecut=0; ffmpeg: -sc_threshold 0 -keyint_min as -g)", count, of)
	}
	return ""
}

func unstableFPS(q *quality) string {
	if q.video == nil || !q.full() {
		return ""
	}
	sum := q.video.meter.recent(q.index, q.window)
	if sum.unevenRatio() <= unevenFrames {
		return ""
	}
	return fmt.Sprintf("%.0f %% of the frames are out of step at %.4g fps: the encoder drops frames: lower its load, "+
		"resolution or bitrate, and set a constant frame rate", 100*sum.unevenRatio(), sum.fps())
}

func highBitrate(q *quality) string {
	now := bitsPerSecond(q.sum.bytes, q.span)
	if q.maxBitrate == 0 || !q.full() || float64(now) <= nearMaxBitrate*float64(q.maxBitrate) {
		return ""
	}
	return fmt.Sprintf("%d kbit/s of the %d kbit/s that are allowed: lower the encoder's bitrate",
		now/1000, q.maxBitrate/1000)
}

func unstableBitrate(q *quality) string {
	const few, low = 3, 200_000
	kept := q.averages[:min(q.averaged, len(q.averages))]
	if len(kept) < few {
		return ""
	}
	least, most := slices.Min(kept), slices.Max(kept)
	if most < low || most <= 2*least {
		return ""
	}
	return fmt.Sprintf("bitrate between %d and %d kbit/s within a minute: set constant bitrate (OBS: Rate Control CBR; "+
		"ffmpeg: -b:v with the same -maxrate and -bufsize)", least/1000, most/1000)
}

func fallingBehind(q *quality) string {
	if !q.full() || q.pace >= slowPace || q.lag < slowLag {
		return ""
	}
	return fmt.Sprintf("the connection carries %.0f %% of what the encoder makes and is %.1f s behind: lower the "+
		"bitrate, or use a faster connection; if the encoder is overloaded lower its resolution",
		100*q.pace, q.lag.Seconds())
}

func fasterThanRealTime(q *quality) string {
	if !q.full() || q.pace <= fastPace {
		return ""
	}
	return fmt.Sprintf("media comes %.3g times as fast as it plays: send it in real time (ffmpeg: -re before -i)", q.pace)
}

func dataGaps(q *quality) string {
	if q.gaps.count == 0 || q.now-q.gaps.last > recently {
		return ""
	}
	return fmt.Sprintf("nothing came for up to %.1f s, %d times so far: check the connection, use a cable instead of "+
		"wireless, or SRT with more latency", q.gaps.longest.Seconds(), q.gaps.count)
}

func skewed(q *quality) string {
	if q.video == nil || q.audio == nil {
		return ""
	}
	if fallingBehind(q) != "" { // what holds the bytes back may hold one track back more than the other
		return ""
	}
	// Some muxers send a frame when the next one is there.
	limit := max(skewLimit, 2*q.video.meter.step, 2*q.audio.meter.step)
	skew := q.skews.median()
	late, other := "video", "audio"
	if skew < 0 {
		late, other = other, late
	}
	if by := max(skew, -skew); by > limit {
		return fmt.Sprintf("%s comes %d ms later than the %s of its time: set the encoder's sync offset to 0 and let one "+
			"device or program take both", late, by.Milliseconds(), other)
	}
	return ""
}

func missing(q *quality, kind media.Kind) string {
	silent := q.missing[kind]
	if silent == 0 {
		return ""
	}
	source := "camera or scene"
	if kind == media.Audio {
		source = "microphone or mixer"
	}
	return fmt.Sprintf("no %s came for %d s: check the %s, or take the track out of the encoder's settings",
		kind, silent/time.Second, source)
}

func jumped(q *quality) string {
	for _, s := range []*slot{q.video, q.audio} {
		if s != nil && s.meter.jumps > 0 && q.now-s.meter.jumpedAt <= recently {
			return fmt.Sprintf("the timestamps of %s jumped, %d times so far: each breaks the recording; do not change or "+
				"loop the source while live, and keep the encoder's clock steady", s.track.Name, s.meter.jumps)
		}
	}
	return ""
}

func reconfigured(q *quality) string {
	for _, s := range []*slot{q.video, q.audio} {
		if s == nil {
			continue
		}
		m := &s.meter
		if m.configs >= int64(len(m.configAt)) && q.now-m.configAt[len(m.configAt)-1] <= recently {
			return fmt.Sprintf("%s changed its configuration %d times: each interrupts players; keep resolution, profile and "+
				"frame rate as they are (switch adaptive resolution off)", s.track.Name, m.configs)
		}
	}
	return ""
}

func damaged(q *quality) string {
	if q.sum.damaged < damageLimit || q.sum.missing > 0 {
		return ""
	}
	return fmt.Sprintf("%d faults in the last 10 s, and what they hit is dropped: the loss is before this connection, "+
		"so check what feeds the encoder or relay", q.sum.damaged)
}

func notTaken(q *quality) string {
	if len(q.below.NotTaken) == 0 {
		return ""
	}
	return fmt.Sprintf("not taken: %s: leave it out or use another codec", strings.Join(q.below.NotTaken, ", "))
}

func lossy(q *quality) string {
	if ratio := q.lossRatio(); ratio > lossLimit {
		return fmt.Sprintf("%.1f %% of the packets are lost at first: lower the bitrate, use a cable instead of wireless, "+
			"and set the latency to 4 round trips or more", 100*ratio)
	}
	return ""
}

// lossRatio is the share of packets, in the last ten seconds, that were not there at first.
func (q *quality) lossRatio() float64 {
	const few = 100
	if sent := q.sum.received + q.sum.missing; sent >= few {
		return min(float64(q.sum.lost)/float64(sent), 1)
	}
	return 0
}

func packetsMissing(q *quality) string {
	if q.sum.missing == 0 {
		return ""
	}
	srt := q.below.SRT
	return fmt.Sprintf("%d packets were lost for good in the last 10 s: set the encoder's latency to %d ms or more",
		q.sum.missing, max(2*srt.LatencyMS, int64(latencyTrips*srt.RTTMS)))
}

func lowLatency(q *quality) string {
	srt := q.below.SRT
	if srt == nil || srt.RTTMS <= 0 || float64(srt.LatencyMS) >= latencyTrips*srt.RTTMS {
		return ""
	}
	return fmt.Sprintf("latency %d ms at a round trip of %.0f ms: set the encoder's latency to %.0f ms or more",
		srt.LatencyMS, srt.RTTMS, latencyTrips*srt.RTTMS)
}

func overloaded(q *quality) string {
	if q.sum.overflow == 0 {
		return ""
	}
	return fmt.Sprintf("the server dropped %d packets in the last 10 s since it did not keep up: tell its operator",
		q.sum.overflow)
}
