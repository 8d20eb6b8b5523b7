package ingest

import (
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of what a standby keeps.
const (
	maxKeptBytes  = 16 << 20
	maxKeptTime   = 20 * time.Second
	maxKeptEvents = 1 << 15
	// maxKeptChanges bounds the changes of tracks, whose configurations are not counted in bytes.
	maxKeptChanges = 64
	// keptAudio is how much is kept of a publish without video, in which every frame is a random access point.
	keptAudio = 2 * time.Second
)

// gop keeps what a standby brings from the leading video's last random access point on, in the order in which it came,
// with what came of other tracks before that point and belongs behind it. Past its limits it lets go of everything and
// waits for the next such point. It is used by one goroutine.
type gop struct {
	base   []media.Track // in force before the first event
	tracks []media.Track // in force now
	events []keptEvent
	data   []byte // the payloads, behind each other
	// changes are those of the tracks among the events.
	changes int
	begun   bool
	// weak says that it began at a recovery point, for lack of a random access point.
	weak  bool
	first time.Time // arrival of the frame that it begins with
}

// keptEvent is a frame, a piece of metadata or, if both are nil, a change of the tracks.
type keptEvent struct {
	frame    *media.Frame
	metadata *media.TimedMetadata
	tracks   []media.Track
	// The payload lies in gop.data: no slice of it is kept, since that moves.
	offset, size int
}

func (g *gop) setTracks(tracks []media.Track) {
	led := g.led()
	g.tracks = tracks
	if !g.begun || led != g.led() {
		g.drop()
		return
	}
	if g.changes++; g.changes > maxKeptChanges {
		g.drop()
		return
	}
	g.keep(keptEvent{tracks: tracks}, nil)
}

// led says that there is video to lead: the first track, then.
func (g *gop) led() bool { return len(g.tracks) > 0 && g.tracks[0].Kind == media.Video }

// drop lets go of everything.
func (g *gop) drop() {
	g.base, g.begun, g.changes = g.tracks, false, 0
	g.events, g.data = g.events[:0], g.data[:0]
}

// add keeps a frame, whose payload is copied.
func (g *gop) add(f *media.Frame) {
	switch {
	case !g.led():
		g.addAudio(f)
	case f.Track == 0 && (f.Sync || f.Recovery && (!g.begun || g.weak)):
		g.cut(f.DTS)
		g.begun, g.weak, g.first = true, !f.Sync, f.Wall
	case g.begun && f.Wall.Sub(g.first) > maxKeptTime:
		g.drop()
	}
	if !g.begun {
		return
	}
	copied := *f
	copied.Payload = nil
	g.keep(keptEvent{frame: &copied}, f.Payload)
}

// addAudio makes room for a frame when no video leads.
func (g *gop) addAudio(f *media.Frame) {
	if g.begun && f.Wall.Sub(g.first) > 2*keptAudio {
		g.cut(f.DTS - keptAudio)
		g.first = g.first.Add(keptAudio)
	}
	if !g.begun {
		g.begun, g.weak, g.first = true, false, f.Wall
	}
}

// addMetadata keeps a piece of timed metadata, whose payload is copied.
func (g *gop) addMetadata(m *media.TimedMetadata) {
	if g.begun {
		copied := *m
		copied.Payload = nil
		g.keep(keptEvent{metadata: &copied}, m.Payload)
	}
}

func (g *gop) keep(e keptEvent, payload []byte) {
	if len(g.data)+len(payload) > maxKeptBytes || len(g.events) >= maxKeptEvents {
		g.drop()
		return
	}
	e.offset, e.size = len(g.data), len(payload)
	g.data = append(g.data, payload...)
	g.events = append(g.events, e)
}

// cut drops what was shown before a time, and all pictures of the leading video.
func (g *gop) cut(from time.Duration) {
	kept, size := g.events[:0], 0
	base := g.base
	for _, e := range g.events {
		switch {
		case e.frame == nil && e.metadata == nil:
			if len(kept) == 0 {
				base = e.tracks
				g.changes--
				continue
			}
		case e.frame != nil && (e.frame.DTS < from || g.led() && e.frame.Track == 0),
			e.metadata != nil && e.metadata.PTS < from:
			continue
		}
		copy(g.data[size:], g.data[e.offset:e.offset+e.size]) // towards the front: nothing is lost that is yet to be read
		e.offset = size
		size += e.size
		kept = append(kept, e)
	}
	clear(g.events[len(kept):])
	g.base, g.events, g.data = base, kept, g.data[:size]
}

// replay hands over what was kept, arrivals moved by a shift, and keeps nothing any more. each is told of every frame.
func (g *gop) replay(out Publication, shift time.Duration, each func(kind media.Kind, frame *media.Frame)) error {
	tracks := g.base
	if err := out.SetTracks(slices.Clone(tracks)); err != nil {
		return err
	}
	for _, e := range g.events {
		payload := g.data[e.offset : e.offset+e.size : e.offset+e.size]
		var err error
		switch {
		case e.frame != nil:
			e.frame.Payload, e.frame.Wall = payload, e.frame.Wall.Add(shift)
			if err = out.WriteFrame(e.frame); err == nil {
				each(tracks[e.frame.Track].Kind, e.frame)
			}
		case e.metadata != nil:
			e.metadata.Payload = payload
			if !e.metadata.Wall.IsZero() {
				e.metadata.Wall = e.metadata.Wall.Add(shift)
			}
			err = out.WriteMetadata(e.metadata)
		default:
			tracks = e.tracks
			err = out.SetTracks(slices.Clone(tracks))
		}
		if err != nil {
			return err
		}
	}
	*g = gop{}
	return nil
}
