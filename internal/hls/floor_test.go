package hls

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A window that becomes longer begins where the shorter one did, and goes on from there as any.
func TestWindowThatGrewDoesNotGoBack(t *testing.T) {
	versions := life(lowConstants(), videoTrack()).versions
	at := 100
	short := *versions[at]
	short.Window = time.Second
	floor := short.SlidingFirst()
	before := parse(t, AppendMedia(nil, &short, Playlist{Kind: Sliding}, SkipNone, nil)).sequence
	if floor <= 1 || int(floor) < before {
		t.Fatalf("it begins with %d, and the floor is %d", before, floor)
	}
	last := before
	for _, v := range versions[at:] {
		grown := *v
		grown.Window, grown.First = 24*time.Hour, floor
		now := parse(t, AppendMedia(nil, &grown, Playlist{Kind: Sliding}, SkipNone, nil)).sequence
		if now < last {
			t.Fatalf("it went back from %d to %d", last, now)
		}
		last = now
	}
	if last > int(floor) {
		t.Errorf("a window of a day slid on to %d from %d", last, floor)
	}
	empty := Snapshot{Constants: short.Constants, Renditions: []Rendition{{Name: "video"}}}
	if n := empty.SlidingFirst(); n != 0 {
		t.Errorf("nothing begins with %d", n)
	}
	few := *versions[at]
	few.First = media.MSN(len(few.Renditions[0].Segments) + 5)
	parse(t, AppendMedia(nil, &few, Playlist{Kind: Sliding}, SkipNone, nil)) // whatever it is told, it lists something
}
