package hls

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// reload gives a snapshot as another process reads it: nothing shared.
func reload(v *Snapshot) *Snapshot {
	c := *v
	c.Takes = slices.Clone(v.Takes)
	c.Metadata = slices.Clone(v.Metadata)
	c.Renditions = slices.Clone(v.Renditions)
	for i := range c.Renditions {
		r := &c.Renditions[i]
		r.Segments = slices.Clone(r.Segments)
		for j := range r.Segments {
			r.Segments[j].IFrames = slices.Clone(r.Segments[j].IFrames)
		}
	}
	return &c
}

func TestSEQ2_SEQ3_LinesStayWhenALossIsLearnedLate(t *testing.T) {
	s := told()
	before, after := s.versions[len(s.versions)-80], reload(s.versions[len(s.versions)-1])
	for i := range after.Renditions {
		lost := after.Renditions[i].Segments[len(before.Renditions[i].Segments)-3 : len(before.Renditions[i].Segments)]
		lost[0].Gap, lost[0].Size, lost[0].IFrames = true, 0, nil
		lost[1].Offset, lost[1].IFrames = 1<<40, nil
		lost[2].Gap = true
		lost[2].Duration /= 2
	}
	if !after.Extends(before) {
		t.Fatal("another recording")
	}
	eachPlaylist(before, func(name string, p Playlist) {
		c := NewCache(&Compressor{})
		want := parse(t, AppendMedia(nil, before, p, SkipNone, c))
		text := AppendMedia(nil, after, p, SkipNone, c)
		got := parse(t, text)
		known := make(map[int]parsedSegment)
		for _, seg := range got.segments {
			known[seg.msn] = seg
		}
		checked := 0
		for _, seg := range want.segments {
			if again, ok := known[seg.msn]; ok {
				checked++
				if !slices.Equal(again.lines, seg.lines) || len(seg.lines) < 3 {
					t.Fatalf("%s: %+v became %+v", name, seg, again)
				}
			}
		}
		if checked == 0 && p.Kind == Whole || strings.Contains(string(text), "GAP") {
			t.Errorf("%s: %d entries compared", name, checked)
		}
		if again := c.list(after, p).lines.segments; again != len(after.Renditions[0].Segments) {
			t.Errorf("%d segments formatted", again)
		}
	})
}

func TestCachesOfWhatWasTakenBackAreNotKept(t *testing.T) {
	s := told()
	v := s.versions[len(s.versions)-1]
	if !reload(v).Extends(v) || !reload(v).Extends(s.versions[0]) || s.versions[0].Extends(v) {
		t.Fatal("the same recording")
	}
	for name, change := range map[string]func(*Snapshot){
		"take":       func(v *Snapshot) { v.Renditions[0].Segments[3].Take = 2 },
		"time":       func(v *Snapshot) { v.Renditions[0].Segments[3].DTS++ },
		"length":     func(v *Snapshot) { v.Renditions[1].Segments[3].Duration++ },
		"date":       func(v *Snapshot) { v.Renditions[1].Segments[3].Date = time.Time{} },
		"end":        func(v *Snapshot) { v.Renditions[1].Segments = v.Renditions[1].Segments[:3] },
		"name":       func(v *Snapshot) { v.Renditions[1].Name = "other" },
		"renditions": func(v *Snapshot) { v.Renditions = v.Renditions[:1] },
		"timescale": func(v *Snapshot) {
			v.Takes[0].Tracks = slices.Clone(v.Takes[0].Tracks)
			v.Takes[0].Tracks[0].Timescale = 1000
		},
		"metadata": func(v *Snapshot) { v.Metadata[2].Payload = []byte("{}") },
		"told":     func(v *Snapshot) { v.Metadata = v.Metadata[:4] },
		"kind":     func(v *Snapshot) { v.Metadata[2].Kind = media.ID3 },
	} {
		other := reload(v)
		change(other)
		if other.Extends(v) {
			t.Errorf("%s: another recording extends this", name)
		}
	}
}
