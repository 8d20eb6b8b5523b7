package reclog

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Row is what a catalog tells of the recording: its state, the media time without fillers, and the bytes of inits and
// segments. It says that local storage has it; what the catalog alone knows (dues, keep) is zero.
func (rec *Recording) Row() media.Recording {
	row := media.Recording{
		ID: rec.ID, Path: rec.Path(), State: rec.State, StartedAt: rec.StartedAt, EndedAt: rec.EndedAt,
		Continues: rec.Continues, Local: true,
	}
	row.Follow(rec.Settings)
	if rec.Clip != nil {
		row.ClipOf, row.ClipStart, row.ClipEnd = rec.Clip.Of, rec.Clip.Start, rec.Clip.End
	}
	for i := range rec.Takes {
		for j := range rec.Takes[i].Tracks {
			row.Bytes += rec.Takes[i].Tracks[j].InitSize
		}
	}
	for t := range rec.Tracks {
		segments := rec.Tracks[t].Segments
		for i := range segments {
			row.Bytes += segments[i].Size
			if t == 0 && !segments[i].Filler {
				row.Duration += rec.duration(t, &segments[i])
			}
		}
	}
	return row
}

// LastMedia is when the last media of the recording ends, by the clock that its segments are dated with: what wrote it
// was there until then. A recording without media gives its start.
func (rec *Recording) LastMedia() time.Time {
	last := rec.StartedAt
	for t := range rec.Tracks {
		segments := rec.Tracks[t].Segments
		for i := len(segments) - 1; i >= 0; i-- {
			if seg := &segments[i]; seg.Size > 0 {
				if end := seg.Date.Add(rec.duration(t, seg)); end.After(last) {
					last = end
				}
				break
			}
		}
	}
	return last
}

// duration gives the length of one of a track's segments.
func (rec *Recording) duration(track int, seg *media.Segment) time.Duration {
	for i := range rec.Takes {
		if rec.Takes[i].Number == seg.Take {
			return media.Duration(seg.Duration, rec.Takes[i].Tracks[track].Timescale)
		}
	}
	return 0
}
