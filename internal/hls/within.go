package hls

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Within gives the metadata that a clip from one moment to another needs, in order: that of its time, the date ranges
// that reach into it, and the text that is shown when it begins.
func (s *Snapshot) Within(from, to time.Time) []media.Metadata {
	keep := make([]bool, len(s.Metadata))
	var t tags
	t.growLocked(s, to)
	for i := range t.all {
		if g := &t.groups[t.all[i].group]; !g.over(from) && g.start.Before(to) {
			keep[t.all[i].piece] = true
		}
	}
	shown := -1
	for i := nextText(s.Metadata, 0); i < len(s.Metadata); i = nextText(s.Metadata, i+1) {
		if !s.Metadata[i].Date.After(from) {
			shown = i
		}
	}
	var pieces []media.Metadata
	for i := range s.Metadata {
		if at := s.Metadata[i].Date; keep[i] || i == shown || !at.Before(from) && at.Before(to) {
			pieces = append(pieces, s.Metadata[i])
		}
	}
	return pieces
}
