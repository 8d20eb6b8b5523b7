package hls

import (
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// appendVOD writes the playlist of an archived recording: its tags for live clients are gone, and its fillers too, so
// that takes join at the discontinuity (LIF-5).
func appendVOD(dst []byte, s *Snapshot, r *Rendition, p *Playlist) []byte {
	segments := r.Segments[max(p.From, 1)-1:]
	if p.To > 0 {
		segments = segments[:p.To-max(p.From, 1)+1]
	}
	dst = slices.Grow(dst, 112*len(segments)+512)
	dst = appendVODHeader(dst, s, p)
	take := 0
	for i := range segments {
		seg := &segments[i]
		if seg.Filler || (take == 0 && seg.Gap) {
			continue // no playlist begins with a gap (GAP-1)
		}
		if seg.Take != take {
			dst = appendDiscontinuity(dst, take)
			dst = appendMap(dst, "", seg.Take, r.Name)
			take = seg.Take
		}
		dst = appendDate(dst, seg.Date)
		if seg.Gap {
			dst = append(dst, "#EXT-X-GAP\n"...)
		}
		dst = appendInf(dst, seg, s.timescale(seg.Take, r.Name))
		dst = appendSegmentURI(dst, "", seg.Take, r.Name, seg.MSN)
		dst = append(dst, '\n')
	}
	return append(dst, "#EXT-X-ENDLIST\n"...)
}

func appendVODHeader(dst []byte, s *Snapshot, p *Playlist) []byte {
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", versionVOD)
	dst = appendTargetDuration(dst, s)
	dst = append(dst, "#EXT-X-PLAYLIST-TYPE:VOD\n"...)
	dst = p.appendStart(dst)
	return append(dst, "#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"...)
}

func appendDiscontinuity(dst []byte, previous int) []byte {
	if previous == 0 {
		return dst
	}
	return append(dst, "#EXT-X-DISCONTINUITY\n"...)
}

// Stored makes the snapshot of a recording from what storage has of it: all segments whole. The renditions have Name
// and Segments set.
func Stored(
	state media.State, c media.Constants, window time.Duration, takes []media.Take, renditions []Rendition,
) *Snapshot {
	s := &Snapshot{
		State: state, Constants: c, Window: window, Takes: takes, Renditions: renditions, Independent: true,
	}
	for i := range renditions {
		for j := range renditions[i].Segments {
			seg := &renditions[i].Segments[j]
			s.Independent = s.Independent && (seg.Sync || seg.Gap)
		}
	}
	s.Measure()
	return s
}

// Measure sets the snapshot's bandwidths from its segments: the peak is the sum of the renditions' peaks, which no
// combination exceeds (MV-1, MV-6).
func (s *Snapshot) Measure() {
	s.Bandwidth, s.AverageBandwidth = 0, 0
	for i := range s.Renditions {
		r := &s.Renditions[i]
		rate, iframes := Rate{Target: s.Constants.TargetDuration}, Rate{Target: s.Constants.TargetDuration}
		for j := range r.Segments {
			seg := &r.Segments[j]
			if seg.Gap {
				rate.Gap()
				iframes.Gap()
				continue
			}
			timescale := max(s.timescale(seg.Take, r.Name), 1)
			rate.Add(seg.Size, media.Duration(seg.Duration, timescale))
			iframes.AddIFrames(seg, timescale)
		}
		r.Bandwidth, r.AverageBandwidth = rate.Peak(), rate.Average()
		r.IFrameBandwidth, r.IFrameAverageBandwidth = iframes.Peak(), iframes.Average()
		s.Bandwidth += r.Bandwidth
		s.AverageBandwidth += r.AverageBandwidth
	}
}
