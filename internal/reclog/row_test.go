package reclog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A recording ended when its last media did: gaps and fillers at its end were made by who waited for more.
func TestRowCountsMediaAndNoFillers(t *testing.T) {
	s := begun(t, SyncNever)
	for name, tt := range map[string]struct {
		segments []media.Segment // of video, two seconds each
		last     time.Duration
		duration time.Duration
		bytes    int64
	}{
		"no media":            {nil, 0, 0, 0},
		"media":               {[]media.Segment{{Size: 10}, {Size: 20}}, 4 * time.Second, 4 * time.Second, 30},
		"a gap in the middle": {[]media.Segment{{Size: 10}, {Gap: true}, {Size: 1}}, 6 * time.Second, 6 * time.Second, 11},
		"a gap at the end":    {[]media.Segment{{Size: 10}, {Gap: true}}, 2 * time.Second, 4 * time.Second, 10},
		"fillers at the end": {
			[]media.Segment{{Size: 10}, {Gap: true, Filler: true}, {Gap: true, Filler: true}}, 2 * time.Second, 2 * time.Second, 10,
		},
		"only fillers": {[]media.Segment{{Gap: true, Filler: true}}, 0, 0, 0},
	} {
		rec := &Recording{Manifest: s.writer.Manifest()}
		var inits int64
		for _, track := range rec.Takes[0].Tracks {
			inits += track.InitSize
			rec.Tracks = append(rec.Tracks, Track{Name: track.Name})
		}
		for i, seg := range tt.segments {
			seg.Take, seg.Duration = 1, 2*90000
			seg.Date = testStart().Add(time.Duration(i) * 2 * time.Second)
			rec.Tracks[0].Segments = append(rec.Tracks[0].Segments, seg)
		}
		if got := rec.LastMedia().Sub(rec.StartedAt); got != tt.last {
			t.Errorf("%s: ends after %s, want %s", name, got, tt.last)
		}
		row := rec.Row()
		if row.Duration != tt.duration || row.Bytes != tt.bytes+inits || row.State != media.Live || !row.Local ||
			row.ID != testID || row.Path != testPath() {
			t.Errorf("%s: row %+v, want %s and %d bytes", name, row, tt.duration, tt.bytes+inits)
		}
	}
	s.seal()
}
