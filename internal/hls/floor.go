package hls

import "github.com/oxbow-video/oxbow/internal/media"

// SlidingFirst gives the number of the first segment that all sliding playlists of the snapshot list whole: what a
// longer window must not go back behind (SEQ-1). Zero: they list none.
func (s *Snapshot) SlidingFirst() media.MSN {
	var most media.MSN
	for i := range s.Renditions {
		r := &s.Renditions[i]
		forms := []Form{Media}
		if r.hasIFrames() {
			forms = append(forms, IFrames)
		}
		for _, form := range forms {
			v := newLines(r.Name, Sliding, form).view(s, r)
			first := s.first(Playlist{Rendition: i, Kind: Sliding, Form: form}, &v)
			if first >= len(v.marks) {
				continue
			}
			at := v.marks[first].segment
			if first > 0 && v.marks[first-1].segment == at {
				at++
			}
			most = max(most, media.MSN(at)+1)
		}
	}
	return most
}

func (r *Rendition) hasIFrames() bool {
	for i := range r.Segments {
		if len(r.Segments[i].IFrames) > 0 {
			return true
		}
	}
	return false
}
