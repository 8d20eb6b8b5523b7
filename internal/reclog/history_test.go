package reclog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestHistoryFollowsFromTheTakes(t *testing.T) {
	for name, tt := range map[string]struct {
		epochs []uint64
		state  media.State
		want   string
		last   string // what LastHistory tells besides
	}{
		"nothing recorded":       {nil, media.Live, "", ""},
		"live":                   {[]uint64{1}, media.Live, "live:1@0", " interrupted:1@4"},
		"interrupted":            {[]uint64{1}, media.Interrupted, "live:1@0 interrupted:1@4", ""},
		"ended":                  {[]uint64{1}, media.Ended, "live:1@0", ""},
		"back again":             {[]uint64{1, 2}, media.Live, "live:1@0 interrupted:1@4 live:2@10", " interrupted:2@14"},
		"another take goes on":   {[]uint64{1, 1, 3}, media.Live, "live:1@0 interrupted:2@14 live:3@20", " interrupted:3@24"},
		"a take without a lease": {[]uint64{1, 1}, media.Interrupted, "live:1@0 interrupted:2@14", ""},
	} {
		rec := &Recording{Manifest: Manifest{ID: testID, Publisher: "acme", Stream: "show", State: tt.state}}
		rec.StartedAt = testStart()
		rec.Tracks = []Track{{Name: "video"}}
		for i, epoch := range tt.epochs {
			begin := testStart().Add(time.Duration(i) * 10 * time.Second)
			rec.Takes = append(rec.Takes, media.Take{
				Number: i + 1, Epoch: epoch, StartedAt: begin, Tracks: []media.Track{{Name: "video", Timescale: 1}},
			})
			for j := range 3 { // the last one is a gap
				rec.Tracks[0].Segments = append(rec.Tracks[0].Segments, media.Segment{
					Take: i + 1, Duration: 2, Size: int64(2 - j), Gap: j == 2, Date: begin.Add(time.Duration(2*j) * time.Second),
				})
			}
		}
		text := func(events []media.LogEvent) string {
			var got []string
			for _, e := range events {
				kind := strings.TrimPrefix(e.Type, "stream.")
				take := e.Key[strings.LastIndexByte(e.Key, ':'):]
				got = append(got, fmt.Sprintf("%s%s@%d", kind, take, int(e.Time.Sub(testStart()).Seconds())))
				if e.Recording != testID || e.Cluster != "main" || e.Publisher != "acme" {
					t.Errorf("%s: %+v", name, e)
				}
			}
			return strings.Join(got, " ")
		}
		if got := text(rec.History("main")); got != tt.want {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
		if got := text(rec.LastHistory("main")); got != tt.want+tt.last || rec.State != tt.state {
			t.Errorf("%s, nobody has it: %v, want %s", name, got, tt.want+tt.last)
		}
	}
	long := &Recording{Manifest: Manifest{ID: testID}}
	for i := range 1000 {
		long.Takes = append(long.Takes, media.Take{Number: i + 1, Epoch: uint64(i)})
	}
	if n := len(long.History("")); n != 2*maxHistory-1 {
		t.Errorf("%d events of 1000 takes", n)
	}
}
