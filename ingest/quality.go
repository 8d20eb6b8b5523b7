package ingest

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// reviewEvery is how often a stream is judged and its report made anew.
	reviewEvery = time.Second
	// dataGap is how long nothing must come to be counted.
	dataGap = time.Second
	// burst is how much media may come over what a second holds.
	burst = 500 * time.Millisecond
	// missingAfter is how long a track may be silent while others are not.
	missingAfter = 5 * time.Second
	skewsKept    = 9
)

// quality measures how well a session's stream arrives, and says what its publisher should change. Its clock is the
// frames' arrival: it never asks for the time. A frame costs a few additions; once a second of arrivals all is summed
// up, the warnings are judged and a report is published. It is used by the session's goroutine, but for snapshot.
type quality struct {
	identity   media.IngestReport // what does not change
	maxBitrate int64              // bits per second; zero is no limit
	logger     *slog.Logger
	metrics    *metrics
	warned     func(path media.StreamPath, warning media.IngestWarning, state string)
	// transport, if set, tells of the connection below.
	transport func() media.IngestTransport
	// corrections, if the publication has them, tells of the packager's repairs by track.
	corrections func() map[string]map[string]int64

	start    time.Time     // of the first tick, the first frame's arrival mostly
	arrived  time.Duration // the last frame's, since start
	now      time.Duration // of the last review
	gaps     gapMeter
	bursts   int64
	reviews  int
	repairs  map[string]int64
	damaged  int64 // repairs that cost media
	skews    skews
	averages [6]int64 // of video, in bits per second of media, over ten seconds each
	averaged int      // averages so far

	// The second reviewed last is at index; window is how many of those before it belong to the ten seconds, and span
	// how long they were.
	seconds [qualityWindow]sessionSecond
	index   int
	window  int
	span    time.Duration
	sum     sessionSecond
	counted sessionSecond // totals at the last review
	below   media.IngestTransport

	video, audio *slot // the first of each kind that is not silent
	lag          time.Duration
	pace         float64
	missing      map[media.Kind]time.Duration // for how long a kind is silent that should not be
	corrected    map[string]map[string]int64

	alarms []alarm
	raised []string // codes of all warnings there ever were, each once

	heard     atomic.Int64 // arrival of the last frame, Unix nanoseconds
	published atomic.Pointer[media.IngestReport]
}

// gapMeter counts the times in which nothing came.
type gapMeter struct {
	count   int64
	longest time.Duration
	last    time.Duration // end of the last one, since start
}

// skews are how much later video came than audio, by second. Their median is told: a burst of one is no skew.
type skews struct {
	kept  [skewsKept]time.Duration
	count int
}

func (s *skews) add(v time.Duration) {
	s.kept[s.count%skewsKept] = v
	s.count++
}

func (s *skews) median() time.Duration {
	sorted := s.kept
	kept := sorted[:min(s.count, skewsKept)]
	if len(kept) == 0 {
		return 0
	}
	slices.Sort(kept)
	return kept[len(kept)/2]
}

// sessionSecond is what happened to a session between two reviews.
type sessionSecond struct {
	elapsed                           time.Duration
	bytes, damaged                    int64
	received, lost, missing, overflow int64 // packets of SRT
}

func newQuality(out Publication, metrics *metrics) *quality {
	q := &quality{
		metrics: metrics, logger: slog.New(slog.DiscardHandler), index: qualityWindow - 1,
		repairs: make(map[string]int64), missing: make(map[media.Kind]time.Duration), alarms: newAlarms(),
	}
	q.follow(out)
	return q
}

// follow has the corrections of a publication told.
func (q *quality) follow(out Publication) {
	if p, ok := out.(interface {
		// Repairs gives a fresh count of corrections, by track and by what they are.
		Repairs() map[string]map[string]int64
	}); ok {
		q.corrections = p.Repairs
	}
}

// begin says whose stream it is, before the first frame. The logger names it.
func (q *quality) begin(identity media.IngestReport, maxBitrate int64, logger *slog.Logger) {
	q.identity, q.maxBitrate, q.logger = identity, maxBitrate, logger
	q.heard.Store(identity.StartedAt.UnixNano())
	q.publish(nil, identity.StartedAt)
}

// promote says that a standby is live now.
func (q *quality) promote(out Publication, epoch uint64, slots []*slot) {
	q.follow(out)
	q.identity.Standby, q.identity.Epoch = false, epoch
	q.publish(slots, time.Now())
}

func (q *quality) frame(m *trackMeter, f *media.Frame) {
	if q.start.IsZero() {
		q.start = f.Wall
	}
	arrived := f.Wall.Sub(q.start)
	if gap := arrived - q.arrived; gap >= dataGap && q.identity.Frames > 0 {
		q.gaps = gapMeter{count: q.gaps.count + 1, longest: max(q.gaps.longest, gap), last: arrived}
	}
	q.arrived = max(q.arrived, arrived)
	q.identity.Frames++
	q.identity.Bytes += int64(len(f.Payload))
	q.heard.Store(f.Wall.UnixNano())
	m.frame(f, arrived)
}

func (q *quality) repaired(what string) {
	q.repairs[what]++
	switch what {
	case repairTSDamaged, repairTSContinuity, repairTSSync, repairTSPacket, string(bitstream.TornUnit):
		q.damaged++
	}
}

// tick reviews the stream once a second. Who calls it without a frame has silence judged, too.
func (l *lineup) tick(wall time.Time) {
	q := l.quality
	if q.start.IsZero() {
		q.start = wall
	}
	if wall.Sub(q.start)-q.now >= reviewEvery {
		l.review(wall)
	}
}

// review sums up what came since the last one, judges it and publishes the report.
func (l *lineup) review(wall time.Time) {
	q := l.quality
	now := wall.Sub(q.start)
	elapsed := now - q.now
	q.now = now
	q.index = (q.index + 1) % qualityWindow
	q.reviews++
	q.video, q.audio = nil, nil
	for _, s := range l.slots {
		s.meter.review(q.index, elapsed)
		if first := q.first(s.id.kind); *first == nil && s.meter.flowing {
			*first = s
		}
	}
	if q.transport != nil {
		q.below = q.transport()
	}
	if q.corrections != nil {
		q.corrected = q.corrections()
	}
	q.close(elapsed)
	q.compare(l.slots, elapsed)
	q.seek(l)
	q.judge(wall)
	q.publish(l.slots, wall)
}

func (q *quality) first(kind media.Kind) **slot {
	if kind == media.Video {
		return &q.video
	}
	return &q.audio
}

// close puts the second behind the others and sums the last ten.
func (q *quality) close(elapsed time.Duration) {
	total := sessionSecond{bytes: q.identity.Bytes, damaged: q.damaged}
	if srt := q.below.SRT; srt != nil {
		total.received, total.lost = srt.Received, srt.Lost
		total.missing, total.overflow = srt.Missing, srt.Overflow
	}
	was := q.counted
	q.counted = total
	q.seconds[q.index] = sessionSecond{
		elapsed: elapsed, bytes: total.bytes - was.bytes, damaged: total.damaged - was.damaged,
		received: total.received - was.received, lost: total.lost - was.lost,
		missing: total.missing - was.missing, overflow: total.overflow - was.overflow,
	}
	q.window, q.span, q.sum = 0, 0, sessionSecond{}
	for q.window < min(q.reviews, qualityWindow) && q.span < qualityWindow*reviewEvery {
		s := &q.seconds[(q.index-q.window+qualityWindow)%qualityWindow]
		q.span += s.elapsed
		q.sum.bytes, q.sum.damaged = q.sum.bytes+s.bytes, q.sum.damaged+s.damaged
		q.sum.received, q.sum.lost = q.sum.received+s.received, q.sum.lost+s.lost
		q.sum.missing, q.sum.overflow = q.sum.missing+s.missing, q.sum.overflow+s.overflow
		q.window++
	}
	if q.reviews%qualityWindow == 0 && q.video != nil {
		sum := q.video.meter.recent(q.index, q.window)
		q.averages[q.averaged%len(q.averages)] = bitsPerSecond(sum.bytes, sum.media)
		q.averaged++
	}
}

// compare holds the tracks' clocks against the arrivals and against each other.
func (q *quality) compare(slots []*slot, elapsed time.Duration) {
	first := true
	var second, window time.Duration
	for _, s := range slots {
		m := &s.meter
		if !m.flowing {
			continue
		}
		if first || m.lag < q.lag {
			q.lag = m.lag // a track that is late alone is skewed
		}
		first = false
		second = max(second, m.past[q.index].media)
		sum := m.recent(q.index, q.window)
		window = max(window, sum.media+sum.pause)
	}
	q.pace = window.Seconds() / q.span.Seconds()
	if q.reviews > 3 && second-elapsed > burst { // encoders begin with what they held back
		q.bursts++
	}
	if q.video == nil || q.audio == nil {
		return
	}
	// By DTS, which is what muxers interleave by: with PTS reordered pictures would look early.
	v, a := &q.video.meter, &q.audio.meter
	q.skews.add((v.delay - v.shift) - (a.delay - a.shift))
}

// seek looks for kinds of track that should come and don't.
func (q *quality) seek(l *lineup) {
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		due, last := l.announced && l.expected[kind] > 0, time.Duration(0)
		for _, s := range l.slots {
			if s.id.kind == kind {
				due, last = true, max(last, s.meter.arrived)
			}
		}
		silent := q.arrived - last // while others come
		if !due || silent < missingAfter {
			silent = 0
		}
		if q.missing[kind] = silent; silent > 0 {
			q.skews = skews{}
		}
	}
}
