package hls

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestMomentsOfAClipInMediaTime(t *testing.T) {
	anchor := time.Date(2026, 11, 20, 10, 38, 0, 700_000, time.UTC) // 0.7 ms that dates do not have
	s := &Snapshot{State: media.Ended, Constants: media.Constants{TargetDuration: 4 * time.Second},
		Takes:      []media.Take{{Number: 1, Anchor: anchor, Tracks: []media.Track{{Name: "video", Timescale: 90000}}}},
		Renditions: []Rendition{{Name: "video"}}}
	for i := range 3 {
		dts := int64(i) * 360_030
		s.Renditions[0].Segments = append(s.Renditions[0].Segments, media.Segment{MSN: media.MSN(i + 1), Take: 1, DTS: dts,
			Duration: 360_030, Date: anchor.Add(media.Duration(dts, 90000)).Truncate(time.Millisecond)})
	}
	for _, tt := range []struct {
		query      string
		start, end media.MSN
		from, to   time.Duration
	}{
		{"start=0&end=4", 1, 1, 0, 4*time.Second + 333_333}, // within a millisecond of the segment's end, it is the end
		{"start=6&end=6.5", 2, 2, 6*time.Second + 333_333, 6*time.Second + 500_333_333},
		{"start=-2&end=-1s", 3, 3, 10*time.Second + 666_667, 11*time.Second + 666_667},
		{"start=2026-11-20T10:37:00Z&end=2026-11-20T11:00:00Z", 1, 3, 0, 12*time.Second + time.Millisecond},
	} {
		clip, err := ParseClip(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		start, end := s.Moments(clip)
		from, to := s.MediaTime(tt.start, start), s.MediaTime(tt.end, end)
		if d := from - tt.from; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("%s: from %v, want %v", tt.query, from, tt.from)
		}
		if d := to - tt.to; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("%s: to %v, want %v", tt.query, to, tt.to)
		}
	}
	if got := s.MediaTime(1, anchor.Add(4*time.Second).Truncate(time.Millisecond)); got != media.Duration(360_030, 90000) {
		t.Errorf("the end of a segment by its date is %v", got)
	}
	if start, end := s.Moments(Clip{}); !start.IsZero() || !end.IsZero() {
		t.Errorf("%v, %v of no clip", start, end)
	}
	if start, _ := (&Snapshot{}).Moments(Clip{Start: Bound{from: fromBegin}}); !start.IsZero() {
		t.Error("a moment of nothing")
	}
}
