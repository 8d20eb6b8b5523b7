package packager

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Limits of the timed metadata that a show keeps, and that waits for a show.
const (
	maxMetadata      = reclog.MaxMetadata
	maxMetadataBytes = reclog.MaxMetadataBytes
	maxHeld          = 4096
	maxHeldBytes     = 1 << 20
	// metadataAhead is how far from the newest frame a piece may be; one that is farther has a clock of its own.
	metadataAhead = 10 * time.Minute
	// textAhead is the same of texts, which hold up all that follow: as far as what a pulled source brings at once.
	textAhead = time.Minute
)

// heldMetadata waits for a take to begin.
type heldMetadata struct {
	pieces []media.TimedMetadata // copies
	bytes  int
}

// add copies a piece. It says false if there is no room.
func (h *heldMetadata) add(m *media.TimedMetadata) bool {
	if len(h.pieces) >= maxHeld || h.bytes+len(m.Payload) > maxHeldBytes {
		return false
	}
	held := *m
	held.Payload = bytes.Clone(m.Payload)
	h.pieces = append(h.pieces, held)
	h.bytes += len(m.Payload)
	return true
}

// timeline is what a show's publisher told beside its media. Readers see list; the rest belongs to the stream's lock.
type timeline struct {
	list   atomic.Pointer[[]media.Metadata] // in the order of arrival
	bytes  int
	number int64 // the newest piece's
	// seen are the captions that were in the pictures, and captions those that playlists tell of; both are replaced,
	// never modified.
	seen     []string
	captions []media.Caption
	events   eventIndex
}

// Metadata gives the timed metadata that playlists tell of. The slice is shared and never modified.
func (s *Show) Metadata() []media.Metadata {
	if list := s.timeline.list.Load(); list != nil {
		return *list
	}
	return nil
}

// seeCaptionsLocked takes the ids of captions in the pictures, which are told once: the next recording has them too.
func (p *Publication) seeCaptionsLocked(ids []string) {
	p.captions = withCaptions(p.captions, ids)
	if s := p.stream; s.take != nil {
		s.show.seeCaptions(p.captions)
	}
}

// withCaptions adds ids that are not in a list; the list is not modified.
func withCaptions(list, ids []string) []string {
	for _, id := range ids {
		if !slices.Contains(list, id) && len(list) < media.MaxCaptions {
			list = append(slices.Clip(list), id)
		}
	}
	return list
}

// seeCaptions takes the ids of captions in the pictures. What was told once is told for ever: a caption may come back,
// and another take has it too.
func (s *Show) seeCaptions(ids []string) {
	t := &s.timeline
	seen := withCaptions(t.seen, ids)
	if len(seen) == len(t.seen) {
		return
	}
	t.seen = seen
	t.captions = media.CaptionsOf(s.settings.Captions, seen)
	s.recorder.keepCaptions(seen)
	s.publish()
}

// addMetadata keeps a piece at a media time of the newest take. The payload is kept. It says false if the recording has
// as much as it may have: playlists never take back what they told.
func (s *Show) addMetadata(kind media.MetadataKind, at time.Duration, payload []byte) bool {
	take := &s.takes[len(s.takes)-1]
	return s.keepMetadata(media.Metadata{
		Take: take.Number, Kind: kind, Time: at, Date: take.Anchor.Add(at).Round(time.Millisecond), Payload: payload,
	})
}

// keepMetadata numbers a piece and keeps it; false as addMetadata has it.
func (s *Show) keepMetadata(m media.Metadata) bool {
	t := &s.timeline
	list := s.Metadata()
	if len(list) >= maxMetadata || t.bytes+len(m.Payload) > maxMetadataBytes {
		return false
	}
	t.bytes += len(m.Payload)
	m.Number = s.nextNumber()
	t.number = m.Number
	// Readers of the old slice do not see behind its end.
	list = append(list, m)
	t.list.Store(&list)
	s.recorder.appendMetadata(&list[len(list)-1])
	return true
}

// nextNumber is that of the piece to come.
func (s *Show) nextNumber() int64 {
	return s.timeline.number + 1
}

// restoreMetadata takes over what storage has. Numbers that may have been given before a crash, to pieces that storage
// does not have, are passed over: a date range's ID never comes to mean another.
func (s *Show) restoreMetadata(list []media.Metadata) {
	t := &s.timeline
	for i := range list {
		t.bytes += len(list[i].Payload)
		t.number = list[i].Number
	}
	t.number += maxMetadata
	t.list.Store(&list)
}

// WriteMetadata takes a piece of timed metadata; the payload is borrowed. What comes before the first frame is placed
// at the begin of the show. Of captions, which stay in the pictures, only which there are is noted (CC-1).
func (p *Publication) WriteMetadata(m *media.TimedMetadata) error {
	if err := p.confirm(); err != nil {
		return err
	}
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone != nil {
		return p.gone
	}
	s.packager.metrics.timedMetadata.WithLabelValues(string(m.Kind)).Inc()
	switch {
	case m.Kind == media.Captions:
		p.seeCaptionsLocked(strings.Fields(string(m.Payload)))
	case !m.Kind.Listed(), m.Kind == media.Text && !hls.TellsText(m.Payload): // for nobody yet
	case len(m.Payload) > media.MaxMetadata, s.take == nil && !p.metadata.add(m):
		s.packager.metrics.metadataDropped.Inc()
	case s.take != nil:
		s.placeMetadataLocked(m, bytes.Clone(m.Payload))
	}
	return nil
}

// placeMetadataLocked puts a piece into the running take. The payload is kept.
func (s *stream) placeMetadataLocked(m *media.TimedMetadata, payload []byte) {
	at, ahead := s.take.timeOf(m.PTS), metadataAhead
	if m.Kind == media.Text {
		at, ahead = s.show.textTime(at), textAhead
	}
	if at > s.show.end()+ahead || !s.show.addMetadata(m.Kind, at, payload) {
		s.packager.metrics.metadataDropped.Inc()
		return
	}
	if m.Kind == media.ID3 {
		s.take.lanes[s.show.lead].emsg.add(at, s.show.timeline.number, payload)
	}
}

// textTime gives the media time for a text: its own, but never before the open segment, since the subtitles of those
// that are listed do not change, nor before a text that is placed already, so that texts are in the order of time
// (SUB-1).
func (s *Show) textTime(at time.Duration) time.Duration {
	r := s.renditions[0]
	if r.open != nil {
		at = max(at, media.Duration(r.open.dts, r.open.timescale))
	} else {
		at = max(at, s.end())
	}
	list := s.Metadata()
	for i := len(list) - 1; i >= 0; i-- { // each piece is passed once until there is another text
		if list[i].Kind == media.Text {
			return max(at, list[i].Time)
		}
	}
	return at
}

// releaseMetadataLocked places what waited for the take that has begun.
func (p *Publication) releaseMetadataLocked() {
	s, h := p.stream, p.metadata
	p.metadata = heldMetadata{}
	s.show.seeCaptions(p.captions)
	for i := range h.pieces {
		s.placeMetadataLocked(&h.pieces[i], h.pieces[i].Payload)
	}
}

// timeOf maps a publisher's stamp to media time; what is from before the take is at its begin.
func (t *take) timeOf(pts time.Duration) time.Duration { return t.base + max(0, pts-t.origin) }
