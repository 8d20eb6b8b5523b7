package hls

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func kindName(k Kind) string { return [...]string{"sliding", "whole"}[k] }

// rule checks one version of a playlist; prev is the version before.
type rule func(t *testing.T, s *Snapshot, r int, k Kind, p, prev *parsed)

// rules are checked over every version of every life. Each call makes new ones, since some remember.
func rules() map[string]rule {
	return map[string]rule{
		"SYN2_TD1_TD3_SC6_HeaderNeverChanges":     checkHeaderNeverChanges,
		"SEQ1_SEQ2_SEQ3_DSC1_SegmentsNeverChange": checkSegmentsNeverChange(),
		"TD2_RoundedDurationsWithinTarget":        checkRoundedDurationsWithinTarget,
		"SEQ5_SEQ8_GAP1_SlidingWindow":            checkSlidingWindow,
		"DSC3_DSC5_PDT1_PDT3_PDT6_Timeline":       checkTimeline,
		"PRT2_PRT5_PRT7_PRT9_PRT16_Parts":         checkParts,
		"HNT1_HNT2_HNT3_HNT6_Hints":               checkHints,
		"RR1_RR2_Reports":                         checkReports,
		"END1_LIF3_EndedPlaylistKeepsItsWindow":   checkEndedPlaylistKeepsItsWindow,
	}
}

// TestRules renders every version of every life, for both kinds and all renditions, through one line cache each, as
// origin does.
func TestRules(t *testing.T) {
	forEachLife(t, func(t *testing.T, sm *sim) {
		for _, k := range []Kind{Sliding, Whole} {
			for r := range sm.snap.Renditions {
				cache := NewCache(&Compressor{})
				texts, all := make([][]byte, len(sm.versions)), make([]*parsed, len(sm.versions)+1)
				for i, s := range sm.versions {
					texts[i] = AppendMedia(nil, s, Playlist{Rendition: r, Kind: k}, SkipNone, cache)
					if i%37 == 0 {
						if anew := AppendMedia(nil, s, Playlist{Rendition: r, Kind: k}, SkipNone, nil); !bytes.Equal(texts[i], anew) {
							t.Fatalf("cache and fresh render differ:\n%s", cmp.Diff(string(texts[i]), string(anew)))
						}
					}
					all[i+1] = parse(t, texts[i])
				}
				for name, check := range rules() {
					t.Run(kindName(k)+" "+sm.snap.Renditions[r].Name+" "+name, func(t *testing.T) {
						for i, s := range sm.versions {
							if check(t, s, r, k, all[i+1], all[i]); t.Failed() {
								t.Fatalf("version %d:\n%s", i, texts[i])
							}
						}
					})
				}
			}
		}
	})
}

func TestPlaylistsAreReadByGohlslib(t *testing.T) {
	forEachLife(t, func(t *testing.T, sm *sim) {
		for i, s := range sm.versions {
			if len(s.Renditions[0].Segments) == 0 || i%5 != 0 {
				continue
			}
			for _, k := range []Kind{Sliding, Whole} {
				text := AppendMedia(nil, s, Playlist{Kind: k}, SkipNone, nil)
				var m playlist.Media
				if err := m.Unmarshal(text); err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				p := parse(t, text)
				if len(m.Segments) != len(p.segments) || m.MediaSequence != p.sequence || m.Endlist != p.endlist ||
					len(m.Parts) != len(p.open.parts) || len(m.RenditionReport) != len(p.reports) {
					t.Fatalf("read differently: %+v\n%s", m, text)
				}
			}
		}
	})
}

func checkHeaderNeverChanges(t *testing.T, s *Snapshot, _ int, k Kind, p, prev *parsed) {
	if p.version != 10 || p.target != int(s.Constants.TargetDuration.Seconds()) {
		t.Errorf("version %d, target %d", p.version, p.target)
	}
	if want := [...]string{"", "EVENT"}[k]; p.kind != want { // END-2
		t.Errorf("PLAYLIST-TYPE %q", p.kind)
	}
	if prev != nil && (!cmp.Equal(p.control, prev.control) || p.partInf != prev.partInf || p.target != prev.target) {
		t.Errorf("PRT-4: header changed: %v %v", p, prev)
	}
}

func TestSC1_SC2_SC3_SC4_SC5_PRT1_PRT16_ServerControl(t *testing.T) {
	p := parse(t, AppendMedia(nil, life(lowConstants(), videoTrack()).versions[50], Playlist{Kind: Sliding}, SkipNone, nil))
	want := map[string]string{
		"CAN-BLOCK-RELOAD": "YES", "PART-HOLD-BACK": "1.8", "HOLD-BACK": "6.0", "CAN-SKIP-UNTIL": "12.0",
		"CAN-SKIP-DATERANGES": "YES",
	}
	if d := cmp.Diff(want, p.control); d != "" || p.partInf != "0.50001" {
		t.Errorf("%s %s", d, p.partInf)
	}
	c := lowConstants()
	c.PartHoldBack = 3 * c.PartTarget // exact: less than three times what is printed
	p = parse(t, AppendMedia(nil, life(c, videoTrack()).versions[50], Playlist{Kind: Sliding}, SkipNone, nil))
	if number(t, p.control["PART-HOLD-BACK"]) < 3*number(t, p.partInf)-1e-9 {
		t.Errorf("SC-3: %s < 3 x %s", p.control["PART-HOLD-BACK"], p.partInf)
	}
	p = parse(t, AppendMedia(nil, life(standardConstants(), videoTrack()).versions[50], Playlist{Kind: Sliding}, SkipNone, nil))
	if _, has := p.control["PART-HOLD-BACK"]; has || p.partInf != "" || len(p.hints) > 0 {
		t.Errorf("standard latency has tags of parts: %v", p)
	}
}

func checkSegmentsNeverChange() rule {
	lines, dsns := map[int]string{}, map[int]int{}
	return func(t *testing.T, _ *Snapshot, r int, k Kind, p, prev *parsed) {
		if prev != nil && (p.sequence < prev.sequence || p.discontinuity < prev.discontinuity) {
			t.Errorf("SEQ-1, DSC-1: sequence went back: %d -> %d", prev.sequence, p.sequence)
		}
		for i, seg := range p.segments {
			own := seg.lines
			if i == 0 && seg.mapURI != "" && !seg.breaks {
				own = own[1:] // the MAP that stands before the first segment only while it is the first
			}
			text := strings.Join(own, "\n")
			if old, seen := lines[seg.msn]; seen && old != text || seen && dsns[seg.msn] != seg.dsn {
				t.Errorf("SEQ-3: segment %d changed:\n%s\n%s\ndsn %d %d", seg.msn, old, text, dsns[seg.msn], seg.dsn)
			}
			lines[seg.msn], dsns[seg.msn] = text, seg.dsn
			if !strings.HasSuffix(seg.uri, fmt.Sprintf("/%d.m4s", seg.msn)) || seg.init == "" {
				t.Errorf("segment %d is at %s with init %q", seg.msn, seg.uri, seg.init)
			}
		}
	}
}

func checkRoundedDurationsWithinTarget(t *testing.T, _ *Snapshot, _ int, _ Kind, p, _ *parsed) {
	for _, seg := range p.segments {
		if math.Floor(seg.inf+0.5) > float64(p.target) {
			t.Errorf("EXTINF %f", seg.inf)
		}
	}
}

func checkSlidingWindow(t *testing.T, s *Snapshot, r int, k Kind, p, _ *parsed) {
	if k == Whole {
		if p.sequence != 1 {
			t.Errorf("END-2: EVENT playlist lost its head: %d", p.sequence)
		}
		return
	}
	if p.sequence == 1 {
		return
	}
	if p.duration() < s.Window.Seconds()-1e-3 || p.duration() < 3*float64(p.target) || len(p.segments) < 6 {
		t.Errorf("window of %f s, %d segments", p.duration(), len(p.segments))
	}
	if p.segments[0].gap {
		t.Errorf("GAP-1: window begins with a gap")
	}
	// It is no longer than needed: without its head it would be too short or begin with a gap.
	rest := p.duration() - p.segments[0].inf
	if rest > s.Window.Seconds() && rest > 3*float64(p.target) && len(p.segments) > 6 && !p.segments[1].gap {
		t.Errorf("window of %f s is too long", p.duration())
	}
}

func TestGAP1_WindowBeginsWithAGapOnlyIfThereIsNothingElse(t *testing.T) {
	s := newSim(lowConstants(), videoTrack())
	for range 40 {
		s.gap(false)
	}
	all := parse(t, AppendMedia(nil, s.publish(), Playlist{Kind: Sliding}, SkipNone, nil))
	s.run(2, false)
	p := parse(t, AppendMedia(nil, s.publish(), Playlist{Kind: Sliding}, SkipNone, nil))
	if all.sequence != 1 || p.sequence != 41 || p.segments[0].gap {
		t.Errorf("begins at %d, then %d", all.sequence, p.sequence)
	}
}

func TestGAP1_PRT9_PartsOfAGapAreGaps(t *testing.T) {
	s := newSim(lowConstants(), audioTrack())
	s.run(8, false)
	s.gap(true)
	text := string(AppendMedia(nil, s.publish(), Playlist{Kind: Sliding}, SkipNone, nil))
	for k := range 4 {
		want := fmt.Sprintf("#EXT-X-PART:DURATION=0.49068,URI=\"../1/audio/9.%d.m4s\",GAP=YES\n", k)
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Count(text, "GAP=YES") != 4 {
		t.Errorf("other parts are gaps, too:\n%s", text)
	}
}

func TestHNT3_AFullSegmentHintsAtTheNext(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(8, false)
	for range 4 {
		s.part()
	}
	v := s.publish()
	for i := range v.Renditions {
		open := *v.Renditions[i].Open
		open.Full = true
		v.Renditions[i].Open = &open
	}
	text := string(AppendMedia(nil, v, Playlist{Kind: Sliding}, SkipNone, nil))
	if !strings.Contains(text, `URI="../1/video/9.3.m4s"`) || !strings.Contains(text, `TYPE=PART,URI="../1/video/10.0.m4s"`) {
		t.Errorf("%s", text[max(0, len(text)-900):])
	}
	for _, d := range []Directives{{Blocking: true, MSN: 9, Part: 4}, {Blocking: true, MSN: 10, Part: 0}} {
		if got := Decide(v, Playlist{Kind: Sliding}, d, nil); got != Wait {
			t.Errorf("%+v: %v", d, got)
		}
	}
}

func checkTimeline(t *testing.T, s *Snapshot, r int, _ Kind, p, _ *parsed) {
	for i, seg := range p.segments {
		if seg.date.IsZero() {
			t.Errorf("PDT-6: segment %d has no date", seg.msn)
		}
		if i == 0 {
			continue
		}
		before := p.segments[i-1]
		newTake := s.Renditions[r].Segments[seg.msn-1].Take != s.Renditions[r].Segments[before.msn-1].Take
		if seg.breaks != newTake || (seg.mapURI != "") != newTake {
			t.Errorf("DSC-3: segment %d: break %t, map %q", seg.msn, seg.breaks, seg.mapURI)
		}
		if diff := seg.date.Sub(before.date).Seconds() - before.inf; math.Abs(diff) > 0.02 && !seg.breaks {
			t.Errorf("PDT-3: segment %d is off by %f", seg.msn, diff)
		}
	}
	if len(p.open.parts) > 0 && (p.open.date.IsZero() || p.open.init == "") {
		t.Errorf("PDT-6, PRT-13: open segment %+v", p.open)
	}
}

func TestDSC4_SameDiscontinuitiesInAllRenditions(t *testing.T) {
	s := life(lowConstants(), videoTrack(), audioTrack())
	v := s.versions[len(s.versions)-1]
	video, audio := parse(t, AppendMedia(nil, v, Playlist{Kind: Whole}, SkipNone, nil)), parse(t, AppendMedia(nil, v, Playlist{Rendition: 1, Kind: Whole}, SkipNone, nil))
	for i := range video.segments {
		if video.segments[i].breaks != audio.segments[i].breaks || video.segments[i].dsn != audio.segments[i].dsn {
			t.Errorf("segment %d", i+1)
		}
	}
}

func checkParts(t *testing.T, s *Snapshot, r int, _ Kind, p, _ *parsed) {
	if s.Constants.PartTarget == 0 {
		return
	}
	timescale := s.timescale(1, s.Renditions[r].Name)
	all := append(slices.Clone(p.segments), p.open)
	edge := p.duration()
	for _, part := range p.open.parts {
		edge += number(t, part["DURATION"])
	}
	begin := 0.0
	for _, seg := range all {
		sum := 0.0
		for i, part := range seg.parts {
			printed := number(t, part["DURATION"])
			own := s.openParts(&s.Renditions[r])
			if seg.uri != "" {
				own = s.Renditions[r].SegmentParts(media.MSN(seg.msn))
			}
			exact := float64(own[i].Duration) / float64(timescale)
			if over := printed - exact; over < 10e-6-1e-9 || over > 20e-6+1e-9 {
				t.Errorf("PRT-16: part %d.%d is %f over", seg.msn, i, over)
			}
			if printed > number(t, p.partInf) {
				t.Errorf("PRT-2: part %f", printed)
			}
			if (part["INDEPENDENT"] == "YES") != own[i].Independent {
				t.Errorf("PRT-9: part %d.%d", seg.msn, i)
			}
			sum += printed
		}
		if len(seg.parts) > 0 && begin < edge-4*float64(p.target)-0.01 {
			t.Errorf("PRT-7: parts of segment %d are %f from the edge", seg.msn, edge-begin)
		}
		whole := seg.uri != "" && len(s.Renditions[r].SegmentParts(media.MSN(seg.msn))) == 0
		if seg.uri != "" && !whole && len(seg.parts) == 0 && begin+seg.inf > edge-3*float64(p.target)+0.01 {
			t.Errorf("PRT-7: no parts of segment %d, %f from the edge", seg.msn, edge-begin)
		}
		if seg.uri != "" && len(seg.parts) > 0 && math.Abs(sum-seg.inf) > 21e-6*float64(len(seg.parts)) {
			t.Errorf("PRT-5: parts of %d are %f, EXTINF %f", seg.msn, sum, seg.inf)
		}
		begin += seg.inf
	}
}

func checkHints(t *testing.T, s *Snapshot, r int, k Kind, p, prev *parsed) {
	msn, part, want := s.Hint(r)
	if !want {
		if len(p.hints) > 0 {
			t.Errorf("HNT-6: hint %v", p.hints)
		}
		return
	}
	last := p.hints[len(p.hints)-1]
	base := strings.Repeat("../", int(1-k))
	uri := fmt.Sprintf(`"%s%d/%s/%d.%d.m4s"`, base, s.Renditions[r].Open.Take, s.Renditions[r].Name, msn, part)
	if last["TYPE"] != "PART" || last["URI"] != uri {
		t.Errorf("HNT-1: %v, want %s", p.hints, uri)
	}
	if firstOfTake := len(p.hints) == 2 && p.hints[0]["TYPE"] == "MAP"; len(p.hints) != 1 && !firstOfTake {
		t.Errorf("HNT-2: %v", p.hints)
	}
	if prev == nil || len(prev.hints) == 0 {
		return
	}
	// What was hinted is hinted still, or is listed now. The simulation never ends a segment early but by interruption.
	hinted, listed := prev.hints[len(prev.hints)-1]["URI"], uri
	for _, seg := range append(slices.Clone(p.segments), p.open) {
		for _, part := range seg.parts {
			if part["URI"] == hinted {
				listed = hinted
			}
		}
	}
	if listed != hinted {
		t.Errorf("HNT-3: %s was hinted and never came", hinted)
	}
}

func checkReports(t *testing.T, s *Snapshot, r int, _ Kind, p, _ *parsed) {
	others := len(s.Renditions) - 1
	if p.endlist || len(s.Renditions[0].Segments) == 0 {
		return
	}
	if len(p.reports) != others {
		t.Fatalf("RR-1: %v", p.reports)
	}
	for _, rep := range p.reports {
		// All renditions of the simulation advance together, so a report says what its own playlist lists.
		msn, last := len(p.segments)+p.sequence-1, 0
		if n := len(p.segments); n > 0 && len(p.segments[n-1].parts) > 0 {
			last = len(p.segments[n-1].parts) - 1
		}
		if len(p.open.parts) > 0 {
			msn, last = msn+1, len(p.open.parts)-1
		}
		if integer(t, rep["LAST-MSN"]) != msn || strings.Contains(rep["URI"], "/") {
			t.Errorf("RR-2: %v, want %d", rep, msn)
		}
		if s.Constants.PartTarget > 0 && integer(t, rep["LAST-PART"]) != last {
			t.Errorf("RR-2: %v, want %d.%d", rep, msn, last)
		}
	}
}

func checkEndedPlaylistKeepsItsWindow(t *testing.T, s *Snapshot, _ int, k Kind, p, prev *parsed) {
	if p.endlist == s.State.Growing() {
		t.Errorf("ENDLIST %t in state %s", p.endlist, s.State)
	}
	if p.endlist && (len(p.open.parts) > 0 || len(p.hints) > 0 || len(p.control) == 0) {
		t.Errorf("END-1: %+v", p)
	}
	if p.endlist && k == Sliding && p.sequence == 1 {
		t.Errorf("END-2: the sliding playlist became a whole one")
	}
}
