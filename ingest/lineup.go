package ingest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of what is held while a second track is awaited.
const (
	maxHeldBytes  = 16 << 20
	maxHeldFrames = 512
)

// sink takes what a protocol's demuxer finds. It is the seam between the protocols and the publishing session: a
// protocol knows nothing of tracks' order, takes or the packager.
type sink interface {
	// announce says which kinds of track the metadata promises. It may be wrong, and need not be called.
	announce(video, audio bool)
	// configure gives a track's decoder configuration, as media.Track holds it. The bytes are copied.
	configure(kind media.Kind, codec media.Codec, config []byte) error
	// write gives a frame; its Track is set here. An error ends the connection.
	write(kind media.Kind, frame *media.Frame) error
	// repaired counts a fault that was passed over.
	repaired(what string)
}

// lineup decides when a connection's tracks are announced to the publication, and in which order: video, then audio.
//
// The first frames are held until all tracks that the metadata announced have their configuration, or TrackWait is
// over. Without metadata both kinds are awaited. A track or a configuration that comes later sets the tracks anew.
type lineup struct {
	cfg     Config
	out     Publication
	metrics *metrics

	slots     [2]slot
	announced bool // the metadata named tracks
	published bool // SetTracks was called
	changed   bool // and must be called again before the next frame
	held      []heldFrame
	heldBytes int
	orphan    time.Time // when a frame first came without any configuration

	frames int64
	bytes  int64
}

// slot is what is known of one kind of track.
type slot struct {
	expected bool
	track    media.Track
	index    int // in the tracks set last
	counters kindCounters
}

func (s *slot) configured() bool { return s.track.Config != nil }

type heldFrame struct {
	kind  media.Kind
	frame media.Frame
}

func newLineup(cfg Config, out Publication, metrics *metrics) lineup {
	l := lineup{cfg: cfg, out: out, metrics: metrics}
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		l.slot(kind).counters = metrics.kind(kind)
	}
	return l
}

func (l *lineup) slot(kind media.Kind) *slot {
	switch kind {
	case media.Video:
		return &l.slots[0]
	case media.Audio:
		return &l.slots[1]
	}
	panic("BUG: no such kind of track: " + string(kind))
}

func (l *lineup) repaired(what string) { l.metrics.repairs.WithLabelValues(what).Inc() }

func (l *lineup) announce(video, audio bool) {
	if !video && !audio {
		return
	}
	l.announced = true
	l.slots[0].expected, l.slots[1].expected = video, audio
}

func (l *lineup) configure(kind media.Kind, codec media.Codec, config []byte) error {
	s := l.slot(kind)
	if s.configured() && s.track.Codec == codec && bytes.Equal(s.track.Config, config) {
		l.repaired(repairRepeatedConfig)
		return nil
	}
	s.track = media.Track{Name: string(kind), Kind: kind, Codec: codec, Config: bytes.Clone(config)}
	l.changed = true
	return nil
}

func (l *lineup) write(kind media.Kind, frame *media.Frame) error {
	if !l.slot(kind).configured() {
		return l.dropOrphan(frame)
	}
	if !l.published && !l.ready(frame) {
		l.hold(kind, frame)
		return nil
	}
	if l.changed {
		if err := l.setTracks(); err != nil {
			return err
		}
	}
	return l.deliver(kind, frame)
}

// ready says that the tracks need not or must not be awaited any longer.
func (l *lineup) ready(frame *media.Frame) bool {
	complete := true
	for i := range l.slots {
		s := &l.slots[i]
		if (s.expected || !l.announced) && !s.configured() {
			complete = false
		}
	}
	if complete || len(l.held) >= maxHeldFrames || l.heldBytes+len(frame.Payload) > maxHeldBytes {
		return true
	}
	if len(l.held) == 0 {
		return false
	}
	first := &l.held[0].frame
	return frame.DTS-first.DTS >= l.cfg.TrackWait || frame.Wall.Sub(first.Wall) >= l.cfg.TrackWait
}

func (l *lineup) hold(kind media.Kind, frame *media.Frame) {
	copied := *frame
	copied.Payload = bytes.Clone(frame.Payload)
	l.held = append(l.held, heldFrame{kind: kind, frame: copied})
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
	var tracks []media.Track
	for i := range l.slots {
		if s := &l.slots[i]; s.configured() {
			s.index = len(tracks)
			tracks = append(tracks, s.track)
		}
	}
	if err := l.out.SetTracks(tracks); err != nil {
		return fmt.Errorf("set tracks: %w", err)
	}
	l.published, l.changed = true, false
	held := l.held
	l.held, l.heldBytes = nil, 0
	for i := range held {
		if err := l.deliver(held[i].kind, &held[i].frame); err != nil {
			return err
		}
	}
	return nil
}

func (l *lineup) deliver(kind media.Kind, frame *media.Frame) error {
	s := l.slot(kind)
	frame.Track = s.index
	if err := l.out.WriteFrame(frame); err != nil {
		return fmt.Errorf("write %s frame: %w", kind, err)
	}
	l.frames++
	l.bytes += int64(len(frame.Payload))
	s.counters.frames.Inc()
	s.counters.bytes.Add(float64(len(frame.Payload)))
	return nil
}

// flush hands over what is still held when the connection ends.
func (l *lineup) flush() error {
	if len(l.held) == 0 {
		return nil
	}
	return l.setTracks()
}
