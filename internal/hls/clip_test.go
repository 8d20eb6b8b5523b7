package hls

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// clipQueries are queries and their one spelling; "!" is an ErrInvalid.
func clipQueries() map[string]string {
	return map[string]string{
		"":                                     "",
		"a=b&&=&":                              "",
		"start=2026-11-20T10:38:00Z":           "start=2026-11-20T10:38:00.000Z",
		"start=2026-11-20T11:38:00.8239+01:00": "start=2026-11-20T10:38:00.823Z",
		"start=2026-11-20T11%3A38%3A00%2B01%3A00":                 "start=2026-11-20T10:38:00.000Z",
		"end=2026-11-20T10:38:00Z&x=y&start=2026-11-20T10:00:00Z": "start=2026-11-20T10:00:00.000Z&end=2026-11-20T10:38:00.000Z",
		"start=-10m":                       "start=-600.000",
		"start=-600":                       "start=-600.000",
		"start=-1h5m&end=-0s":              "start=-3900.000&end=-0.000",
		"start=-90.5":                      "start=-90.500",
		"start=90s&end=1h5m":               "start=90.000&end=3900.000",
		"start=+90s":                       "start=90.000",
		"start=600":                        "start=600.000",
		"start=0":                          "start=0.000",
		"%73tart=600&_HLS_msn=3":           "start=600.000",
		"start=-10m&end=600":               "start=-600.000&end=600.000",
		"start=":                           "!",
		"start":                            "!",
		"start=abc":                        "!",
		"start=1h5":                        "!",
		"start=%zz":                        "!",
		"start=1&start=2":                  "!",
		"start=1&start=1":                  "!",
		"start=2&end=1":                    "!",
		"start=2&end=2":                    "!",
		"start=-1m&end=-2m":                "!",
		"start=2026-11-20":                 "!",
		"start=2026-13-20T10:38:00Z":       "!",
		"start=1969-11-20T10:38:00Z":       "!",
		"start=9999-12-31T23:59:59-23:59":  "!",
		"start=2026-11-20T10:38:00":        "!",
		"start=1795171080000":              "!",
		"start=9999999h":                   "!",
		"start=1e3":                        "!",
		"start=" + strings.Repeat("0", 65): "!",
	}
}

func TestRR1_BLK12_ClipsHaveOneSpelling(t *testing.T) {
	for query, want := range clipQueries() {
		c, err := ParseClip(query)
		switch {
		case want == "!":
			if !errors.Is(err, media.ErrInvalid) || c != (Clip{}) {
				t.Errorf("%q: %+v, %v", query, c, err)
			}
		case err != nil || c.Query() != want:
			t.Errorf("%q: %q, %v; want %q", query, c.Query(), err, want)
		}
	}
}

func FuzzParseClip(f *testing.F) {
	for query := range clipQueries() {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		c, err := ParseClip(query)
		if err != nil {
			return
		}
		text := c.Query()
		if again, err := ParseClip(text); err != nil || again != c {
			t.Errorf("%q becomes %q, which reads as %+v, %v", query, text, again, err)
		}
		if len(text) > 80 || strings.Trim(text, "stared=n&-.:TZ0123456789") != "" {
			t.Errorf("%q becomes %q", query, text)
		}
	})
}

func mustClip(t *testing.T, query string) Clip {
	t.Helper()
	c, err := ParseClip(query)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The show begins at 10:38:00.823. Its segments are 2 s long; 10 is lost, 27 to 31 are fillers behind a short one.
func TestGAP1_ClipsOfALife(t *testing.T) {
	s := life(lowConstants(), videoTrack(), audioTrack())
	ended := s.versions[len(s.versions)-1]
	live := s.versions[len(s.versions)-2]
	edge := s.snap.Renditions[0].Last()
	tests := []struct {
		query    string
		from, to media.MSN
		canon    string
		offset   time.Duration
	}{
		{"start=2026-11-20T10:38:00.823Z", 1, 0, "start=2026-11-20T10:38:00.823Z", 0},
		{"start=2026-11-20T10:00:00Z", 1, 0, "start=2026-11-20T10:38:00.823Z", 0},
		{"start=5", 3, 0, "start=2026-11-20T10:38:05.823Z", time.Second},
		{"start=4", 3, 0, "start=2026-11-20T10:38:04.823Z", 0},
		{"start=19", 11, 0, "start=2026-11-20T10:38:20.823Z", 0},                                  // in what was lost
		{"start=55s", 32, 0, "start=2026-11-20T10:39:01.323Z", 0},                                 // in an interruption
		{"start=0&end=4", 1, 2, "start=2026-11-20T10:38:00.823Z&end=2026-11-20T10:38:04.823Z", 0}, // end is not in it
		{"start=0&end=4.001", 1, 3, "start=2026-11-20T10:38:00.823Z&end=2026-11-20T10:38:06.823Z", 0},
		{"end=20", 0, 9, "end=2026-11-20T10:38:18.823Z", 0}, // nor does it end with what was lost
		{"start=1&end=55", 1, 26, "start=2026-11-20T10:38:01.823Z&end=2026-11-20T10:38:51.323Z", time.Second},
	}
	for _, tt := range tests {
		for name, v := range map[string]*Snapshot{"live": live, "ended": ended} {
			e, d, err := v.Resolve(mustClip(t, tt.query))
			if err != nil || d != Serve || e.From != tt.from || e.To != tt.to || e.Offset != tt.offset {
				t.Errorf("%s %s: %+v, %s, %v", name, tt.query, e, d, err)
				continue
			}
			if got := e.Clip.Query(); got != tt.canon {
				t.Errorf("%s %s: %s, want %s", name, tt.query, got, tt.canon)
			}
			again, _, err := v.Resolve(e.Clip)
			if err != nil || again != e {
				t.Errorf("%s %s: resolved again %+v, %v; want %+v", name, tt.query, again, err, e)
			}
		}
	}
	if e, _, err := ended.Resolve(mustClip(t, "end=10h")); err != nil || e.To != edge {
		t.Errorf("an end behind the recording's: %+v, %v", e, err)
	}
}

func TestSEQ2_AClipStaysAsItIsWhileTheShowGrows(t *testing.T) {
	forEachLife(t, func(t *testing.T, s *sim) {
		type found struct {
			Extent
			at int
		}
		known := make(map[Clip]found)
		for i, v := range s.versions {
			for _, query := range []string{"start=-7", "start=-30&end=-3.3", "start=-4&end=-0", "end=-1", "start=21&end=41"} {
				e, d, err := v.Resolve(mustClip(t, query))
				if err == nil && d == Serve {
					known[e.Clip] = found{e, i}
				}
			}
			for clip, was := range known {
				again, d, err := v.Resolve(clip)
				was.Offset, again.Offset = 0, 0
				if err != nil || d != Serve || again != was.Extent {
					t.Fatalf("version %d: %+v, %s, %v; in version %d it was %+v", i, again, d, err, was.at, was.Extent)
				}
			}
		}
	})
}

func TestClipsAheadOfTheEdge(t *testing.T) {
	s := newSim(lowConstants(), videoTrack())
	empty := s.publish()
	s.run(10, false)
	live := s.publish()
	s.end()
	ended := s.publish()
	tests := []struct {
		v        *Snapshot
		query    string
		decision Decision
		err      string
	}{
		{empty, "start=0", Wait, ""},
		{live, "start=20", Wait, ""},
		{live, "start=26", Wait, ""},
		{live, "start=27", Serve, "start, 2026-11-20T10:38:27.823Z, is ahead of the live edge, 2026-11-20T10:38:20.823Z"},
		{live, "start=0&end=20", Serve, ""},
		{live, "start=0&end=21", Wait, ""},
		{live, "start=0&end=27", Serve, "end, 2026-11-20T10:38:27.823Z, is ahead of the live edge"},
		{live, "end=2026-11-20T10:00:00Z", Serve, "the recording begins at 2026-11-20T10:38:00.823Z"},
		{live, "start=10&end=2026-11-20T10:38:10.823Z", Serve, "not after start"},
		{ended, "start=20", Serve, "it ends at 2026-11-20T10:38:20.823Z"},
		{ended, "start=-5&end=999", Serve, ""},
	}
	for _, tt := range tests {
		e, d, err := tt.v.Resolve(mustClip(t, tt.query))
		if d != tt.decision || (err == nil) != (tt.err == "") {
			t.Errorf("%s of %s: %+v, %s, %v", tt.query, tt.v.State, e, d, err)
		}
		if err != nil && (!errors.Is(err, media.ErrInvalid) || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v", tt.query, err)
		}
	}
}

func TestGAP1_RR1_DSC2_PlaylistsOfClips(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(8, false)
	s.open(false)
	s.interrupt()
	s.gap(true)
	s.resume()
	s.run(20, true)
	v := s.publish()
	tests := []struct {
		query       string
		first, last int
		ended       bool
		breaks      int // discontinuity sequence
		start       string
	}{
		{"start=5", 3, 30, false, 0, "TIME-OFFSET=1.000,PRECISE=YES"},
		{"start=17", 11, 30, false, 0, "TIME-OFFSET=0.000,PRECISE=YES"}, // behind the fillers
		{"start=-20s", 21, 30, false, 1, "TIME-OFFSET=0.000,PRECISE=YES"},
		{"start=5&end=9", 3, 5, true, 0, "TIME-OFFSET=1.000,PRECISE=YES"},
		{"end=9", 1, 5, true, 0, ""},
	}
	for _, tt := range tests {
		e, _, err := v.Resolve(mustClip(t, tt.query))
		if err != nil {
			t.Fatal(err)
		}
		for r := range v.Renditions {
			text := AppendMedia(nil, v, e.Playlist(r, Whole, Media), SkipNone, nil)
			p := parse(t, text)
			first, last := p.segments[0], p.segments[len(p.segments)-1]
			if !strings.Contains(first.uri, fmt.Sprintf("/%d.m4s", tt.first)) || p.endlist != tt.ended || first.gap ||
				!strings.Contains(last.uri, fmt.Sprintf("/%d.m4s", tt.last)) || p.discontinuity != tt.breaks {
				t.Errorf("%s: %+v to %+v of\n%s", tt.query, first, last, text)
			}
			if start := withTag(text, "#EXT-X-START"); strings.Join(start, "") != tt.start {
				t.Errorf("%s: starts at %v", tt.query, start)
			}
			reports := withTag(text, "#EXT-X-RENDITION-REPORT")
			if tt.ended != (len(reports) == 0) || (!tt.ended && !strings.Contains(reports[0], `.m3u8?`+e.Clip.Query()+`"`)) {
				t.Errorf("%s: reports %v", tt.query, reports)
			}
		}
	}
}

func TestGAP1_LIF5_FinishedClipsOfFillers(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(8, false)
	s.open(false)
	s.interrupt()
	s.hold(5)
	s.resume()
	s.run(10, false)
	live := s.publish()
	s.end()
	archived := *s.publish()
	archived.State = media.Archived
	tests := []struct {
		v           *Snapshot
		query       string
		from, to    media.MSN // zero from is an error
		first, last string
	}{
		{live, "start=20", 11, 0, "1/video/11.m4s", ""},
		{&archived, "start=20", 15, 0, "2/video/15.m4s", "2/video/24.m4s"},
		{live, "start=20&end=40", 15, 21, "2/video/15.m4s", "2/video/21.m4s"},
		{live, "start=3&end=20", 2, 9, "1/video/2.m4s", "1/video/9.m4s"},
		{live, "start=18&end=23", 0, 0, "", ""},
		{&archived, "start=18&end=23", 0, 0, "", ""},
	}
	for _, tt := range tests {
		e, d, err := tt.v.Resolve(mustClip(t, tt.query))
		if tt.from == 0 {
			if !errors.Is(err, media.ErrInvalid) || e != (Extent{}) {
				t.Errorf("%s: %+v, %v", tt.query, e, err)
			}
			continue
		}
		if err != nil || d != Serve || e.From != tt.from || e.To != tt.to {
			t.Errorf("%s of %s: %+v, %s, %v", tt.query, tt.v.State, e, d, err)
			continue
		}
		p := parse(t, AppendMedia(nil, tt.v, e.Playlist(0, Whole, Media), SkipNone, nil))
		if got := p.segments[0].uri; got != tt.first {
			t.Errorf("%s begins with %s, not %s", tt.query, got, tt.first)
		}
		if got := p.segments[len(p.segments)-1].uri; tt.last != "" && got != tt.last {
			t.Errorf("%s ends with %s, not %s", tt.query, got, tt.last)
		}
		if e.From == 15 && e.Offset != 0 {
			t.Errorf("%s: begins %s behind the fillers", tt.query, e.Offset)
		}
	}
}

func TestIFR1_OnlyPlaylistsOfMediaHaveAStart(t *testing.T) {
	v := life(lowConstants(), videoTrack(), audioTrack()).snap
	for j := range v.Renditions[0].Segments {
		if seg := &v.Renditions[0].Segments[j]; j > 8 {
			seg.IFrames = nil // what was cut by force
		}
	}
	e, _, err := v.Resolve(mustClip(t, "start=41"))
	if err != nil || e.Offset == 0 {
		t.Fatal(err, e)
	}
	for _, form := range []Form{Media, IFrames} {
		got := withTag(AppendMedia(nil, &v, e.Playlist(0, Whole, form), SkipNone, nil), "#EXT-X-START")
		if (len(got) > 0) != (form == Media) {
			t.Errorf("form %d: %v", form, got)
		}
	}
}
