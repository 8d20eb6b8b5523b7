package ingest

import (
	"math"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// qualityWindow is the number of reviews that averages are of.
	qualityWindow = 10
	// jumpLimit is how far a timestamp may be from where it should be before it counts as a jump.
	jumpLimit = time.Second
	// clockDrift is what an encoder's clock may differ from ours, as a divisor: what is slower is lag.
	clockDrift = 2000
	// intervalsKept is the number of key-frame intervals that are compared.
	intervalsKept = 8
	decadesKept   = 6 // ten seconds each
)

// trackMeter measures how one track arrives. Times of arrival count from the session's first frame.
type trackMeter struct {
	frames, bytes int64
	now           trackSecond
	past          [qualityWindow]trackSecond

	dts, arrived time.Duration // the last frame's
	step         time.Duration // between frames, smoothed
	jitter       time.Duration
	jumps        int64
	backward     int64
	jumpedAt     time.Duration
	configs      int64
	configAt     [3]time.Duration // arrival of the last changes, newest first

	// delay is arrival minus DTS plus shift, the least since the last review: a muxer that sends several frames at once
	// does not make it late. What it is of itself means nothing, its changes do.
	delay   time.Duration
	shift   time.Duration // the sum of the jumps
	best    time.Duration // the least delay; it follows the drift of clocks
	lag     time.Duration
	settled bool // best and lag are known
	flowing bool // frames came before the last review

	keys keyMeter
}

// trackSecond is what came between two reviews.
type trackSecond struct {
	bytes, frames int64
	media         time.Duration // by which the track's clock went on, jumps left out
	pause         time.Duration // the same, while it was away
	steps         int64         // of which media is the sum
	uneven        int64         // of those, the ones that are too short or too long
}

func (s *trackSecond) add(o trackSecond) {
	s.bytes, s.frames = s.bytes+o.bytes, s.frames+o.frames
	s.media, s.pause = s.media+o.media, s.pause+o.pause
	s.steps, s.uneven = s.steps+o.steps, s.uneven+o.uneven
}

// fps is in frames per second of media.
func (s trackSecond) fps() float64 {
	if s.media <= 0 {
		return 0
	}
	return float64(s.steps) / s.media.Seconds()
}

func (s trackSecond) unevenRatio() float64 { return float64(s.uneven) / float64(max(s.steps, 1)) }

func (m *trackMeter) frame(f *media.Frame, arrived time.Duration) {
	if m.frames > 0 {
		m.follow(f.DTS-m.dts, arrived-m.arrived)
	}
	delay := arrived - f.DTS + m.shift
	if m.now.frames == 0 || delay < m.delay {
		m.delay = delay
	}
	m.frames++
	m.bytes += int64(len(f.Payload))
	m.now.frames++
	m.now.bytes += int64(len(f.Payload))
	m.dts, m.arrived = f.DTS, arrived
	m.keys.frame(f, arrived)
}

// follow looks at the step from the last frame's DTS to this one's, and from arrival to arrival.
func (m *trackMeter) follow(step, wait time.Duration) {
	if step < 0 {
		m.backward++
	}
	if step < -jumpLimit || step-max(wait, m.step) > jumpLimit {
		m.jumps++
		m.jumpedAt = m.arrived + wait
		m.shift += step - m.step
		m.keys.running = false
		return
	}
	if step > jumpLimit { // it comes back as much later as it was away
		m.now.pause += step
		m.keys.running = false
		return
	}
	m.now.steps++
	m.now.media += step
	if m.step > 0 && (step < m.step/2 || step > m.step*3/2) {
		m.now.uneven++
	}
	if m.step == 0 {
		m.step = max(step, 0)
	} else {
		m.step += (min(max(step, 0), 4*m.step) - m.step) / 16
	}
	m.jitter += (max(wait-step, step-wait) - m.jitter) / 16
}

// review closes a second: elapsed is how long it was, at its index in past.
func (m *trackMeter) review(index int, elapsed time.Duration) {
	m.flowing = m.now.frames > 0
	m.now.pause = min(m.now.pause, elapsed) // the rest was before, while others came
	m.past[index], m.now = m.now, trackSecond{}
	if !m.flowing {
		return
	}
	if !m.settled || m.delay < m.best {
		m.best, m.settled = m.delay, true
	}
	m.best += min(m.delay-m.best, elapsed/clockDrift)
	m.lag = m.delay - m.best
}

// recent sums the last n seconds up to the index.
func (m *trackMeter) recent(index, n int) trackSecond {
	var sum trackSecond
	for i := range n {
		sum.add(m.past[(index-i+qualityWindow)%qualityWindow])
	}
	return sum
}

func (m *trackMeter) configured(at time.Duration) {
	if m.frames == 0 {
		return // its first
	}
	m.configs++
	copy(m.configAt[1:], m.configAt[:])
	m.configAt[0] = at
}

// keyMeter measures how far random access points are apart.
type keyMeter struct {
	count     int64
	running   bool          // no jump or pause came since the last frame
	keyed     bool          // since is a random access point's
	since     time.Duration // DTS
	frames    int64         // since then
	dts       time.Duration // the last frame's
	last      keyInterval
	intervals [intervalsKept]time.Duration
	kept      int // intervals so far
	longest   [decadesKept]struct {
		decade int64
		keyInterval
	}
}

type keyInterval struct {
	media  time.Duration
	frames int64
}

func (k *keyMeter) frame(f *media.Frame, arrived time.Duration) {
	k.dts = f.DTS
	if !k.running {
		k.running, k.keyed, k.since, k.frames = true, false, f.DTS, 0
	}
	if !f.Sync && !f.Recovery {
		k.frames++
		return
	}
	if k.keyed {
		k.last = keyInterval{media: f.DTS - k.since, frames: k.frames}
		k.intervals[k.kept%intervalsKept] = k.last.media
		k.kept++
		decade := decadeOf(arrived)
		slot := &k.longest[decade%decadesKept]
		if slot.decade != decade {
			slot.decade, slot.keyInterval = decade, keyInterval{}
		}
		slot.media, slot.frames = max(slot.media, k.last.media), max(slot.frames, k.last.frames)
	}
	k.count++
	k.keyed, k.since, k.frames = true, f.DTS, 1
}

func decadeOf(arrived time.Duration) int64 { return int64(max(arrived, 0)/(10*time.Second)) + 1 }

// current gives the interval under way, or what came without any random access point.
func (k *keyMeter) current() keyInterval {
	return keyInterval{media: k.dts - k.since, frames: k.frames}
}

// max gives the longest interval of the last minute.
func (k *keyMeter) max(now time.Duration) keyInterval {
	most := k.current()
	for _, s := range k.longest {
		if s.decade > decadeOf(now)-decadesKept && s.decade > 0 {
			most.media, most.frames = max(most.media, s.media), max(most.frames, s.frames)
		}
	}
	return most
}

// uneven counts the kept intervals that differ from their median by more than a quarter.
func (k *keyMeter) uneven() (count, of int) {
	of = min(k.kept, intervalsKept)
	if of < 3 {
		return 0, of
	}
	sorted := k.intervals
	slices.Sort(sorted[:of])
	median := sorted[of/2]
	for _, v := range sorted[:of] {
		if max(v-median, median-v) > median/4 {
			count++
		}
	}
	return count, of
}

func (m *trackMeter) report(s *slot, q *quality) media.IngestTrack {
	sum := m.recent(q.index, q.window)
	t := media.IngestTrack{
		Name: s.track.Name, Kind: s.track.Kind, Codec: s.track.Codec, Width: s.track.Width, Height: s.track.Height,
		Bytes: m.bytes, Frames: m.frames,
		BitrateBPS:    bitsPerSecond(m.past[q.index].bytes, q.seconds[q.index].elapsed),
		Bitrate10sBPS: bitsPerSecond(sum.bytes, q.span),
		LagMS:         m.lag.Milliseconds(), JitterMS: round(float64(m.jitter)/float64(time.Millisecond), 10),
		TimestampJumps: m.jumps, TimestampsBackward: m.backward, ConfigChanges: m.configs,
		Repairs: q.corrected[s.track.Name],
	}
	t.FPS, t.UnevenRatio = round(sum.fps(), 100), round(sum.unevenRatio(), 1000)
	if t.Kind != media.Video {
		return t
	}
	most := m.keys.max(q.now)
	count, of := m.keys.uneven()
	t.KeyFrames = &media.KeyFrameReport{
		Count:       m.keys.count,
		IntervalSec: round(m.keys.last.media.Seconds(), 1000), IntervalFrames: m.keys.last.frames,
		MaxSec: round(most.media.Seconds(), 1000), MaxFrames: most.frames,
		UnevenRatio: round(float64(count)/float64(max(of, 1)), 1000),
	}
	return t
}

func bitsPerSecond(bytes int64, elapsed time.Duration) int64 {
	if elapsed <= 0 {
		return 0
	}
	return int64(float64(bytes) * 8 / elapsed.Seconds())
}

// round keeps 1/parts.
func round(v, parts float64) float64 { return math.Round(v*parts) / parts }
