package hls

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ids gives those of the ranges that a playlist lists, in its order.
func ids(t *testing.T, p *parsed) []string {
	t.Helper()
	var out []string
	for _, r := range p.ranges {
		out = append(out, strings.Trim(attributes(t, r)["ID"], `"`))
	}
	return out
}

// told is a show that grows for six minutes with two events every 6 s, one pair dated far ahead and some dated back.
func told() *sim {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(2, false)
	for i := range 180 {
		if i%3 == 0 {
			date := s.date(0)
			switch i {
			case 30:
				date = date.Add(time.Hour)
			case 90, 93:
				date = date.Add(-100 * time.Second)
			}
			s.tell(date.Add(time.Second))
			s.tell(date.Add(1500 * time.Millisecond))
		}
		s.run(1, false)
	}
	return s
}

func TestDR1_PDT7_SEQ3_RangesStayWhileTheyReachIntoTheWindow(t *testing.T) {
	s := told()
	for _, kind := range []Kind{Sliding, Whole} {
		c := NewCache(&Compressor{})
		lines := map[string]string{}
		for i, v := range s.versions {
			if i%3 > 0 {
				continue
			}
			got := parse(t, AppendMedia(nil, v, Playlist{Kind: kind}, SkipNone, c))
			listed := ids(t, got)
			var want []string
			for _, m := range v.Metadata {
				if kind == Whole || len(got.segments) == 0 || !m.Date.Before(got.segments[0].date) {
					want = append(want, fmt.Sprintf("event-%d", m.Number))
				}
			}
			if d := cmp.Diff(want, listed); d != "" {
				t.Fatalf("DR-1: %s, version %d, window from %v: %s", kindName(kind), i, got.segments[0].date, d)
			}
			for k, r := range got.ranges {
				if old, seen := lines[listed[k]]; seen && old != r {
					t.Fatalf("DR-1: %s became %s", old, r)
				}
				lines[listed[k]] = r
			}
			if len(got.ranges) > 0 && len(got.segments) > 0 && got.segments[0].date.IsZero() {
				t.Fatal("PDT-7: ranges without dates of segments")
			}
			if i%60 == 0 {
				audio := parse(t, AppendMedia(nil, v, Playlist{Kind: Whole, Rendition: 1}, SkipNone, nil))
				if kind == Whole && !slices.Equal(audio.ranges, got.ranges) {
					t.Fatal("DR-1: renditions differ")
				}
			}
		}
	}
}

// TestDLT2_DLT7_SYN2 follows a playlist by deltas of version 2 alone, as a client does that is now and then late.
func TestDLT2_DLT7_SYN2_RangesOfADeltaAndOfTheOneBeforeAreThoseOfTheFull(t *testing.T) {
	s := told()
	for _, kind := range []Kind{Sliding, Whole} {
		c := NewCache(&Compressor{})
		p := Playlist{Kind: kind}
		var have []string
		removals, shorter := 0, 0
		for i, v := range s.versions {
			Render(v, p, SkipNone, c) // somebody else asks for each
			if i%29 > 2 {             // the client comes after 11 s at most, the skip boundary is at 12
				continue
			}
			full := parse(t, AppendMedia(nil, v, p, SkipNone, c))
			all := ids(t, full)
			delta := parse(t, AppendMedia(nil, v, p, SkipV2, c))
			if delta.skipped == 0 {
				have = all
				continue
			}
			if delta.version != 10 {
				t.Fatalf("SYN-2: version %d", delta.version)
			}
			list, ok := delta.skip["RECENTLY-REMOVED-DATERANGES"]
			if !ok {
				t.Fatal("DLT-7: no list of removed ranges")
			}
			gone := strings.Split(strings.Trim(list, `"`), "\t")
			have = slices.DeleteFunc(have, func(id string) bool { return slices.Contains(gone, id) })
			for _, id := range ids(t, delta) {
				if !slices.Contains(have, id) {
					have = append(have, id)
				}
			}
			if list != `""` {
				removals++
			}
			if len(delta.ranges) < len(full.ranges) {
				shorter++
			}
			if d := cmp.Diff(all, have); d != "" {
				t.Fatalf("DLT-2: %s, version %d: %s", kindName(kind), i, d)
			}
			if yes := parse(t, AppendMedia(nil, v, p, SkipYes, c)); !slices.Equal(yes.ranges, full.ranges) || yes.version != 10 {
				t.Fatalf("DLT-2: version 1 of a delta leaves out ranges: %d of %d", len(yes.ranges), len(full.ranges))
			}
		}
		if (removals > 0) != (kind == Sliding) || shorter == 0 {
			t.Errorf("%s: %d removals, %d shorter", kindName(kind), removals, shorter)
		}
	}
}

func TestDR1_OpenRangesStayUntilTheyEnd(t *testing.T) {
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var all tags
	all.byID = map[string]int{"show": 0, "break": 1}
	all.text.mark()
	all.groups = []group{{id: "show", start: at(0), tags: []int{0, 2}}, {id: "break", start: at(5), end: at(9), tags: []int{1}}}
	for i, text := range []string{"show begins\n", "break\n", "show ends\n"} {
		from := len(all.text.text)
		all.text.text = append(all.text.text, text...)
		all.all = append(all.all, tag{start: from, end: len(all.text.text), group: i % 2})
	}
	all.groups[0].tags = []int{0, 2}
	if got := string(all.appendLocked(nil, 0, 3, at(100))); got != "show begins\nshow ends\n" {
		t.Errorf("open: %q", got)
	}
	all.groups[0].end = at(50)
	for from, want := range map[int]string{
		9: "show begins\nbreak\nshow ends\n", 10: "show begins\nshow ends\n", 50: "show begins\nshow ends\n", 51: "",
	} {
		if got := string(all.appendLocked(nil, 0, 3, at(from))); got != want {
			t.Errorf("window from %d: %q", from, got)
		}
	}
}

func TestSC7_PRT4_ServerControlIsThatOfARecordingWithoutRanges(t *testing.T) {
	s := told()
	first, last := s.versions[0], s.versions[len(s.versions)-1]
	if len(first.Metadata) > 0 || len(last.Metadata) == 0 {
		t.Fatal("no first range")
	}
	before, after := parse(t, AppendMedia(nil, first, Playlist{}, SkipNone, nil)), parse(t, AppendMedia(nil, last, Playlist{}, SkipNone, nil))
	if d := cmp.Diff(before.control, after.control); d != "" || after.control["CAN-SKIP-DATERANGES"] != "YES" {
		t.Errorf("SC-7: %s", d)
	}
}

func TestDR1_ClipsListTheRangesThatReachIntoThem(t *testing.T) {
	s := told()
	v := s.versions[len(s.versions)-1]
	segments := v.Renditions[0].Segments
	for _, tt := range []struct{ from, to media.MSN }{{20, 40}, {20, 0}, {1, 25}, {0, 25}, {150, 181}} {
		got := parse(t, AppendMedia(nil, v, Playlist{Kind: Whole, From: tt.from, To: tt.to}, SkipNone, nil))
		var want []string
		for _, m := range v.Metadata {
			if tt.from > 1 && m.Date.Before(segments[tt.from-1].Date) {
				continue
			}
			if tt.to > 0 && !m.Date.Before(segments[tt.to].Date) {
				continue
			}
			want = append(want, fmt.Sprintf("event-%d", m.Number))
		}
		if d := cmp.Diff(want, ids(t, got)); d != "" || len(want) == 0 {
			t.Errorf("%v: %s", tt, d)
		}
	}
}

func TestDLT7_RangesThatEndLateAreNamedAsRemoved(t *testing.T) {
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	all := tags{
		groups: []group{
			{id: "long ago", end: at(10), seen: at(11)}, {id: "late", end: at(10), seen: at(95)},
			{id: "in time", end: at(65), seen: at(66)}, {id: "there", end: at(80), seen: at(81)}, {id: "open"},
		},
		ended: []int{0, 1, 2, 3}, told: []int{0, 2, 3, 1},
	}
	_, removed := all.recent(&Snapshot{}, at(100), span{boundary: at(88), from: at(70), before: at(60)})
	if got := strings.Join(removed, ", "); got != "in time, late" {
		t.Errorf("removed: %s", got)
	}
}

func TestDLT7_GrowingClipsNameNoRangesAsRemovedThatTheyNeverHad(t *testing.T) {
	s := told()
	c := NewCache(&Compressor{})
	p := Playlist{Kind: Whole, From: 100}
	for _, v := range s.versions[len(s.versions)-40:] {
		delta := parse(t, AppendMedia(nil, v, p, SkipV2, c))
		if list := delta.skip["RECENTLY-REMOVED-DATERANGES"]; delta.skipped == 0 || list != `""` {
			t.Fatalf("skips %d, removes %.80s", delta.skipped, list)
		}
	}
}

func TestDLT7_RangesAreAsNewAsTheEdgeThatIsFurthest(t *testing.T) {
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var all tags
	s := &Snapshot{}
	for i := range 9 {
		s.Metadata = append(s.Metadata, instant(i+1, at(200)))
		// Audio, which is ahead, and video by turns.
		text, _ := all.recent(s, at(100+i-9*(i%2)), span{boundary: at(103)})
		if got := strings.Count(string(text), "event-"); got != max(0, i-3) {
			t.Errorf("%d: the delta has %d ranges of %d\n%s", i, got, i-3, text)
		}
	}
}

func TestDR1_ARangeWhoseEndIsPutOffIsThereAgainWithAllItsTags(t *testing.T) {
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	s := &Snapshot{}
	list := func(all *tags, set *tagSet, from time.Time) string {
		shared, rest := all.block(set, s, from, from)
		var text []byte
		for i := range shared {
			text = append(text, shared[i].text...)
		}
		return string(append(text, rest...))
	}
	add := func(all *tags, r dateRange) {
		all.pieces = 0 // of the one piece there is
		all.addLocked(&r)
	}
	fill := func(all *tags) {
		all.growLocked(s, at(0))
		add(all, dateRange{id: "break", start: at(0), end: at(30), text: []byte("break begins\n")})
		for i := range 2*chunkEntries - 2 {
			add(all, dateRange{id: fmt.Sprint(i), start: at(0), end: at(1), text: []byte("other\n")})
		}
	}
	end := dateRange{id: "break", start: at(0), end: at(90), text: []byte("break ends\n")}
	s.Metadata = make([]media.Metadata, 1)
	var watched, other tags
	var set tagSet
	fill(&watched)
	if got := list(&watched, &set, at(60)); got != "" || set.dead == 0 {
		t.Fatalf("before: %q, %d chunks are over", got, set.dead)
	}
	add(&watched, end)
	got := list(&watched, &set, at(60))
	fill(&other)
	add(&other, end)
	if want := list(&other, &tagSet{}, at(60)); got != want || got != "break begins\nbreak ends\n" {
		t.Errorf("lists %q, another node %q", got, want)
	}
	if got := list(&watched, &set, at(95)); got != "" {
		t.Errorf("lists %q behind its end", got)
	}
	// An end may become known with no tag, while the window stays.
	add(&watched, dateRange{id: "break", start: at(0), end: at(100)})
	if got := list(&watched, &set, at(95)); got != "break begins\nbreak ends\n" {
		t.Errorf("lists %q before its end", got)
	}
}
