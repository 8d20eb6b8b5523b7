package hls

import (
	"bytes"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Extends says that a cache which has seen an older snapshot holds for this one: it is of the same recording, and has
// what the older one listed. Gaps may differ: that a segment was lost, and how long it would have been, may be learned
// late. What was listed of it then stays.
func (s *Snapshot) Extends(old *Snapshot) bool {
	if len(s.Renditions) != len(old.Renditions) || len(s.Metadata) < len(old.Metadata) {
		return false
	}
	for i := range old.Takes {
		number := old.Takes[i].Number
		for j := range old.Renditions {
			name := old.Renditions[j].Name
			if old.timescale(number, name) != s.timescale(number, name) {
				return false
			}
		}
	}
	for i := range old.Renditions {
		if !s.Renditions[i].extends(&old.Renditions[i]) {
			return false
		}
	}
	for i := range old.Metadata {
		a, b := &s.Metadata[i], &old.Metadata[i]
		if a.Number != b.Number || a.Kind != b.Kind || !a.Date.Equal(b.Date) || !bytes.Equal(a.Payload, b.Payload) {
			return false
		}
	}
	return true
}

func (r *Rendition) extends(old *Rendition) bool {
	if r.Name != old.Name || len(r.Segments) < len(old.Segments) {
		return false
	}
	for i := range old.Segments {
		if !sameLines(&r.Segments[i], &old.Segments[i]) {
			return false
		}
	}
	return true
}

func sameLines(a, b *media.Segment) bool {
	if a.Take != b.Take || a.MSN != b.MSN {
		return false
	}
	return a.Gap || b.Gap || a.DTS == b.DTS && a.Duration == b.Duration && a.Date.Equal(b.Date)
}
