package packager

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxTracks bounds a connection's tracks of one kind.
const maxTracks = 8

// Publication is one publishing connection. Its methods are called by one goroutine; the stream's lock guards it.
type Publication struct {
	stream   *stream
	settings media.Settings // of the connection's begin; what holds now is inForce
	latest   atomic.Pointer[media.Settings]
	epoch    uint64
	// gone is why the publication may write no more.
	gone error
	// leaving: it is to end where a segment may.
	leaving atomic.Bool
	// member: it is a group's, whose members write to it.
	member bool

	formats []*format // by the publication's track
	lanes   []int     // the take's lane of each; -1 if the take is without
	// stale marks tracks whose configuration changed since the take began: the next take begins at video's next random
	// access point.
	stale    []bool
	observer *observer // set while no take runs
	// lead is the track of video that is to lead; below zero the first does.
	lead int
	// absent says of tracks that nothing of them is on its way; it may be shorter than they are.
	absent []bool
	// continues is the recording that was left because it was full.
	continues media.RecordingID
	metadata  heldMetadata
	// captions are the ids of those in the pictures so far.
	captions []string
	repairs  repairs
}

// SetTracks says what the connection carries, video first. It is called before the first frame, and again before the
// first frame of a changed configuration or set of tracks. media.ErrUnsupported, media.ErrInvalid and media.ErrLimit (a
// picture larger than the settings allow) name the track; media.ErrTakenOver and media.ErrFenced end the connection.
func (p *Publication) SetTracks(tracks []media.Track) error {
	formats, err := newFormats(p.settings, tracks)
	if err != nil {
		return err
	}
	s := p.stream
	if err := p.confirm(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone != nil {
		return p.gone
	}
	p.setFormatsLocked(formats)
	return nil
}

// CheckTracks says what SetTracks would refuse of a publication with these settings.
func CheckTracks(settings media.Settings, tracks []media.Track) error {
	_, err := newFormats(settings, tracks)
	return err
}

func newFormats(settings media.Settings, tracks []media.Track) ([]*format, error) {
	formats := make([]*format, len(tracks))
	counts := make(map[media.Kind]int)
	names := make(map[string]bool)
	for i, t := range tracks {
		f, err := newFormat(t)
		if err != nil {
			return nil, err
		}
		if f.video() {
			if err := checkResolution(settings.MaxResolution, f.codedWidth, f.codedHeight); err != nil {
				return nil, fmt.Errorf("track %s: %w", t.Name, err)
			}
		}
		if counts[t.Kind]++; counts[t.Kind] > maxTracks {
			return nil, fmt.Errorf("track %s: %w: more than %d %s tracks", t.Name, media.ErrUnsupported, maxTracks, t.Kind)
		}
		if names[t.Name] {
			return nil, fmt.Errorf("track %s: %w: two of that name", t.Name, media.ErrInvalid)
		}
		names[t.Name] = true
		formats[i] = f
	}
	if len(formats) == 0 {
		return nil, fmt.Errorf("%w: no tracks", media.ErrInvalid)
	}
	return formats, nil
}

func (p *Publication) setFormatsLocked(formats []*format) {
	same := slices.EqualFunc(p.formats, formats, func(a, b *format) bool {
		return a.track.Name == b.track.Name && a.track.Kind == b.track.Kind && a.track.Codec == b.track.Codec
	})
	if same {
		for i, f := range formats {
			p.stale[i] = p.stale[i] || !p.formats[i].sameConfig(f)
			p.formats[i] = f
		}
		if p.observer != nil && slices.Contains(p.stale, true) {
			p.observer = p.newObserver(time.Now()) // what waits needs the old configuration
			clear(p.stale)
		}
		return
	}
	p.stream.closeTakeLocked()
	p.formats, p.lead, p.absent = formats, -1, nil
	p.stale = make([]bool, len(formats))
	p.lanes = nil
	p.observer = p.newObserver(time.Now())
}

// WriteFrame takes one access unit; the payload is borrowed. An error ends the connection: media.ErrTakenOver,
// media.ErrFenced, media.ErrUnavailable (no recording could be begun), media.ErrTooLarge.
func (p *Publication) WriteFrame(frame *media.Frame) error {
	if err := p.confirm(); err != nil {
		return err
	}
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone != nil {
		return p.gone
	}
	if frame.Track < 0 || frame.Track >= len(p.formats) {
		return fmt.Errorf("%w: frame of track %d of %d", media.ErrInvalid, frame.Track, len(p.formats))
	}
	f := *frame
	if f.Wall.IsZero() {
		f.Wall = time.Now()
	}
	switch {
	case len(f.Payload) == 0:
		return nil // CMF-18
	case len(f.Payload) > maxAccessUnit:
		return fmt.Errorf("access unit of %d bytes: %w", len(f.Payload), media.ErrTooLarge)
	}
	if p.leaving.Load() && p.mayEndLocked(&f) {
		return p.departLocked()
	}
	return p.routeLocked(&f)
}

// routeLocked brings a frame to the running take, or to the observer that waits to begin one.
func (p *Publication) routeLocked(f *media.Frame) error {
	s := p.stream
	video := p.formats[f.Track].track.Kind == media.Video
	if s.take != nil && p.endsTakeLocked(f, video) {
		s.closeTakeLocked()
		p.observer = p.newObserver(time.Now())
		clear(p.stale)
	}
	if s.take == nil {
		p.observer.add(f, p.formats[f.Track].track.Kind, time.Now())
		return p.beginLocked(time.Now(), false)
	}
	if p.stale[f.Track] {
		return nil // until the take ends at a random access point: its new configuration holds already
	}
	if video {
		s.take.writeVideo(p.lanes[f.Track], f)
		return nil
	}
	if s.take.writeAudio(p.lanes[f.Track], f) {
		s.closeTakeLocked()
		p.observer = p.newObserver(time.Now())
		return p.routeLocked(f)
	}
	return nil
}

// endsTakeLocked says whether a frame can't be in the running take: a track that was held absent, a clock that
// jumped, a new configuration that begins here, or files that need another take.
func (p *Publication) endsTakeLocked(f *media.Frame, video bool) bool {
	s := p.stream
	if p.lanes[f.Track] < 0 {
		return true
	}
	if s.take.video == nil {
		return slices.Contains(p.stale, true)
	}
	if !video || p.lanes[f.Track] != s.take.video.index {
		return false
	}
	if s.take.jumps(f) || (f.Sync && s.retryStorageLocked()) {
		return true
	}
	return (f.Sync || f.Recovery) && slices.Contains(p.stale, true)
}

// beginLocked begins a take if the observer has seen enough; final says that nothing more will come.
func (p *Publication) beginLocked(now time.Time, final bool) error {
	s, o := p.stream, p.observer
	// A known show's silent tracks are filled, so nothing is waited for. Else only what was seen counts.
	formats, lanes := p.orderLocked(func(int) bool { return true })
	known := s.show != nil && s.show.carries(formats) && p.fillableLocked()
	if !known {
		formats, lanes = p.orderLocked(func(i int) bool { return o.seen[i] || p.formats[i].silence != nil })
		known = s.show != nil && o.waited(now) && s.show.carries(formats)
	}
	lead := p.leadLane(formats, lanes)
	if !o.ready(formats, slices.Index(lanes, lead), known, p.inForce(), now, final) {
		return nil
	}
	if !known {
		if err := s.beginShowLocked(p, formats, lanes, o); err != nil {
			return err
		}
	}
	for track, lane := range lanes {
		if lane >= 0 && !formats[lane].video() {
			o.align(track, formats[lane])
		}
	}
	start := o.first()
	var plan layout
	if s.show.plan.gop == 0 {
		plan = o.plan(newRules(s.show.constants, videoTimescale, 0))
	} else {
		plan = s.show.plan
	}
	if err := s.beginTakeLocked(p, formats, lead, start, plan); err != nil {
		p.observer = p.newObserver(now)
		return err
	}
	p.lanes, p.observer = lanes, nil
	s.take.remember(o.units, lanes)
	p.tellAbsentLocked()
	p.releaseMetadataLocked()
	for i := range o.frames {
		if err := p.routeLocked(&o.frames[i]); err != nil {
			return err
		}
	}
	return nil
}

// newObserver waits for the next take.
func (p *Publication) newObserver(now time.Time) *observer {
	o := newObserver(len(p.formats), now)
	o.prefer = p.lead
	return o
}

// leadLane is the lane that is to lead a take of formats.
func (p *Publication) leadLane(formats []*format, lanes []int) int {
	if p.lead >= 0 && p.lead < len(lanes) && lanes[p.lead] >= 0 && formats[lanes[p.lead]].video() {
		return lanes[p.lead]
	}
	return 0
}

// setLead has a track of video lead from its next random access point on. The running take ends, if another leads it.
func (p *Publication) setLead(track int) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p.lead = track
	switch {
	case p.gone != nil:
	case s.take != nil && s.take.video != nil && s.take.video.index != p.lanes[track]:
		s.closeTakeLocked()
		fallthrough
	case s.take == nil && p.observer != nil:
		p.observer = p.newObserver(time.Now())
		clear(p.stale)
	}
}

// setAbsent says which tracks nothing is on its way of: their segments are gaps at once.
func (p *Publication) setAbsent(absent []bool) {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	p.absent = absent
	if p.stream.take != nil && p.stream.pub == p {
		p.tellAbsentLocked()
	}
}

func (p *Publication) tellAbsentLocked() {
	for track, lane := range p.lanes {
		if lane >= 0 && p.stream.take.lanes[lane].behind != nil {
			p.stream.take.lanes[lane].behind.absent = track < len(p.absent) && p.absent[track]
		}
	}
}

// fillableLocked says that every track has come, or that what is missing of it can be made up.
func (p *Publication) fillableLocked() bool {
	for i, f := range p.formats {
		if !f.video() && f.silence == nil && !p.observer.seen[i] {
			return false
		}
	}
	return true
}

// orderLocked gives the formats of the tracks to keep in rendition order, video first, and the lane of each track.
func (p *Publication) orderLocked(keep func(int) bool) (formats []*format, lanes []int) {
	lanes = make([]int, len(p.formats))
	for i := range lanes {
		lanes[i] = -1
	}
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		for i, f := range p.formats {
			if f.track.Kind == kind && keep(i) {
				lanes[i] = len(formats)
				formats = append(formats, f)
			}
		}
	}
	return formats, lanes
}

// Close ends the publication: clean if the publisher said goodbye, else the connection was lost. It may be called more
// than once.
func (p *Publication) Close(clean bool) error {
	if p.confirm() != nil {
		return nil // it is another node's to end
	}
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone != nil {
		return nil
	}
	p.gone = errClosed
	return s.leaveLocked(p, clean)
}

// errClosed is what a closed publication's methods return.
var errClosed = errors.New("publication is closed")

// carries says that the formats are the show's: the same tracks in the same codecs.
func (s *Show) carries(formats []*format) bool {
	if len(s.takes) == 0 {
		return false
	}
	return slices.EqualFunc(s.takes[len(s.takes)-1].Tracks, formats, func(t media.Track, f *format) bool {
		return t.Name == f.track.Name && t.Kind == f.track.Kind && t.Codec == f.track.Codec
	})
}
