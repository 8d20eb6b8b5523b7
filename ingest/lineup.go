package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of what is held while more tracks are awaited, and of tracks.
const (
	maxHeldBytes  = 16 << 20
	maxHeldFrames = 512
	// maxTracksOfKind bounds the tracks of one kind of a connection.
	maxTracksOfKind = 8
)

// sink takes what a protocol's demuxer finds. It is the seam between the protocols and the publishing session: a
// protocol knows nothing of tracks' order, takes or the packager.
type sink interface {
	// announce says how many tracks of each kind the metadata promises. It may be wrong, and need not be called.
	announce(video, audio int)
	// configure gives a track's decoder configuration, in the form of media.Track: Codec, Config, Unit and what is known
	// of Language, Label, Width and Height are set. The bytes are copied.
	configure(id trackID, track media.Track) error
	// remove says that a track is no longer part of the stream.
	remove(id trackID)
	// write gives a frame; its Track is set here. An error ends the connection.
	write(id trackID, frame *media.Frame) error
	// metadata gives a piece of timed metadata; captions as cc_data in the order of decoding.
	metadata(m *media.TimedMetadata) error
	// repaired counts a fault that was passed over.
	repaired(what string)
}

// trackID names a track of a connection: its kind, and its number among its kind as the protocol counts them, from 0.
type trackID struct {
	kind   media.Kind
	number int
}

// name is the track's file and URL name.
func (id trackID) name() string {
	if id.number == 0 {
		return string(id.kind)
	}
	return string(id.kind) + strconv.Itoa(id.number+1)
}

// lineup decides when a connection's tracks are announced to the publication, and in which order: video, then audio,
// each by number.
//
// The first frames are held until all tracks that the metadata announced have their configuration, or TrackWait is
// over. Without metadata one track of both kinds is awaited. A track or a configuration that comes later sets the
// tracks anew.
type lineup struct {
	cfg     Config
	out     Publication
	metrics *metrics

	slots     []*slot // video before audio, by number; configured ones only
	expected  map[media.Kind]int
	announced bool // the metadata named tracks
	published bool // SetTracks was called
	changed   bool // and must be called again before the next frame
	held      []heldFrame
	heldBytes int
	orphan    time.Time // when a frame first came without any configuration

	frames   int64
	bytes    int64
	quality  *quality
	captions bitstream.CaptionScan
	standby  *standby // is out, until it takes over; then nil
}

// slot is one configured track.
type slot struct {
	id       trackID
	track    media.Track
	index    int // in the tracks set last
	counters kindCounters
	meter    trackMeter
}

type heldFrame struct {
	slot  *slot
	frame media.Frame
}

func newLineup(cfg Config, out Publication, metrics *metrics) lineup {
	l := lineup{
		cfg: cfg, out: out, metrics: metrics, expected: map[media.Kind]int{media.Video: 1, media.Audio: 1},
		quality: newQuality(out, metrics),
	}
	l.quality.warned = cfg.Warned
	return l
}

// slot finds a track's; nil if it is not configured.
func (l *lineup) slot(id trackID) *slot {
	for _, s := range l.slots {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (l *lineup) repaired(what string) {
	l.metrics.repairs.WithLabelValues(what).Inc()
	l.quality.repaired(what)
}

func (l *lineup) announce(video, audio int) {
	if video < 1 && audio < 1 {
		return
	}
	l.announced = true
	l.expected[media.Video] = min(video, maxTracksOfKind)
	l.expected[media.Audio] = min(audio, maxTracksOfKind)
}

func (l *lineup) configure(id trackID, track media.Track) error {
	if id.number < 0 || id.number >= maxTracksOfKind {
		return fmt.Errorf("%w: %s track %d: use tracks 0 to %d", media.ErrUnsupported, id.kind, id.number, maxTracksOfKind-1)
	}
	track.Name, track.Kind = id.name(), id.kind
	s := l.slot(id)
	if s == nil {
		s = &slot{id: id, counters: l.metrics.kind(id.kind)}
		at, _ := slices.BinarySearchFunc(l.slots, id, func(s *slot, id trackID) int {
			// "video" is after "audio" in the alphabet, and first here.
			return cmp.Or(cmp.Compare(id.kind, s.id.kind), cmp.Compare(s.id.number, id.number))
		})
		l.slots = slices.Insert(l.slots, at, s)
	} else if sameTrack(&s.track, &track) {
		l.repaired(repairRepeatedConfig)
		return nil
	}
	track.Config = bytes.Clone(track.Config)
	s.track = track
	s.meter.configured(l.quality.arrived)
	l.changed = true
	return nil
}

func sameTrack(a, b *media.Track) bool {
	return a.Codec == b.Codec && bytes.Equal(a.Config, b.Config) && a.Unit == b.Unit && a.Width == b.Width &&
		a.Height == b.Height && a.Display == b.Display && a.Language == b.Language && a.Label == b.Label
}

func (l *lineup) remove(id trackID) {
	if s := l.slot(id); s != nil {
		l.slots = slices.DeleteFunc(l.slots, func(x *slot) bool { return x == s })
		l.held = slices.DeleteFunc(l.held, func(h heldFrame) bool { return h.slot == s })
		l.changed = true
	}
}

func (l *lineup) write(id trackID, frame *media.Frame) error {
	s := l.slot(id)
	if s == nil {
		return l.dropOrphan(frame)
	}
	if !l.published && !l.ready(frame) {
		l.hold(s, frame)
		return nil
	}
	if l.changed {
		if err := l.setTracks(); err != nil {
			return err
		}
	}
	return l.deliver(s, frame)
}

func (l *lineup) metadata(m *media.TimedMetadata) error {
	if len(m.Payload) > media.MaxMetadata {
		l.repaired(repairBadMetadata)
		return nil
	}
	if m.Kind == media.Captions {
		if !l.captions.Read(m.PTS, m.Payload) {
			return nil
		}
		return l.tellCaptions(m.PTS, m.Wall)
	}
	if err := l.out.WriteMetadata(m); err != nil {
		return fmt.Errorf("write %s metadata: %w", m.Kind, err)
	}
	return nil
}

// tellCaptions says which captions are in use, when there is one more.
func (l *lineup) tellCaptions(pts time.Duration, wall time.Time) error {
	m := media.TimedMetadata{
		Kind: media.Captions, PTS: pts, Payload: []byte(strings.Join(l.captions.Seen(), " ")), Wall: wall,
	}
	if err := l.out.WriteMetadata(&m); err != nil {
		return fmt.Errorf("write captions in use: %w", err)
	}
	return nil
}

// ready says that the tracks need not or must not be awaited any longer.
func (l *lineup) ready(frame *media.Frame) bool {
	have := map[media.Kind]int{}
	for _, s := range l.slots {
		have[s.id.kind]++
	}
	complete := have[media.Video] >= l.expected[media.Video] && have[media.Audio] >= l.expected[media.Audio]
	if complete || len(l.held) >= maxHeldFrames || l.heldBytes+len(frame.Payload) > maxHeldBytes {
		return true
	}
	if len(l.held) == 0 {
		return false
	}
	first := &l.held[0].frame
	return frame.DTS-first.DTS >= l.cfg.TrackWait || frame.Wall.Sub(first.Wall) >= l.cfg.TrackWait
}

func (l *lineup) hold(s *slot, frame *media.Frame) {
	copied := *frame
	copied.Payload = bytes.Clone(frame.Payload)
	l.held = append(l.held, heldFrame{slot: s, frame: copied})
	l.heldBytes += len(copied.Payload)
}

// dropOrphan drops a frame that no decoder could read, and gives up on a publisher that sends nothing else.
func (l *lineup) dropOrphan(frame *media.Frame) error {
	l.repaired(repairNoConfig)
	if l.published || len(l.held) > 0 {
		return nil
	}
	if l.orphan.IsZero() {
		l.orphan = frame.Wall
	}
	if waited := frame.Wall.Sub(l.orphan); waited >= l.cfg.ConfigTimeout {
		return fmt.Errorf("%w: no decoder configuration (sequence header) came in %v of media: restart the encoder",
			media.ErrUnsupported, waited.Round(time.Second))
	}
	return nil
}

// setTracks announces the tracks, and hands over what was held for them.
func (l *lineup) setTracks() error {
	tracks := make([]media.Track, len(l.slots))
	for i, s := range l.slots {
		s.index, tracks[i] = i, s.track
	}
	if err := l.out.SetTracks(tracks); err != nil {
		return fmt.Errorf("set tracks: %w", err)
	}
	l.published, l.changed = true, false
	held := l.held
	l.held, l.heldBytes = nil, 0
	for i := range held {
		if err := l.deliver(held[i].slot, &held[i].frame); err != nil {
			return err
		}
	}
	return nil
}

func (l *lineup) deliver(s *slot, frame *media.Frame) error {
	frame.Track = s.index
	l.quality.frame(&s.meter, frame)
	l.tick(frame.Wall)
	if err := l.out.WriteFrame(frame); err != nil {
		return fmt.Errorf("write frame of %s: %w", s.track.Name, err)
	}
	l.frames++
	l.bytes += int64(len(frame.Payload))
	if l.standby == nil {
		s.counters.frames.Inc()
		s.counters.bytes.Add(float64(len(frame.Payload)))
	}
	return nil
}

// flush hands over what is still held when the connection ends.
func (l *lineup) flush() error {
	if len(l.held) > 0 {
		if err := l.setTracks(); err != nil {
			return err
		}
	}
	if l.captions.Flush() {
		return l.tellCaptions(0, time.Time{})
	}
	return nil
}
