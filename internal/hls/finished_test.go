package hls

import (
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestEND2_SEQ1_DSC1_ClipsThatGrow(t *testing.T) {
	for _, form := range []Form{Media, IFrames, Subtitles} {
		s := spoken(lowConstants())
		for _, from := range []media.MSN{2, 11, 27, 31} {
			p := Playlist{Kind: Whole, Form: form, From: from}
			c := NewCache(&Compressor{})
			sequence := 0
			for i, v := range s.versions {
				if i%4 > 0 || v.Renditions[0].Last() < from {
					continue
				}
				got := parse(t, AppendMedia(nil, v, p, SkipNone, c))
				whole := parse(t, AppendMedia(nil, v, Playlist{Kind: Whole, Form: form}, SkipNone, c))
				if sequence == 0 {
					sequence = got.sequence
				}
				if got.sequence != sequence || got.kind != "EVENT" || got.endlist != whole.endlist || len(got.segments) == 0 {
					t.Fatalf("END-2, SEQ-1: %s from %d, endlist %t", got.kind, got.sequence, got.endlist)
				}
				same := whole.segments[got.sequence-1:]
				if len(same) != len(got.segments) || len(got.hints) != len(whole.hints) {
					t.Fatalf("%d segments, %d in the whole", len(got.segments), len(same))
				}
				for i, seg := range got.segments {
					if seg.uri != same[i].uri || seg.dsn != same[i].dsn || seg.msn != same[i].msn || seg.init != same[i].init {
						t.Fatalf("DSC-1: %+v, in the whole %+v", seg, same[i])
					}
				}
				if got.segments[0].gap {
					t.Fatal("GAP-1: begins with a gap")
				}
			}
		}
	}
}

func TestEND1_END2_LIF5_DSC1_SYN5_FinishedClips(t *testing.T) {
	s := spoken(lowConstants())
	live := s.versions[len(s.versions)-2]
	archived := *s.versions[len(s.versions)-1]
	archived.State = media.Archived
	for _, form := range []Form{Media, IFrames, Subtitles} {
		for _, tt := range []struct{ from, to, first, last media.MSN }{
			{0, 5, 1, 5}, {5, 5, 5, 5}, {10, 20, 11, 20}, {20, 40, 20, 40}, {27, 35, 32, 35}, {40, 900, 40, 0},
		} {
			for _, v := range []*Snapshot{live, &archived} {
				segments := v.Renditions[0].Segments
				got := parse(t, AppendMedia(nil, v, Playlist{Kind: Whole, Form: form, From: tt.from, To: tt.to}, SkipV2, nil))
				if got.kind != "VOD" || !got.endlist || got.version != [...]int{6, 5, 4}[form] || len(got.control) > 0 || len(got.hints) > 0 {
					t.Fatalf("END-2: %+v", got)
				}
				last := tt.last
				if last == 0 {
					last = media.MSN(len(segments))
				}
				begin, end := &segments[tt.first-1], &segments[last-1]
				if form == IFrames {
					continue // the first of its segments may have none
				}
				first, final := got.segments[0], got.segments[len(got.segments)-1]
				if !first.date.Equal(begin.Date) || !final.date.Equal(end.Date) || first.dsn != begin.Take-1 || final.dsn != end.Take-1 {
					t.Errorf("form %d, %d to %d: %v (%d) to %v (%d)", form, tt.from, tt.to, first.date, first.dsn, final.date, final.dsn)
				}
			}
		}
	}
}

func TestEND2_ArchivedClipWithoutAnEnd(t *testing.T) {
	s := spoken(lowConstants())
	v := *s.versions[len(s.versions)-1]
	v.State = media.Archived
	got := parse(t, AppendMedia(nil, &v, Playlist{Kind: Whole, From: 40}, SkipNone, nil))
	if n := len(v.Renditions[0].Segments); got.kind != "VOD" || len(got.segments) != n-39 || got.discontinuity != 1 {
		t.Errorf("%s of %d segments of %d, dsn %d", got.kind, len(got.segments), n, got.discontinuity)
	}
}

func TestClipsOutsideOfTheRecordingAreEmpty(t *testing.T) {
	v := spoken(lowConstants()).versions[100]
	for _, p := range []Playlist{{Kind: Whole, From: 9000}, {Kind: Whole, From: 9000, To: 9001}, {Kind: Whole, From: 9, To: 3}} {
		for _, form := range []Form{Media, IFrames, Subtitles} {
			p.Form = form
			if got := parse(t, AppendMedia(nil, v, p, SkipYes, nil)); len(got.segments) > 0 {
				t.Errorf("%+v lists %d", p, len(got.segments))
			}
		}
	}
}
