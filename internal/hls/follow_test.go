package hls

import (
	"bytes"
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
	skips := [...]Skip{SkipYes, SkipV2}
	follow := func(name string, p Playlist) {
		c := NewCache(&Compressor{}) // one for all, as in a server
		var have [len(skips)]client
		var deltas [len(skips)]int
		for i, v := range s.versions {
			body := Render(v, p, SkipNone, c)
			if i%17 > 0 && i%11 != 0 {
				continue
			}
			full := parse(t, slices.Concat(body.Plain()...))
			want := entries(full.segments)
			slices.Sort(full.ranges)
			for n, skip := range skips {
				text := AppendMedia(nil, v, p, skip, c)
				got := parse(t, text)
				if i == 0 {
					got = full // a client that has nothing asks for all
				}
				if got.skipped > 0 {
					deltas[n]++
				}
				have[n].apply(t, got, skip)
				if mine := entries(have[n].segments); !slices.Equal(want, mine) {
					t.Fatalf("%s, version %d: %s", name, i, cmp.Diff(want, mine))
				}
				if mine := slices.Sorted(slices.Values(have[n].ranges)); !slices.Equal(mine, full.ranges) {
					t.Fatalf("%s, version %d: %s", name, i, cmp.Diff(full.ranges, mine))
				}
				if got.endlist != full.endlist || got.discontinuity != full.discontinuity || len(got.reports) != len(full.reports) {
					t.Fatalf("%s, version %d differs in more:\n%s", name, i, text)
				}
			}
		}
		if min(deltas[0], deltas[1]) < 10 {
			t.Errorf("%s: %v deltas", name, deltas)
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

func TestDLT1_DLT2_DLT3_DLT4_DLT6_DeltaUpdates(t *testing.T) {
	forEachLife(t, func(t *testing.T, sm *sim) {
		deltas := 0
		for _, k := range []Kind{Sliding, Whole} {
			cache := NewCache(&Compressor{})
			for i, s := range sm.versions {
				if i%3 > 0 {
					continue
				}
				full := parse(t, AppendMedia(nil, s, Playlist{Kind: k}, SkipNone, cache))
				text := AppendMedia(nil, s, Playlist{Kind: k}, SkipYes, cache)
				if !Skippable(s, Playlist{Kind: k}, cache) {
					if !bytes.Equal(text, AppendMedia(nil, s, Playlist{Kind: k}, SkipNone, cache)) {
						t.Fatalf("DLT-6: not the full playlist:\n%s", text)
					}
					continue
				}
				deltas++
				checkDelta(t, s, full, parse(t, text))
				v2 := parse(t, AppendMedia(nil, s, Playlist{Kind: k}, SkipV2, cache))
				if v2.version != 10 || v2.skip["RECENTLY-REMOVED-DATERANGES"] != `""` || v2.skipped != len(full.segments)-len(v2.segments) {
					t.Fatalf("DLT-7: %+v", v2)
				}
			}
		}
		if deltas == 0 {
			t.Error("no deltas at all")
		}
	})
}

func checkDelta(t *testing.T, s *Snapshot, full, delta *parsed) {
	t.Helper()
	if delta.version < 9 || delta.sequence != full.sequence || delta.discontinuity != full.discontinuity {
		t.Fatalf("DLT-2, DLT-4: %+v", delta)
	}
	if delta.skipped+len(delta.segments) != len(full.segments) || delta.segments[0].mapURI == "" {
		t.Fatalf("DLT-6: %d skipped of %d, %d left", delta.skipped, len(full.segments), len(delta.segments))
	}
	fromEnd := 0.0
	for i := len(full.segments) - 1; i >= 0; i-- {
		fromEnd += full.segments[i].inf
		if i < delta.skipped { // DLT-3
			if fromEnd-full.segments[i].inf < s.canSkipUntil().Seconds()-0.001 {
				t.Fatalf("DLT-3: segment %d was skipped, %f from the end", full.segments[i].msn, fromEnd)
			}
			continue
		}
		if fromEnd-full.segments[i].inf > s.canSkipUntil().Seconds()+0.001 {
			t.Fatalf("DLT-3: segment %d is there, %f from the end", full.segments[i].msn, fromEnd)
		}
		a, b := delta.segments[i-delta.skipped], full.segments[i]
		a.dsn, b.dsn, a.lines, b.lines, a.mapURI, b.mapURI = 0, 0, nil, nil, "", ""
		if d := cmp.Diff(a, b, cmp.AllowUnexported(parsedSegment{})); d != "" {
			t.Fatalf("DLT-2: %s", d)
		}
	}
	if d := cmp.Diff([]any{full.open.parts, full.hints, full.reports}, []any{delta.open.parts, delta.hints, delta.reports}); d != "" {
		t.Fatalf("DLT-2: %s", d)
	}
}
