package hls

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// everyText gives all playlists of some versions of a life: live, ended and archived, of all forms, in full and
// as deltas, and those of the bucket.
func everyText(t *testing.T, f func(t *testing.T, name string, text []byte)) {
	t.Helper()
	s := spoken(lowConstants())
	for i, v := range s.versions {
		v.Metadata = s.snap.Metadata
		for n := range i / 10 {
			v.Metadata = append(v.Metadata, instant(n+1, s.anchor.Add(time.Duration(n)*9*time.Second)))
		}
	}
	archived := *s.versions[len(s.versions)-1]
	archived.State = media.Archived
	c := NewCache(&Compressor{})
	for i, v := range append(slices.Clone(s.versions), &archived) {
		if i%26 > 0 && v.State.Growing() {
			continue
		}
		eachPlaylist(v, func(name string, p Playlist) {
			cache := c
			if v == &archived {
				cache = nil
			}
			for _, skip := range []Skip{SkipNone, SkipYes, SkipV2} {
				f(t, fmt.Sprintf("%s skip %d version %d", name, skip, i), AppendMedia(nil, v, p, skip, cache))
			}
		})
	}
	for r := range archived.Renditions {
		f(t, "static", Static(&archived, "")[archived.Renditions[r].Name+".m3u8"])
	}
}

func TestSYN1_SYN3_SYN4_SYN6_DSC2_TD1_EveryPlaylistIsWellFormed(t *testing.T) {
	everyText(t, func(t *testing.T, name string, text []byte) {
		parse(t, text) // fails the test by SYN-1, SYN-3, SYN-4 and SYN-6
		for _, tag := range []string{
			"#EXTM3U", "#EXT-X-VERSION:", "#EXT-X-TARGETDURATION:", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-DISCONTINUITY-SEQUENCE:",
		} {
			at, first := bytes.Index(text, []byte(tag)), bytes.Index(text, []byte("#EXTINF:"))
			if bytes.Count(text, []byte(tag)) != 1 || first >= 0 && at > first {
				t.Errorf("%s: SYN-4, DSC-2: %s is there %d times", name, tag, bytes.Count(text, []byte(tag)))
			}
		}
	})
}

func TestDEF1_NoVariables(t *testing.T) {
	everyText(t, func(t *testing.T, name string, text []byte) {
		if bytes.Contains(text, []byte("EXT-X-DEFINE")) || bytes.Contains(text, []byte("{$")) {
			t.Errorf("%s uses variables", name)
		}
	})
}

func TestPDT2_PDT7_DatesOverlapByLessThanASecond(t *testing.T) {
	everyText(t, func(t *testing.T, name string, text []byte) {
		p := parse(t, text)
		for i := 1; i < len(p.segments); i++ {
			before := p.segments[i-1]
			end := before.date.Add(time.Duration(before.inf * float64(time.Second)))
			if overlap := end.Sub(p.segments[i].date); overlap >= time.Second {
				t.Errorf("%s: PDT-2: entry %d overlaps by %s", name, p.segments[i].msn, overlap)
			}
		}
		for _, seg := range p.segments {
			if len(p.ranges) > 0 && seg.date.IsZero() {
				t.Errorf("%s: PDT-7: ranges, but entry %d has no date", name, seg.msn)
			}
		}
	})
}

func TestSEQ4_PartsNeverChangeAndGoInOrder(t *testing.T) {
	forEachLife(t, func(t *testing.T, s *sim) {
		for r := range s.snap.Renditions {
			c := NewCache(&Compressor{})
			known := map[string]string{}
			oldest := ""
			for _, v := range s.versions {
				p := parse(t, AppendMedia(nil, v, Playlist{Rendition: r}, SkipNone, c))
				first := ""
				for _, seg := range append(slices.Clone(p.segments), p.open) {
					for i, part := range seg.parts {
						key := fmt.Sprintf("%06d.%03d", seg.msn, i)
						if first == "" {
							first = key
						}
						if text := fmt.Sprint(part); known[key] != "" && known[key] != text {
							t.Errorf("part %s was %s, is %s", key, known[key], text)
						} else {
							known[key] = text
						}
					}
				}
				if first != "" && first < oldest {
					t.Errorf("part %s is back, %s was the first", first, oldest)
				}
				oldest = max(oldest, first)
			}
		}
	})
}

func TestSEQ11_FirstMSNIs1(t *testing.T) {
	s := spoken(lowConstants())
	eachPlaylist(s.versions[6], func(name string, p Playlist) {
		if got := parse(t, AppendMedia(nil, s.versions[6], p, SkipNone, nil)); got.sequence != 1 || len(got.segments) == 0 {
			t.Errorf("%s begins with %d", name, got.sequence)
		}
	})
}

func TestDLT5_DeltasAreOfferedWhateverTheWindow(t *testing.T) {
	s := newSim(lowConstants(), videoTrack())
	s.run(200, false)
	for _, window := range []time.Duration{time.Minute, 2 * time.Minute, time.Hour} {
		v := *s.versions[len(s.versions)-1]
		v.Window = window
		for _, kind := range []Kind{Sliding, Whole} {
			p := parse(t, AppendMedia(nil, &v, Playlist{Kind: kind}, SkipNone, nil))
			if p.control["CAN-SKIP-UNTIL"] != "12.0" || p.control["CAN-SKIP-DATERANGES"] != "YES" {
				t.Errorf("%s: %v", window, p.control)
			}
		}
	}
}

func TestHNT8_PRT13_NewTakeHintsItsMapAndOpensWithIt(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(3, false)
	s.open(false)
	s.interrupt()
	s.resume()
	s.open(false)
	for r, name := range []string{"video", "audio"} {
		p := parse(t, AppendMedia(nil, s.publish(), Playlist{Rendition: r}, SkipNone, nil))
		want := fmt.Sprintf(`"../2/%s/init.mp4"`, name)
		if len(p.hints) != 2 || p.hints[0]["TYPE"] != "MAP" || p.hints[0]["URI"] != want || p.hints[1]["TYPE"] != "PART" {
			t.Errorf("HNT-8: hints %v", p.hints)
		}
	}
	s.part()
	v := s.publish()
	for r := range v.Renditions {
		text := AppendMedia(nil, v, Playlist{Rendition: r}, SkipNone, nil)
		p := parse(t, text)
		if len(p.hints) != 1 || p.hints[0]["TYPE"] != "PART" {
			t.Errorf("HNT-8: the MAP is hinted at when it is listed: %v", p.hints)
		}
		if !p.open.breaks || p.open.mapURI == "" || p.open.date.IsZero() || len(p.open.parts) != 1 {
			t.Errorf("PRT-13: open segment %+v", p.open)
		}
		open := text[bytes.LastIndex(text, []byte(".m4s\n#EXT-X-DISCONTINUITY\n")):]
		at := -1
		for _, tag := range []string{"#EXT-X-DISCONTINUITY\n", "#EXT-X-MAP:", "#EXT-X-PROGRAM-DATE-TIME:", "#EXT-X-PART:"} {
			next := bytes.Index(open, []byte(tag))
			if next <= at {
				t.Errorf("PRT-13: %s out of order in\n%s", tag, open)
			}
			at = next
		}
	}
}

func TestPRT10_PRT14_AllAudioPartsAndNoOthersButRandomAccessPointsAreIndependent(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(3, false)
	s.open(false)
	s.part()
	s.part()
	v := s.publish()
	for r := range v.Renditions {
		p := parse(t, AppendMedia(nil, v, Playlist{Rendition: r}, SkipNone, nil))
		for _, seg := range append(slices.Clone(p.segments), p.open) {
			for i, part := range seg.parts {
				if independent := part["INDEPENDENT"] == "YES"; independent != (r == 1 || i == 0) {
					t.Errorf("rendition %d: part %d.%d: INDEPENDENT %t", r, seg.msn, i, independent)
				}
			}
			if len(seg.parts) == 0 {
				t.Errorf("rendition %d: segment %d has no parts", r, seg.msn)
			}
		}
	}
}
