package hls

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// client keeps a playlist by its deltas.
type client struct {
	segments []parsedSegment
	ranges   []string
}

// apply takes an answer: what a delta skips is what the client has (d§6.3.7).
func (c *client) apply(t *testing.T, got *parsed, skip Skip) {
	t.Helper()
	if got.skipped == 0 {
		c.segments, c.ranges = got.segments, got.ranges
		return
	}
	at := slices.IndexFunc(c.segments, func(s parsedSegment) bool { return s.msn == got.sequence })
	if at < 0 || at+got.skipped > len(c.segments) {
		t.Fatalf("DLT-2: %d entries from %d are skipped, the client has %d", got.skipped, got.sequence, len(c.segments))
	}
	c.segments = slices.Concat(c.segments[at:at+got.skipped], got.segments)
	if skip == SkipYes {
		c.ranges = got.ranges
		return
	}
	gone := strings.Split(strings.Trim(got.skip["RECENTLY-REMOVED-DATERANGES"], `"`), "\t")
	c.ranges = slices.DeleteFunc(slices.Clone(c.ranges), func(r string) bool {
		return slices.Contains(gone, strings.Trim(attributes(t, r)["ID"], `"`))
	})
	for _, r := range got.ranges {
		if !slices.Contains(c.ranges, r) {
			c.ranges = append(c.ranges, r)
		}
	}
}

// entries gives what a client plays: of each entry its own lines, without those that repeat what is in force.
func entries(list []parsedSegment) []string {
	var out []string
	for i, seg := range list {
		lines := slices.DeleteFunc(slices.Clone(seg.lines), func(l string) bool { return strings.HasPrefix(l, "#EXT-X-MAP") })
		if i == 0 {
			lines = slices.DeleteFunc(lines, func(l string) bool { return l == "#EXT-X-DISCONTINUITY" })
		}
		out = append(out, strings.Join(lines, " ")+" in "+seg.init)
	}
	return out
}

func TestDLT2_DLT6_DLT7_WhoFollowsByDeltasHasTheFullPlaylist(t *testing.T) {
	s := long()
	for _, v := range s.versions {
		v.Subtitles = "en"
	}
	first := s.versions[0]
	follow := func(name string, p Playlist) {
		for _, skip := range []Skip{SkipYes, SkipV2} {
			c := NewCache(&Compressor{})
			var have client
			deltas := 0
			for i, v := range s.versions {
				body := Render(v, p, SkipNone, c)
				if i%17 > 0 && i%11 != 0 {
					continue
				}
				full := parse(t, slices.Concat(body.Plain()...))
				text := AppendMedia(nil, v, p, skip, c)
				got := parse(t, text)
				if i == 0 {
					got = full // a client that has nothing asks for all
				}
				if got.skipped > 0 {
					deltas++
				}
				have.apply(t, got, skip)
				if d := cmp.Diff(entries(full.segments), entries(have.segments)); d != "" {
					t.Fatalf("%s, version %d: %s", name, i, d)
				}
				slices.Sort(full.ranges)
				if mine := slices.Sorted(slices.Values(have.ranges)); !slices.Equal(mine, full.ranges) {
					t.Fatalf("%s, version %d: %s", name, i, cmp.Diff(full.ranges, mine))
				}
				if got.endlist != full.endlist || got.discontinuity != full.discontinuity || len(got.reports) != len(full.reports) {
					t.Fatalf("%s, version %d differs in more:\n%s", name, i, text)
				}
			}
			if deltas < 10 {
				t.Errorf("%s: %d deltas", name, deltas)
			}
		}
	}
	eachPlaylist(first, func(name string, p Playlist) {
		follow(name, p)
		if p.Kind == Whole {
			p.From = media.MSN(180)
			follow(name+" from 180", p)
		}
	})
}

func TestDLT1_NoDeltaWithEndlist(t *testing.T) {
	s := life(lowConstants(), videoTrack())
	v := s.versions[len(s.versions)-1]
	if Skippable(v, Playlist{Kind: Whole}, NewCache(&Compressor{})) {
		t.Error("delta offered with ENDLIST")
	}
	if p := parse(t, AppendMedia(nil, v, Playlist{Kind: Whole}, SkipYes, nil)); p.skipped != 0 {
		t.Error("delta rendered with ENDLIST")
	}
}
