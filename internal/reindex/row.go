package reindex

import (
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// rowOf computes what a row says of a recording's media: its length without fillers, and its bytes as they were
// recorded.
func rowOf(rec *reclog.Recording) media.Recording {
	row := media.Recording{
		ID: rec.ID, Path: rec.Path(), StartedAt: rec.StartedAt, EndedAt: rec.EndedAt, Continues: rec.Continues,
	}
	if rec.Clip != nil {
		row.ClipOf, row.ClipStart, row.ClipEnd = rec.Clip.Of, rec.Clip.Start, rec.Clip.End
	}
	scales := map[int]int64{}
	for _, take := range rec.Takes {
		if len(take.Tracks) > 0 {
			scales[take.Number] = take.Tracks[0].Timescale
		}
		for _, tr := range take.Tracks {
			row.Bytes += tr.InitSize
		}
	}
	for i, track := range rec.Tracks {
		for _, seg := range track.Segments {
			row.Bytes += seg.Size
			if i == 0 && !seg.Filler && scales[seg.Take] > 0 {
				row.Duration += media.Duration(seg.Duration, scales[seg.Take])
			}
		}
	}
	if row.EndedAt.IsZero() {
		row.EndedAt = row.StartedAt.Add(row.Duration)
	}
	return row
}
