package hls

import (
	"errors"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

var directiveTable = []struct {
	query string
	want  Directives
	bad   bool
}{
	{query: "", want: Directives{Part: -1}},
	{query: "_HLS_msn=5", want: Directives{Blocking: true, MSN: 5, Part: -1}},
	{query: "_HLS_msn=0", want: Directives{Blocking: true, Part: -1}},
	{query: "_HLS_msn=5&_HLS_part=0", want: Directives{Blocking: true, MSN: 5}},
	{query: "_HLS_skip=YES&_HLS_part=3&_HLS_msn=5", want: Directives{Blocking: true, MSN: 5, Part: 3, Skip: SkipYes}},
	{query: "_HLS_skip=v2", want: Directives{Part: -1, Skip: SkipV2}},
	{query: "_HLS_skip=NO", want: Directives{Part: -1}},
	{query: "_HLS_msn=%35", want: Directives{Blocking: true, MSN: 5, Part: -1}},
	{query: "foo=1&_HLS_new=7&_HLS_msn=5&foo=%zz&&=", want: Directives{Blocking: true, MSN: 5, Part: -1}},
	{query: "_HLS_part=1", bad: true},
	{query: "_HLS_part=1&_HLS_skip=YES", bad: true},
	{query: "_HLS_msn=-1", bad: true},
	{query: "_HLS_msn=+1", bad: true},
	{query: "_HLS_msn=%2B1", bad: true},
	{query: "_HLS_msn=", bad: true},
	{query: "_HLS_msn", bad: true},
	{query: "_HLS_msn=abc", bad: true},
	{query: "_HLS_msn=1.5", bad: true},
	{query: "_HLS_msn=1e3", bad: true},
	{query: "_HLS_msn=0x5", bad: true},
	{query: "_HLS_msn=99999999999999999999", bad: true},
	{query: "_HLS_msn=4294967296", bad: true},
	{query: "_HLS_msn=5&_HLS_part=-1", bad: true},
	{query: "_HLS_msn=5&_HLS_part=99999999999", bad: true},
	{query: "_HLS_msn=5&_HLS_msn=5", bad: true},
	{query: "_HLS_msn=5&_HLS_msn=6", bad: true},
	{query: "_HLS_skip=YES&_HLS_skip=v2", bad: true},
	{query: "_HLS_msn=%zz", bad: true},
}

func TestBLK3_BLK8_BLK12_ParseDirectives(t *testing.T) {
	for _, tt := range directiveTable {
		got, err := ParseDirectives(tt.query)
		if tt.bad != (err != nil) || got != tt.want && !tt.bad {
			t.Errorf("%q: %+v, %v", tt.query, got, err)
		}
		if err != nil && !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%q: %v is no ErrInvalid", tt.query, err)
		}
	}
}

func FuzzParseDirectives(f *testing.F) {
	for _, tt := range directiveTable {
		f.Add(tt.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		d, err := ParseDirectives(query)
		if err == nil && (d.MSN < 0 || d.MSN > maxDirective || d.Part < -1 || d.Part > maxDirective || d.Part >= 0 && !d.Blocking) {
			t.Errorf("%q: %+v", query, d)
		}
	})
}

func TestBLK1_BLK2_BLK4_BLK5_BLK6_BLK7_BLK9_Decide(t *testing.T) {
	// Segments 1 to 10 are finished, each of four parts; of 11 there are parts 0 and 1.
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(10, false)
	fresh := s.versions[len(s.versions)-1] // 11 has no part yet
	s.part()
	s.part()
	edge := s.publish()
	s.interrupt()
	away := s.publish()
	s.end()
	ended := s.publish()
	whole := newSim(lowConstants(), videoTrack())
	whole.open(true)
	whole.part()
	first := whole.publish() // nothing finished, the open segment is listed whole
	whole.part()
	whole.closeSegment()
	whole.open(false)
	second := whole.publish() // segment 1 has two parts, unlisted

	standardSim := newSim(standardConstants(), videoTrack())
	standardSim.run(3, false)
	standardSim.part()
	standard := standardSim.publish()

	tests := []struct {
		rule string
		snap *Snapshot
		msn  media.MSN
		part int
		want Decision
	}{
		{"BLK-1 complete", edge, 10, -1, Serve},
		{"BLK-1 has only parts", edge, 11, -1, Wait},
		{"BLK-1 next but one", edge, 12, -1, Wait},
		{"BLK-2 listed", edge, 11, 1, Serve},
		{"BLK-2 hinted", edge, 11, 2, Wait},
		{"BLK-2 next", edge, 12, 0, Wait},
		{"BLK-4 far", edge, 13, -1, Refuse},
		{"BLK-4 far with part", edge, 13, 0, Refuse},
		{"BLK-4 absurd", edge, 1 << 30, 0, Refuse},
		{"BLK-5 at the limit", edge, 11, 7, Wait},
		{"BLK-5 past the limit", edge, 11, 8, Refuse},
		{"BLK-5 no part yet, at the limit", fresh, 11, 5, Wait},
		{"BLK-5 no part yet, past it", fresh, 11, 6, Refuse},
		{"BLK-5 segment after the open one, at the limit", edge, 12, 5, Wait},
		{"BLK-5 segment after the open one, past it", edge, 12, 6, Refuse},
		{"BLK-6 past the last part, next has parts", edge, 10, 4, Serve},
		{"BLK-6 past the last part, next has none", fresh, 10, 4, Wait},
		{"BLK-6 never refused", fresh, 10, 1 << 20, Wait},
		{"BLK-6 older", fresh, 9, 1 << 20, Serve},
		{"BLK-7 gone or old", edge, 1, 0, Serve},
		{"BLK-7 zero", edge, 0, -1, Serve},
		{"BLK-7 last part of the last", edge, 10, 3, Serve},
		{"BLK-9 ended", ended, 500, 7, Serve},
		{"interrupted, closed segment", away, 11, 2, Serve},
		{"interrupted, next", away, 12, 0, Wait},
		{"whole open segment is not listed", first, 1, 0, Wait},
		{"whole segment has all parts", second, 1, 1, Serve},
		{"whole segment, next", second, 2, 0, Wait},
		{"standard, listed", standard, 3, -1, Serve},
		{"standard, next", standard, 4, -1, Wait},
		{"standard, part of the next", standard, 4, 0, Wait},
		{"standard, any part of the next", standard, 4, 900, Wait},
		{"standard, far", standard, 6, -1, Refuse},
	}
	for _, tt := range tests {
		if got := Decide(tt.snap, Playlist{}, Directives{Blocking: true, MSN: tt.msn, Part: tt.part}, nil); got != tt.want {
			t.Errorf("%s: %d.%d: %s, want %s", tt.rule, tt.msn, tt.part, got, tt.want)
		}
	}
	if got := Decide(edge, Playlist{}, Directives{Part: -1, Skip: SkipYes}, nil); got != Serve {
		t.Errorf("no directive: %s", got)
	}
}

func TestBLK5_LimitFollowsPartTarget(t *testing.T) {
	s := newSim(lowConstants(), videoTrack())
	s.run(3, false)
	v := s.publish()
	limits := []struct{ part, target, limit int }{{200, 2, 15}, {333, 2, 10}, {500, 2, 6}, {1000, 2, 3}, {500, 6, 12}}
	for _, l := range limits {
		v.Constants.PartTarget = media.Duration(int64(l.part), 1000)
		v.Constants.TargetDuration = media.Duration(int64(l.target), 1)
		// No part of segment 4 is listed, so the last one's index is -1.
		at := Decide(v, Playlist{}, Directives{Blocking: true, MSN: 4, Part: l.limit - 1}, nil)
		past := Decide(v, Playlist{}, Directives{Blocking: true, MSN: 4, Part: l.limit}, nil)
		if at != Wait || past != Refuse {
			t.Errorf("part of %d ms, segment of %d s: %s, %s", l.part, l.target, at, past)
		}
	}
}

// Whatever a player that follows the playlist asks for next is held, and answered by the next version that lists it.
func TestBLK2_WaitersAreServedByTheVersionThatListsThePart(t *testing.T) {
	forEachLife(t, func(t *testing.T, sm *sim) {
		for i, s := range sm.versions[:len(sm.versions)-1] {
			msn, part, ok := s.Hint(0)
			if !ok {
				continue
			}
			d := Directives{Blocking: true, MSN: msn, Part: part}
			next := sm.versions[i+1]
			if got := Decide(s, Playlist{}, d, nil); got != Wait {
				t.Fatalf("version %d, %d.%d: %s", i, msn, part, got)
			}
			if nextMSN, nextPart, ok := next.Hint(0); ok && (nextMSN > msn || nextPart > part) {
				if got := Decide(next, Playlist{}, d, nil); got != Serve {
					t.Fatalf("version %d, %d.%d: then %s", i, msn, part, got)
				}
			}
		}
	})
}
