package packager

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Show is a recording that grows: what its playlists say, and the bytes of its newest parts. Snapshot and Part may be
// called from anywhere; the rest belongs to the stream's lock.
type Show struct {
	id       media.RecordingID
	path     media.StreamPath
	settings media.Settings
	// windowFrom is the segment that no sliding playlist begins before.
	windowFrom media.MSN
	constants  media.Constants
	continues  media.RecordingID
	startedAt  time.Time
	// limit bounds the bytes of parts.
	limit int64

	logger  *slog.Logger
	metrics *metrics
	memory  *memory
	version atomic.Pointer[version]

	recorder *recorder
	// lost: this node has the recording no longer, so nothing more is told of it.
	lost       atomic.Bool
	state      media.State
	endedAt    time.Time
	takes      []media.Take
	renditions []*rendition
	rate       rateMeter
	repairs    repairs // the publication's
	timeline   timeline
	// dependent is set by the first segment that begins without an IDR; it is never taken back.
	dependent bool
	// lead is the rendition that leads the newest take.
	lead int
	// listedAt is when the last segment was listed.
	listedAt time.Time
	// plan is the last take's idea of a GOP, with which the next one begins.
	plan layout
}

// version is one snapshot and the channel that its successor closes.
type version struct {
	snap *hls.Snapshot
	next chan struct{}
}

// rendition is one track's side of a show.
type rendition struct {
	name     string
	kind     media.Kind
	segments []media.Segment
	parts    [][]media.Part // of the last len(parts) segments
	open     *openSegment   // nil between takes
	rate     rateMeter
	iframes  rateMeter // random access points alone
}

func (r *rendition) last() media.MSN { return media.MSN(len(r.segments)) }

// openSegment is a segment being written.
type openSegment struct {
	hls.OpenSegment
	dts       int64
	timescale int64
	size      int64 // bytes of all parts
	duration  int64 // of all parts
	iframes   []media.IFrame
	unlisted  bool // not all parts are listed
	dropped   bool // not all parts were handed to the recorder
}

// newShow makes a show without takes. log may be nil: then nothing is recorded. limit bounds the bytes of parts, those
// that viewers are served from and those that wait for storage.
func newShow(m *reclog.Manifest, log showLog, limit int64, logger *slog.Logger, metrics *metrics) *Show {
	s := &Show{
		id: m.ID, path: m.Path(), settings: m.Settings, constants: m.Constants, continues: m.Continues,
		startedAt: m.StartedAt, windowFrom: m.WindowFrom, state: m.State, metrics: metrics, listedAt: time.Now(),
		limit:  limit,
		logger: logger.With("publisher", m.Publisher, "stream", m.Stream, "recording", string(m.ID)),
	}
	s.recorder = newRecorder(s, log, limit/queueShare)
	s.timeline.seen, s.timeline.captions = m.Captions, media.CaptionsOf(m.Settings.Captions, m.Captions)
	s.rate = newRateMeter(m.Constants.TargetDuration)
	s.version.Store(&version{next: make(chan struct{})})
	return s
}

// setTracks makes the renditions. Every take of a recording has the same tracks.
func (s *Show) setTracks(tracks []media.Track) {
	names := make([]string, len(tracks))
	for i, t := range tracks {
		names[i] = t.Name
		s.renditions = append(s.renditions, &rendition{
			name: t.Name, kind: t.Kind, rate: newRateMeter(s.constants.TargetDuration),
			iframes: newRateMeter(s.constants.TargetDuration),
		})
	}
	// As far back as playlists list parts. Who watches at HOLD-BACK, and takes a target duration to load, is then still
	// served when the volume stalls.
	s.memory = newMemory(names, 4*s.constants.TargetDuration, s.limit-s.limit/queueShare)
}

// ID is the recording's.
func (s *Show) ID() media.RecordingID { return s.id }

// Snapshot gives the newest version and a channel that is closed when there is a newer one. The snapshot is nil until
// every track has a segment.
func (s *Show) Snapshot() (*hls.Snapshot, <-chan struct{}) {
	v := s.version.Load()
	return v.snap, v.next
}

// Part gives a part's bytes if they are still in memory. They are never written again. Part 0 of MSN 0 is the init
// section of the take.
func (s *Show) Part(take int, track string, msn media.MSN, index int) ([]byte, bool) {
	return s.memory.part(take, track, msn, index)
}

// nextMSN is that of the next take's first segment: all renditions end with the same segment between takes.
func (s *Show) nextMSN() media.MSN { return s.renditions[0].last() + 1 }

// end is the media time that the show reaches, all tracks and fillers counted.
func (s *Show) end() time.Duration {
	var end time.Duration
	for _, r := range s.renditions {
		if n := len(r.segments); n > 0 {
			seg := &r.segments[n-1]
			end = max(end, media.Duration(seg.DTS+seg.Duration, s.timescale(seg.Take, r.name)))
		}
	}
	return end
}

func (s *Show) timescale(take int, track string) int64 {
	for i := len(s.takes) - 1; i >= 0; i-- {
		if s.takes[i].Number == take {
			t, _ := s.takes[i].Track(track)
			return t.Timescale
		}
	}
	panic(fmt.Sprintf("BUG: no take %d of track %s", take, track))
}

// beginTake opens the next take. base is its media time, wall the arrival of what is there first.
func (s *Show) beginTake(formats []*format, epoch uint64, base time.Duration, wall time.Time) error {
	take := media.Take{Number: 1, Epoch: epoch, StartedAt: wall.UTC(), FirstMSN: s.nextMSN()}
	// Media time and date advance together in a take, and dates never go back from one to the next (PDT-2).
	take.Anchor = wall.Add(-base).Round(time.Millisecond).UTC()
	if n := len(s.takes); n > 0 {
		last := &s.takes[n-1]
		take.Number = last.Number + 1
		if end := last.Anchor.Add(s.end()); take.Anchor.Add(base).Before(end) {
			take.Anchor = end.Add(-base).Truncate(time.Millisecond).Add(time.Millisecond)
		}
	}
	inits := make([][]byte, len(formats))
	for i, f := range formats {
		inits[i] = appendInit(nil, f)
		track := f.track
		track.InitSize = int64(len(inits[i]))
		take.Tracks = append(take.Tracks, track)
	}
	if err := s.recorder.startTake(take, inits); err != nil {
		return err
	}
	takes := make([]media.Take, len(s.takes), len(s.takes)+1) // snapshots hold the old slice
	copy(takes, s.takes)
	s.takes = append(takes, take)
	// hls.js 1.7 hangs now and then if the parts begin behind a whole segment that it has not loaded yet: it loads them
	// first and goes back. So the parts go on over the discontinuity, unless the setting says otherwise.
	whole := take.Number > 1 && s.settings.WholeAfterDiscontinuity
	for i := range s.renditions {
		s.memory.init(i, take.Number, inits[i])
		s.open(i, media.Ticks(base, take.Tracks[i].Timescale), whole)
	}
	s.metrics.takes.Inc()
	s.logger.Info("take began", "take", take.Number, "msn", int64(take.FirstMSN))
	return nil
}

// open begins the next segment of a rendition.
func (s *Show) open(index int, dts int64, whole bool) {
	r := s.renditions[index]
	take := &s.takes[len(s.takes)-1]
	timescale := take.Tracks[index].Timescale
	r.open = &openSegment{
		OpenSegment: hls.OpenSegment{
			MSN: r.last() + 1, Take: take.Number, Date: dateOf(take, dts, timescale),
			Whole: whole || s.constants.PartTarget == 0,
		},
		dts: dts, timescale: timescale,
	}
	s.memory.open(index, take.Number, r.open.MSN)
}

// dateOf maps media time to the wall clock: presentation and decode time are equal where segments begin (PDT-4,
// CMF-19).
func dateOf(take *media.Take, dts, timescale int64) time.Time {
	return take.Anchor.Add(media.Duration(dts, timescale)).Round(time.Millisecond)
}

// beginSegment tells where the open segment's first sample is. Only a take's first segment may differ from what open
// supposed, by less than an audio unit.
func (s *Show) beginSegment(index int, dts int64) {
	o := s.renditions[index].open
	if o.dts != dts {
		o.dts = dts
		o.Date = dateOf(&s.takes[len(s.takes)-1], dts, o.timescale)
	}
}

// addPart takes a finished part: onto storage, into memory, then into what publish shows. data is never written again.
func (s *Show) addPart(index int, data []byte, part media.Part, listed bool) {
	r := s.renditions[index]
	o := r.open
	listed = listed && !o.unlisted && !o.Whole
	part.Offset = s.recorder.appendPart(index, o, data, listed)
	if s.recorder.fenced.Load() {
		s.lose()
		return
	}
	part.Size = int64(len(data))
	if part.Head > 0 && len(o.iframes) < reclog.MaxIFrames && max(o.duration, o.size, part.Head) <= math.MaxUint32 {
		o.iframes = append(o.iframes, media.IFrame{
			Time: uint32(o.duration), Offset: uint32(o.size), Size: uint32(part.Head),
		})
	}
	o.size += part.Size
	o.duration += part.Duration
	s.memory.add(index, data)
	s.metrics.part(r.kind, len(data))
	if !listed {
		o.unlisted = true
		return
	}
	o.Parts = append(o.Parts, part)
	o.Full = false
}

// fill says that the open segment's last part is thought to have come.
func (s *Show) fill(index int) { s.renditions[index].open.Full = true }

// finishSegment lists the open segment of a rendition and opens the next.
func (s *Show) finishSegment(index int, duration int64, sync bool) {
	r := s.renditions[index]
	o := r.open
	seg := media.Segment{
		MSN: o.MSN, Take: o.Take, DTS: o.dts, Duration: duration, Size: o.size, Date: o.Date, Sync: sync,
		IFrames: o.iframes,
	}
	seg.Offset = s.recorder.finishSegment(index, seg)
	r.segments = append(r.segments, seg)
	parts := o.Parts
	if o.unlisted {
		parts = nil
	}
	s.keepParts(r, parts)
	s.memory.finish(index, media.Duration(duration, o.timescale), seg.Offset < 0, s.settings.DVRWindow.D())
	s.metrics.segment(r.kind)
	if r.kind == media.Video && !sync && index == s.lead {
		s.forcedCut(seg.MSN)
	}
	s.open(index, seg.DTS+seg.Duration, false)
	s.listed(index)
}

func (s *Show) forcedCut(msn media.MSN) {
	s.metrics.dependent.Inc()
	if s.dependent {
		return
	}
	s.dependent = true
	s.logger.Warn("segment begins without a key frame: joining players wait; the publisher is late, or its GOP long",
		"msn", int64(msn))
}

// listed follows a segment's listing: measures, times, publishes.
func (s *Show) listed(index int) {
	if index == s.lead {
		s.listedAt = time.Now()
	}
	s.measure()
	s.publish()
}

// keepParts keeps the parts of segments for four target durations, of which playlists show three.
func (s *Show) keepParts(r *rendition, parts []media.Part) {
	r.parts = append(r.parts, parts)
	var age time.Duration
	keep := 0
	for i := len(r.segments) - 1; i >= 0 && keep < len(r.parts) && age < 4*s.constants.TargetDuration; i-- {
		seg := &r.segments[i]
		age += media.Duration(seg.Duration, s.timescale(seg.Take, r.name))
		keep++
	}
	r.parts = r.parts[len(r.parts)-keep:]
}

// endTake closes the take on storage; players see no open segment until the next.
func (s *Show) endTake() {
	for _, r := range s.renditions {
		r.open = nil
	}
	s.recorder.seal()
	s.publish()
}

// settle tells where segments are that were listed before storage had them.
func (s *Show) settle() {
	list := s.recorder.takeSettled()
	if len(list) == 0 {
		return
	}
	copied := make([]bool, len(s.renditions))
	for _, x := range list {
		r, i := s.renditions[x.track], int(x.msn)-1
		if i >= len(r.segments) || r.segments[i].Take != x.take || r.segments[i].Offset >= 0 {
			continue
		}
		if !copied[x.track] { // snapshots hold the old slice
			r.segments, copied[x.track] = slices.Clone(r.segments), true
		}
		r.segments[i].Offset = x.offset
		s.memory.found(x.track, x.msn)
	}
	if slices.Contains(copied, true) {
		s.publish()
	}
}

// setState changes the recording's state on storage and then for players. then, if it is not nil, is called from
// anywhere when storage has the state, or can't have it.
func (s *Show) setState(state media.State, at time.Time, then func()) {
	if s.state == state {
		return
	}
	s.state = state
	if state == media.Ended {
		s.endedAt = at.UTC()
	}
	s.recorder.setState(state, s.endedAt, then)
	s.publish()
}

// publish makes a new version, once every track has a segment.
func (s *Show) publish() {
	if s.recorder.fenced.Load() {
		s.lose() // what came since is in a recording that another process has
	}
	if s.lost.Load() {
		return
	}
	for _, r := range s.renditions {
		if len(r.segments) == 0 {
			return
		}
	}
	snap := &hls.Snapshot{
		State: s.state, Constants: s.constants, Window: s.settings.DVRWindow.D(), First: s.windowFrom, Takes: s.takes,
		Renditions: make([]hls.Rendition, len(s.renditions)), Independent: !s.dependent,
		Metadata: s.Metadata(), Subtitles: s.settings.Subtitles, Captions: s.timeline.captions,
	}
	snap.Bandwidth, snap.AverageBandwidth = s.rate.tell()
	for i, r := range s.renditions {
		snap.Renditions[i] = hls.Rendition{
			Name: r.name, Segments: r.segments, Parts: r.parts,
		}
		snap.Renditions[i].Bandwidth, snap.Renditions[i].AverageBandwidth = r.rate.tell()
		snap.Renditions[i].IFrameBandwidth, snap.Renditions[i].IFrameAverageBandwidth = r.iframes.tell()
		if r.open != nil && s.state == media.Live {
			open := r.open.OpenSegment
			snap.Renditions[i].Open = &open
		}
	}
	old := s.version.Load()
	if s.lost.Load() || !s.version.CompareAndSwap(old, &version{snap: snap, next: make(chan struct{})}) {
		return // lost meanwhile
	}
	close(old.next)
}
