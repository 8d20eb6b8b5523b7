package hls

import (
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Rate measures bit rate as segments come (MV-1, MV-6). The peak is that of the densest run of consecutive segments
// that lasts half to one and a half target durations (d§4.1), and never falls once there was one. A segment costs as
// many steps as such a run has segments.
type Rate struct {
	// Target is the target duration.
	Target time.Duration

	bytes   int64
	time    time.Duration
	peak    int64
	longest int64 // the densest single segment, for want of a run
	run     []stretch
	inRun   stretch
}

type stretch struct {
	bytes int64
	time  time.Duration
}

// Add takes the next segment in.
func (m *Rate) Add(bytes int64, d time.Duration) {
	if d <= 0 {
		return
	}
	m.bytes, m.time = m.bytes+bytes, m.time+d
	m.run = append(m.run, stretch{bytes, d})
	m.inRun.bytes, m.inRun.time = m.inRun.bytes+bytes, m.inRun.time+d
	drop := 0
	for ; drop < len(m.run)-1 && m.inRun.time > m.Target*3/2; drop++ {
		m.inRun.bytes, m.inRun.time = m.inRun.bytes-m.run[drop].bytes, m.inRun.time-m.run[drop].time
	}
	m.run = slices.Delete(m.run, 0, drop)
	// All runs that end here: the whole one, and its ends that are still long enough.
	left := m.inRun
	for i := 0; i < len(m.run) && left.time >= m.Target/2; i++ {
		m.peak = max(m.peak, bitRate(left.bytes, left.time))
		left.bytes, left.time = left.bytes-m.run[i].bytes, left.time-m.run[i].time
	}
	m.longest = max(m.longest, bitRate(bytes, d))
}

// Gap says that a segment is missing: no run reaches over it.
func (m *Rate) Gap() { m.run, m.inRun = m.run[:0], stretch{} }

// Peak is in bits per second, rounded up; zero before the first segment. As long as no run is long enough it is the
// densest segment's.
func (m *Rate) Peak() int64 {
	if m.peak == 0 {
		return m.longest
	}
	return m.peak
}

// Average is in bits per second, rounded up.
func (m *Rate) Average() int64 { return bitRate(m.bytes, m.time) }

func bitRate(bytes int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(8*bytes)/d.Seconds() + 0.999)
}

// Duration is that of all segments.
func (m *Rate) Duration() time.Duration { return m.time }

// AddIFrames takes a segment's random access points in, of which an I-frame playlist lists each until the next one, or
// the segment's end (IFR-1).
func (m *Rate) AddIFrames(seg *media.Segment, timescale int64) {
	for i := range seg.IFrames {
		f := &seg.IFrames[i]
		end := seg.Duration
		if i+1 < len(seg.IFrames) {
			end = int64(seg.IFrames[i+1].Time)
		}
		m.Add(int64(f.Size), media.Duration(end-int64(f.Time), timescale))
	}
}
