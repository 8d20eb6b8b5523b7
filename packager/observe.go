package packager

import (
	"bytes"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// absentAfter is how long an announced track is waited for (MV-2), and how long a stream is searched for a
	// random access point before a recovery point may begin it.
	absentAfter = 2 * time.Second
	// longestGOP is how long the end of the first GOP is waited for: 250 frames at 24 Hz, the encoders' usual default.
	longestGOP = 10500 * time.Millisecond
	// maxObserved bounds the bytes of frames that wait.
	maxObserved = 64 << 20
	// earlyAudio is how much audio is kept that came before the first picture: interleaving may put it first.
	earlyAudio = 3 * time.Second
	// alignLeast is how late beside the others a first stamp of sound must be to be wrong.
	alignLeast = 8 * time.Millisecond
)

// observer holds a connection's frames until a take can begin with them: until there is a frame to begin with, and
// for a new recording until its tracks and GOPs are known.
type observer struct {
	frames []media.Frame // copies
	bytes  int
	began  time.Time
	seen   []bool // by the publication's track
	low    time.Duration
	high   time.Duration // the span of stamps

	units [][]byte // by track: the first unit of audio

	start int // index of the frame that the take begins with; -1 if it has not come
	// lead is that frame's track: the first of video that has a random access point. What follows is of it.
	lead int
	// prefer is the track that shall, though others come before it; below zero there is none.
	prefer int
	idrs   []time.Duration // DTS of the random access points from start on
	// recoveries are the DTS of the recovery points behind start.
	recoveries []time.Duration
	last       time.Duration // DTS of the last video frame
}

func newObserver(tracks int, now time.Time) *observer {
	return &observer{seen: make([]bool, tracks), units: make([][]byte, tracks), began: now, start: -1, prefer: -1}
}

// add copies a frame. now is the local clock.
func (o *observer) add(f *media.Frame, kind media.Kind, now time.Time) {
	if !o.anySeen() {
		o.began, o.low, o.high = now, f.DTS, f.DTS
	}
	o.seen[f.Track] = true
	o.low, o.high = min(o.low, f.DTS), max(o.high, f.DTS)
	if kind == media.Video {
		switch begins := f.Sync || (f.Recovery && o.waited(now)); {
		case begins && (o.start < 0 || o.before(f.Track, o.lead)):
			o.start, o.lead, o.idrs, o.recoveries = len(o.frames), f.Track, nil, nil
		case o.start < 0:
			return
		}
		if f.Track == o.lead {
			o.last = f.DTS
			switch {
			case f.Sync:
				o.idrs = append(o.idrs, f.DTS)
			case f.Recovery:
				o.recoveries = append(o.recoveries, f.DTS)
			}
		}
	}
	held := *f
	held.Payload = bytes.Clone(f.Payload)
	o.frames = append(o.frames, held)
	if kind == media.Audio && o.units[f.Track] == nil {
		o.units[f.Track] = held.Payload
	}
	o.bytes += len(f.Payload)
	if o.start < 0 {
		o.prune(f.DTS - earlyAudio)
	}
}

// before says that one track is to lead rather than another.
func (o *observer) before(track, other int) bool {
	if track == o.prefer || other == o.prefer {
		return track != other && track == o.prefer
	}
	return track < other
}

// prune forgets audio from before a time.
func (o *observer) prune(before time.Duration) {
	drop := 0
	for drop < len(o.frames)-1 && (o.frames[drop].DTS < before || o.bytes > maxObserved/8) {
		o.bytes -= len(o.frames[drop].Payload)
		drop++
	}
	o.frames = o.frames[drop:]
}

func (o *observer) anySeen() bool {
	for _, seen := range o.seen {
		if seen {
			return true
		}
	}
	return false
}

func (o *observer) allSeen() bool {
	for _, seen := range o.seen {
		if !seen {
			return false
		}
	}
	return true
}

// waited says that a track which has not come is absent.
func (o *observer) waited(now time.Time) bool {
	return now.Sub(o.began) >= absentAfter || o.high-o.low >= absentAfter
}

// gopsKnown says that the first GOPs have told enough for a segment of at least the wanted length.
func (o *observer) gopsKnown(least time.Duration) bool {
	span := o.last - o.frames[o.start].DTS
	if span >= longestGOP || o.bytes > maxObserved {
		return true
	}
	n := len(o.idrs)
	if n == 0 || (n == 1 && len(o.recoveries) > 0) {
		return span >= least-roundingSlack // intra refresh: no GOP will end
	}
	return n >= 2 && o.idrs[n-1]-o.idrs[0] >= least-roundingSlack
}

// result sums up the video that was seen.
func (o *observer) result() observed {
	var r observed
	if o.start < 0 {
		return r
	}
	points := o.idrs
	if len(points) < 2 { // segments end at recovery points then
		points = append(points[:len(points):len(points)], o.recoveries...)
		slices.Sort(points)
	}
	for i := 1; i < len(points); i++ {
		r.gop = max(r.gop, points[i]-points[i-1])
	}
	for i := o.start; i < len(o.frames); i++ {
		if f := &o.frames[i]; f.Track == o.lead {
			r.stamps = append(r.stamps, f.DTS)
		}
	}
	return r
}

// frameTime is the usual distance of a video track's frames; zero if it is unknown.
func (o *observer) frameTime(track int) time.Duration {
	var r observed
	for i := range o.frames {
		if f := &o.frames[i]; f.Track == track {
			r.stamps = append(r.stamps, f.DTS)
		}
	}
	return r.frame()
}

// plan lays out the first GOP, which has been seen.
func (o *observer) plan(r rules) layout {
	var m gopMeter
	if o.start < 0 {
		return m.layout
	}
	first := o.frames[o.start].DTS
	for i := o.start; i < len(o.frames); i++ {
		if f := &o.frames[i]; f.Track == o.lead {
			m.add(media.Ticks(f.DTS-first, videoTimescale), f.Sync, r.part, r.floor)
			if m.layout.gop > 0 {
				break
			}
		}
	}
	return m.layout
}

// ready says that a take can begin with the formats, which are those of the tracks that have come, or of a known show.
// A new recording waits for the announced tracks and for the first GOPs; a known one only for a frame to begin with.
// lead is the track that must lead.
func (o *observer) ready(formats []*format, lead int, known bool, s media.Settings, now time.Time, final bool) bool {
	if len(formats) == 0 || len(o.frames) == 0 {
		return false
	}
	video := formats[0].track.Kind == media.Video
	if video && (o.start < 0 || o.lead != lead) {
		if o.bytes > maxObserved {
			o.frames, o.bytes, o.start, o.idrs, o.recoveries = nil, 0, -1, nil, nil
		}
		return false
	}
	if known || final {
		return true
	}
	if !o.allSeen() && !o.waited(now) {
		return false
	}
	if !video {
		return true
	}
	least := s.SegmentDuration.D()
	if s.Latency == media.LatencyStandard {
		least = max(least, standardSegment)
	}
	return o.gopsKnown(least)
}

// align corrects the first stamps of a track of sound by those that follow. A stamp that is late beside what follows it
// is wrong, whatever was lost between the two, and the track would begin late there: GStreamer's flvmux sends 0, 0, 21,
// 43, and under load 0, 0, 21, 200, 200, 266, 266, until its sound has caught up with its pictures.
func (o *observer) align(track int, f *format) {
	var list [2 * maxOffsets]*media.Frame
	units := list[:0]
	for i := range o.frames {
		if f := &o.frames[i]; f.Track == track && len(units) < len(list) {
			units = append(units, f)
		}
	}
	unit := f.unitTime()
	past := newOffsets(f.unit, f.track.Timescale)
	past.stride = 1
	for i, u := range units {
		past.add(media.Ticks(u.PTS-time.Duration(i)*unit, f.track.Timescale))
	}
	now, recent, noise, ok := past.trend() // of the last ones
	drift := 4 * (now - recent)
	if !ok || abs(drift) > f.unit/16*int64(past.count) {
		return
	}
	least := alignLeast + media.Duration(2*noise, f.track.Timescale)
	for i, u := range units {
		line := now - drift*int64(len(units)-1-i)/int64(past.count)
		at := media.Duration(line, f.track.Timescale) + time.Duration(i)*unit
		if u.PTS-at > least {
			u.DTS, u.PTS = at, at
		}
	}
}

// first is the frame that the take begins with.
func (o *observer) first() *media.Frame { return &o.frames[max(o.start, 0)] }
