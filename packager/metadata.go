package packager

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of the timed metadata that a show keeps, and that waits for a show.
const (
	maxMetadata      = 4096
	maxMetadataBytes = 1 << 20
	metadataAge      = time.Hour // or the DVR window, if that is longer
	// metadataAhead is how far from the newest frame a piece may be; one that is farther has a clock of its own.
	metadataAhead = 10 * time.Minute
)

// heldMetadata waits for a take to begin.
type heldMetadata struct {
	pieces   []media.TimedMetadata // copies
	bytes    int
	captions bool
}

// add copies a piece. It says false if there is no room.
func (h *heldMetadata) add(m *media.TimedMetadata) bool {
	if len(h.pieces) >= maxMetadata || h.bytes+len(m.Payload) > maxMetadataBytes {
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
	list     atomic.Pointer[[]hls.Metadata] // in the order of arrival
	bytes    int
	captions atomic.Bool
}

// Metadata gives the timed metadata of the last hour, or of the DVR window if that is longer. The slice is shared and
// never modified.
func (s *Show) Metadata() []hls.Metadata {
	if list := s.timeline.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Captions says that pictures of the show carried CEA-608 or CEA-708 captions.
func (s *Show) Captions() bool { return s.timeline.captions.Load() }

// addMetadata keeps a piece at a media time of the newest take. The payload is kept.
func (s *Show) addMetadata(kind media.MetadataKind, at time.Duration, payload []byte) {
	t := &s.timeline
	piece := hls.Metadata{
		Kind: kind, MediaTime: at, Date: s.takes[len(s.takes)-1].Anchor.Add(at).Round(time.Millisecond), Payload: payload,
	}
	list := append(s.Metadata(), piece) // readers of the old slice do not see behind its end
	t.bytes += len(payload)
	oldest := at - max(metadataAge, s.settings.DVRWindow.D())
	for len(list) > maxMetadata || t.bytes > maxMetadataBytes || list[0].MediaTime < oldest {
		t.bytes -= len(list[0].Payload)
		list = list[1:]
	}
	t.list.Store(&list)
}

// WriteMetadata takes a piece of timed metadata; the payload is borrowed. What comes before the first frame is placed
// at the begin of the show. Captions, which stay in the pictures, are only noted.
func (p *Publication) WriteMetadata(m *media.TimedMetadata) error {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone != nil {
		return p.gone
	}
	s.packager.metrics.timedMetadata.WithLabelValues(string(m.Kind)).Inc()
	switch {
	case m.Kind == media.Captions && s.take == nil:
		p.metadata.captions = true
	case m.Kind == media.Captions:
		s.show.timeline.captions.Store(true)
	case len(m.Payload) > media.MaxMetadata, s.take == nil && !p.metadata.add(m):
		s.packager.metrics.metadataDropped.Inc()
	case s.take != nil:
		s.placeMetadataLocked(m, bytes.Clone(m.Payload))
	}
	return nil
}

// placeMetadataLocked puts a piece into the running take. The payload is kept.
func (s *stream) placeMetadataLocked(m *media.TimedMetadata, payload []byte) {
	at := s.take.timeOf(m.PTS)
	if at > s.show.end()+metadataAhead {
		s.packager.metrics.metadataDropped.Inc()
		return
	}
	s.show.addMetadata(m.Kind, at, payload)
}

// releaseMetadataLocked places what waited for the take that has begun.
func (p *Publication) releaseMetadataLocked() {
	s, h := p.stream, p.metadata
	p.metadata = heldMetadata{}
	if h.captions {
		s.show.timeline.captions.Store(true)
	}
	for i := range h.pieces {
		s.placeMetadataLocked(&h.pieces[i], h.pieces[i].Payload)
	}
}

// timeOf maps a publisher's stamp to media time; what is from before the take is at its begin.
func (t *take) timeOf(pts time.Duration) time.Duration { return t.base + max(0, pts-t.origin) }
