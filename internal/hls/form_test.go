package hls

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// spoken is a life with subtitles; some of its segments have no I-frames, or none at their begin.
func spoken(c media.Constants) *sim {
	s := life(c, videoTrack(), audioTrack())
	for _, v := range s.versions {
		v.Subtitles = "en"
		segments := v.Renditions[0].Segments
		for i := range segments {
			if i%11 == 4 {
				segments[i].IFrames = nil
			} else if i%7 == 3 && len(segments[i].IFrames) > 1 {
				segments[i].IFrames = segments[i].IFrames[1:]
			}
		}
	}
	return s
}

// forms checks every version of the playlists of a form; prev is the version before.
func forms(t *testing.T, form Form, check func(t *testing.T, s *Snapshot, p Playlist, got, prev *parsed)) {
	t.Helper()
	for name, constants := range map[string]media.Constants{"low": lowConstants(), "standard": standardConstants()} {
		s := spoken(constants)
		for _, kind := range []Kind{Sliding, Whole} {
			t.Run(name+" "+kindName(kind), func(t *testing.T) {
				p := Playlist{Kind: kind, Form: form}
				c := NewCache(&Compressor{})
				var prev *parsed
				for i, v := range s.versions {
					if i%3 == 1 {
						continue
					}
					text := AppendMedia(nil, v, p, SkipNone, c)
					got := parse(t, text)
					if check(t, v, p, got, prev); t.Failed() {
						t.Fatalf("version %d:\n%s", i, text)
					}
					prev = got
				}
			})
		}
	}
}

func TestTD4_SC6_PRT1_PRT15_SYN4_FormsShareTheHeader(t *testing.T) {
	for _, form := range []Form{IFrames, Subtitles} {
		forms(t, form, func(t *testing.T, s *Snapshot, p Playlist, got, _ *parsed) {
			main := parse(t, AppendMedia(nil, s, Playlist{Kind: p.Kind}, SkipNone, nil))
			if got.target != main.target || fmt.Sprint(got.control) != fmt.Sprint(main.control) || got.kind != main.kind {
				t.Errorf("TD-4, SC-6: %d %v", got.target, got.control)
			}
			if got.partInf != "" || len(got.open.parts) > 0 || len(got.hints) > 0 || got.iframesOnly != (form == IFrames) {
				t.Errorf("PRT-1, PRT-15: %+v", got)
			}
			for _, seg := range got.segments {
				if len(seg.parts) > 0 {
					t.Errorf("PRT-15: parts in %d", seg.msn)
				}
			}
		})
	}
}

func TestIFR1_SEQ1_SEQ2_SEQ3_DSC1_GAP1_IFramePlaylists(t *testing.T) {
	lines, dsns := map[string]string{}, map[string]int{}
	forms(t, IFrames, func(t *testing.T, s *Snapshot, p Playlist, got, prev *parsed) {
		if prev != nil && (got.sequence < prev.sequence || got.discontinuity < prev.discontinuity) {
			t.Error("SEQ-1, DSC-1: a sequence went back")
		}
		listed := 0.0
		for i, seg := range got.segments {
			key := fmt.Sprintf("%s %d", t.Name(), seg.msn)
			own := seg.lines
			if i == 0 && seg.mapURI != "" && !seg.breaks {
				own = own[1:]
			}
			text := strings.Join(own, "\n")
			if old, seen := lines[key]; seen && (old != text || dsns[key] != seg.dsn) {
				t.Errorf("SEQ-2, SEQ-3: entry %d changed:\n%s\n%s", seg.msn, old, text)
			}
			lines[key], dsns[key] = text, seg.dsn
			if seg.gap != (seg.rng == "") || seg.init == "" || !strings.HasSuffix(seg.uri, ".m4s") || seg.date.IsZero() {
				t.Errorf("IFR-1: entry %+v", seg)
			}
			listed += seg.inf
			if i > 0 && !seg.breaks {
				before := got.segments[i-1]
				if d := seg.date.Sub(before.date).Seconds() - before.inf; math.Abs(d) > 0.02 {
					t.Errorf("PDT-3: entry %d is off by %f", seg.msn, d)
				}
			}
		}
		if got.sequence > 1 && got.segments[0].gap {
			t.Error("GAP-1: begins with a gap")
		}
		if int(s.Last(p, nil)) != got.sequence+len(got.segments)-1 {
			t.Errorf("last is %d", s.Last(p, nil))
		}
		if p.Kind == Whole {
			main := parse(t, AppendMedia(nil, s, Playlist{Kind: Whole}, SkipNone, nil))
			if math.Abs(main.duration()-listed) > 1e-3 {
				t.Errorf("IFR-1: entries of %f s, segments of %f s", listed, main.duration())
			}
		} else if got.sequence > 1 && listed < max(s.Window.Seconds(), 3*float64(got.target))-1e-3 {
			t.Errorf("SEQ-5: window of %f s", listed)
		}
	})
}

func TestSUB1_SubtitlesFollowTheFirstRendition(t *testing.T) {
	forms(t, Subtitles, func(t *testing.T, s *Snapshot, p Playlist, got, _ *parsed) {
		main := parse(t, AppendMedia(nil, s, Playlist{Kind: p.Kind}, SkipNone, nil))
		if got.sequence != main.sequence || got.discontinuity != main.discontinuity || len(got.segments) != len(main.segments) {
			t.Fatalf("SUB-1: %d from %d, segments %d from %d",
				len(got.segments), got.sequence, len(main.segments), main.sequence)
		}
		for i, seg := range got.segments {
			m := main.segments[i]
			uri := strings.Replace(strings.TrimSuffix(m.uri, ".m4s")+".vtt", "/video/", "/subtitles/", 1)
			if seg.uri != uri || seg.inf != m.inf || !seg.date.Equal(m.date) || seg.breaks != m.breaks || seg.dsn != m.dsn ||
				seg.gap || seg.mapURI != "" {
				t.Errorf("SUB-1: %+v, segment %+v", seg, m)
			}
		}
	})
}

func TestRR1_RR2_ReportsOfAllOtherPlaylists(t *testing.T) {
	s := spoken(lowConstants())
	v := s.versions[120]
	for name, tt := range map[string]struct {
		p    Playlist
		want string // URI and, with a plus, LAST-PART
	}{
		"video":     {Playlist{}, "audio.m3u8+ subtitles.m3u8"},
		"audio":     {Playlist{Rendition: 1}, "video.m3u8+ subtitles.m3u8"},
		"subtitles": {Playlist{Form: Subtitles}, "video.m3u8+ audio.m3u8+"},
		"iframes":   {Playlist{Form: IFrames}, "video.m3u8+ audio.m3u8+ subtitles.m3u8"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, rep := range parse(t, AppendMedia(nil, v, tt.p, SkipNone, nil)).reports {
				uri := strings.Trim(rep["URI"], `"`)
				if rep["LAST-PART"] != "" {
					uri += "+"
				} else if integer(t, rep["LAST-MSN"]) != len(v.Renditions[0].Segments) {
					t.Errorf("RR-2: %v", rep)
				}
				got = append(got, uri)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("RR-1: %s, want %s", got, tt.want)
			}
		})
	}
}

func TestBLK1_BLK4_BLK7_BLK9_FormsAreAskedForByTheirOwnNumbers(t *testing.T) {
	s := spoken(lowConstants())
	v, ended := s.versions[120], s.versions[len(s.versions)-1]
	c := NewCache(&Compressor{})
	for _, form := range []Form{IFrames, Subtitles} {
		for _, kind := range []Kind{Sliding, Whole} {
			p := Playlist{Kind: kind, Form: form}
			listed := parse(t, AppendMedia(nil, v, p, SkipNone, c))
			last := media.MSN(listed.sequence + len(listed.segments) - 1)
			for _, tt := range []struct {
				msn  media.MSN
				part int
				want Decision
			}{
				{1, -1, Serve}, {last, -1, Serve}, {last, 7, Serve}, {last + 1, -1, Wait}, {last + 1, 0, Wait},
				{last + 2, -1, Wait}, {last + 3, -1, Refuse},
			} {
				d := Directives{Blocking: true, MSN: tt.msn, Part: tt.part}
				if got := Decide(v, p, d, c); got != tt.want {
					t.Errorf("%v %d of %d: %s, want %s", p, tt.msn, last, got, tt.want)
				}
				if got := Decide(ended, p, d, c); got != Serve {
					t.Errorf("BLK-9: %v %d: %s", p, tt.msn, got)
				}
			}
		}
	}
	if Decide(v, Playlist{Kind: Whole, From: 3, To: 9}, Directives{Blocking: true, MSN: 99, Part: -1}, c) != Serve {
		t.Error("BLK-9: a clip has ENDLIST")
	}
}

func TestDLT1_DLT2_DLT6_FormsHaveDeltas(t *testing.T) {
	for _, form := range []Form{IFrames, Subtitles} {
		s := spoken(lowConstants())
		v := s.versions[200]
		p := Playlist{Kind: Whole, Form: form}
		full, delta := parse(t, AppendMedia(nil, v, p, SkipNone, nil)), parse(t, AppendMedia(nil, v, p, SkipYes, nil))
		if !Skippable(v, p, nil) || delta.skipped == 0 || delta.skipped+len(delta.segments) != len(full.segments) ||
			delta.segments[0].uri != full.segments[delta.skipped].uri || (delta.segments[0].mapURI == "") != (form == Subtitles) {
			t.Errorf("form %d: %d skipped of %d: %+v", form, delta.skipped, len(full.segments), delta.segments[0])
		}
	}
}

func TestGoldenForms(t *testing.T) {
	s := short(lowConstants(), videoTrack(), audioTrack())
	s.snap.Subtitles = "en"
	s.snap.Renditions[0].Segments[1].IFrames = nil
	s.tell(s.anchor.Add(3 * time.Second))
	live := s.publish()
	s.end()
	archived := *s.versions[len(s.versions)-1]
	archived.State = media.Archived
	for name, form := range map[string]Form{"iframes": IFrames, "subtitles": Subtitles} {
		golden(t, "live_"+name+".m3u8", AppendMedia(nil, live, Playlist{Form: form}, SkipNone, nil))
		golden(t, "event_"+name+".m3u8", AppendMedia(nil, live, Playlist{Kind: Whole, Form: form}, SkipNone, nil))
		golden(t, "vod_"+name+".m3u8", AppendMedia(nil, &archived, Playlist{Kind: Whole, Form: form}, SkipNone, nil))
	}
	golden(t, "event_ranges.m3u8", AppendMedia(nil, live, Playlist{Kind: Whole}, SkipNone, nil))
	golden(t, "clip_growing.m3u8", AppendMedia(nil, live, Playlist{Kind: Whole, From: 6}, SkipNone, nil))
	golden(t, "clip.m3u8", AppendMedia(nil, live, Playlist{Kind: Whole, From: 3, To: 11}, SkipNone, nil))
}

func TestHasNamesThePlaylistsOfARecording(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack()).publish()
	s.Renditions[0].IFrameBandwidth = 1
	has := func(p Playlist) bool { return s.Has(p) }
	if !has(Playlist{Form: IFrames}) || has(Playlist{Rendition: 1, Form: IFrames}) || has(Playlist{Rendition: 2}) ||
		has(Playlist{Form: Subtitles}) {
		t.Error("IFR-1, SUB-1: wrong playlists")
	}
	s.Subtitles = "en"
	if !has(Playlist{Form: Subtitles}) || has(Playlist{Rendition: 1, Form: Subtitles}) {
		t.Error("SUB-1: no subtitles")
	}
}
