package hls

import (
	"slices"
	"sort"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// appendFinished writes a playlist of an archived recording, or a finished clip of any.
func (s *Snapshot) appendFinished(dst []byte, p Playlist, c *Cache) []byte {
	w := newWriter(s.Renditions[p.Rendition].Name, p.Kind, p.Form)
	return s.appendVOD(dst, p, &w, c)
}

// appendVOD writes a playlist of type VOD. Its tags for live clients are gone, and its fillers too, so that takes join
// at the discontinuity (LIF-5).
func (s *Snapshot) appendVOD(dst []byte, p Playlist, w *writer, c *Cache) []byte {
	r := &s.Renditions[p.Rendition]
	segments := r.Segments
	if p.To > 0 {
		segments = segments[:min(max(r.index(p.To)+1, 0), len(segments))]
	}
	from := min(max(r.index(p.From), 0), len(segments))
	var items []item
	for ; from < len(segments); from++ {
		seg := &segments[from]
		items = p.Form.appendItems(items[:0], seg, s.timescale(seg.Take, r.Name))
		if !seg.Filler && !items[len(items)-1].gap {
			break // no playlist begins with a gap (GAP-1)
		}
	}
	dst = slices.Grow(dst, 112*(len(segments)-from)+512)
	dst = s.appendVODHeader(dst, p, r, from)
	if from < len(segments) {
		var begin, end time.Time
		if p.From > r.First() {
			begin = segments[from].Date
		}
		if p.To > 0 {
			end = s.endDate(r, len(segments)-1)
		}
		dst = c.tags.clip(dst, s, s.endDate(r, len(r.Segments)-1), begin, end)
	}
	segments = segments[from:]
	take := 0
	for i := range segments {
		seg := &segments[i]
		if seg.Filler {
			continue
		}
		items = p.Form.appendItems(items[:0], seg, s.timescale(seg.Take, r.Name))
		for j := range items {
			e := &items[j]
			if take == 0 && e.gap && p.Form != Subtitles {
				continue
			}
			if seg.Take != take {
				dst = w.appendTake(dst, seg.Take, take == 0)
				take = seg.Take
			}
			dst = w.appendHead(dst, e)
			dst = w.appendTail(dst, e, seg)
		}
	}
	return append(dst, "#EXT-X-ENDLIST\n"...)
}

func (s *Snapshot) appendVODHeader(dst []byte, p Playlist, r *Rendition, from int) []byte {
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", [...]int64{versionVOD, versionIFrames, versionRanges}[p.Form])
	dst = appendTargetDuration(dst, s)
	dst = append(dst, "#EXT-X-PLAYLIST-TYPE:VOD\n"...)
	if p.Form == IFrames {
		dst = append(dst, "#EXT-X-I-FRAMES-ONLY\n"...)
	}
	dst = p.appendStart(dst)
	// Of no meaning where nothing is ever added or removed.
	dst = append(dst, "#EXT-X-MEDIA-SEQUENCE:1\n"...)
	return appendInt(dst, "#EXT-X-DISCONTINUITY-SEQUENCE:", int64(s.breaksBefore(r, from)))
}

// endDate is the wall clock at which segment i ends.
func (s *Snapshot) endDate(r *Rendition, i int) time.Time {
	seg := &r.Segments[i]
	return seg.Date.Add(media.Duration(seg.Duration, s.timescale(seg.Take, r.Name)))
}

// breaksBefore counts the discontinuities before segment i of a whole recording: one for each take that has segments
// before its own.
func (s *Snapshot) breaksBefore(r *Rendition, i int) int {
	if i >= len(r.Segments) {
		return 0
	}
	breaks := 0
	for j := range s.Takes {
		number := s.Takes[j].Number
		if number >= r.Segments[i].Take {
			break
		}
		k := sort.Search(len(r.Segments), func(k int) bool { return r.Segments[k].Take >= number })
		if k < len(r.Segments) && r.Segments[k].Take == number {
			breaks++
		}
	}
	return breaks
}
