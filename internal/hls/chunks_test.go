package hls

import (
	"bytes"
	"compress/gzip"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// long is a show of some ten minutes with two takes and a range every 5 s, a version per part of its last minutes.
func long() *sim {
	s := recorder(200)
	for i := range 80 {
		s.tell(s.anchor.Add(time.Duration(i) * 5 * time.Second))
	}
	s.run(40, false)
	s.open(false)
	s.interrupt()
	s.gap(true)
	s.resume()
	for range 90 {
		s.tell(s.date(0))
		s.run(1, false)
	}
	s.end()
	return s
}

// eachPlaylist calls f for the playlists that a snapshot has, of all kinds and forms.
func eachPlaylist(s *Snapshot, f func(name string, p Playlist)) {
	for _, kind := range []Kind{Sliding, Whole} {
		for _, form := range []Form{Media, IFrames, Subtitles} {
			for r := range s.Renditions {
				if p := (Playlist{Rendition: r, Kind: kind, Form: form}); s.Has(p) {
					f(kindName(kind)+" "+[...]string{"media", "iframes", "subtitles"}[form]+" "+s.Renditions[r].Name, p)
				}
			}
		}
	}
}

// unpack reads one gzip member, as browsers do, and nothing may follow it.
func unpack(t *testing.T, packed []byte) []byte {
	t.Helper()
	in := bytes.NewReader(packed)
	r, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	plain, err := io.ReadAll(r)
	if err != nil || in.Len() > 0 {
		t.Fatalf("%v, %d bytes behind the member", err, in.Len())
	}
	return plain
}

func TestHTTP6_HTTP21_ChunkedBodiesAreThoseOfAnyNode(t *testing.T) {
	s := long()
	s.snap.Subtitles = "en"
	for _, v := range s.versions {
		v.Subtitles = "en"
	}
	eachPlaylist(s.versions[0], func(name string, p Playlist) {
		t.Run(name, func(t *testing.T) {
			c := NewCache(&Compressor{})
			shared := 0
			tags := map[string]string{}
			for i, v := range s.versions {
				if i%4 > 1 {
					continue
				}
				for _, skip := range []Skip{SkipNone, SkipYes} {
					body := Render(v, p, skip, c)
					text := bytes.Join(body.Plain(), nil)
					shared += len(body.Plain()) - 1
					if old, seen := tags[body.ETag]; seen && old != string(text) {
						t.Fatal("HTTP-21: one tag for two texts")
					}
					tags[body.ETag] = string(text)
					if i%37 > 0 {
						continue
					}
					packed := bytes.Join(body.Gzip(), nil)
					if !bytes.Equal(unpack(t, packed), text) {
						t.Fatalf("version %d unpacks to other text", i)
					}
					other := Render(v, p, skip, nil)
					if d := cmp.Diff(string(bytes.Join(other.Plain(), nil)), string(text)); d != "" {
						t.Fatalf("version %d without a cache:\n%s", i, d)
					}
					if other.ETag != body.ETag || !bytes.Equal(bytes.Join(other.Gzip(), nil), packed) {
						t.Fatalf("version %d: another node gives another tag or other bytes", i)
					}
				}
			}
			if shared == 0 {
				t.Error("no version had chunks")
			}
		})
	})
}

func TestHTTP21_ETagTellsTextsApartThatDifferInsideAChunk(t *testing.T) {
	tag := func(change int) string {
		s := recorder(200)
		s.snap.Renditions[0].Segments[change].Date = s.anchor
		return Render(s.publish(), Playlist{Kind: Whole}, SkipNone, nil).ETag
	}
	if a, b, c := tag(0), tag(40), tag(41); a == b || b == c || a != tag(0) {
		t.Errorf("tags %s %s %s", a, b, c)
	}
}

func TestHTTP6_GzipAndZlibAcceptChunks(t *testing.T) {
	s := long()
	v := s.versions[len(s.versions)-50]
	c := NewCache(&Compressor{})
	Render(s.versions[0], Playlist{Kind: Whole}, SkipNone, c)
	body := Render(v, Playlist{Kind: Whole}, SkipNone, c)
	packed, text := bytes.Join(body.Gzip(), nil), bytes.Join(body.Plain(), nil)
	for name, args := range map[string][]string{
		"gzip": {"-dc"},
		"node": {"-e", `process.stdout.write(require("zlib").gunzipSync(require("fs").readFileSync(0)))`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skip(err)
			}
			cmd := exec.CommandContext(t.Context(), name, args...)
			cmd.Stdin = bytes.NewReader(packed)
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, text) {
				t.Errorf("%v: %d bytes of %d", err, len(out), len(text))
			}
		})
	}
}

func TestOldVersionsAreRenderedWhenTheCacheHasForgottenTheirBegin(t *testing.T) {
	s := recorder(100)
	s.run(400, false)
	c := NewCache(&Compressor{})
	p := Playlist{Kind: Sliding}
	old := s.versions[0]
	before := Render(old, p, SkipNone, c)
	want := string(bytes.Join(before.Plain(), nil))
	for _, v := range s.versions {
		Render(v, p, SkipNone, c)
	}
	last := s.versions[len(s.versions)-1]
	if l := c.list(last, p).lines; l.cut == 0 {
		t.Fatal("nothing was forgotten")
	}
	if !bytes.Equal(unpack(t, bytes.Join(before.Gzip(), nil)), []byte(want)) {
		t.Error("a body that is compressed late has other text")
	}
	again := Render(old, p, SkipNone, c)
	if got := string(bytes.Join(again.Plain(), nil)); got != want || again.ETag != before.ETag {
		t.Errorf("rendered differently:\n%s", cmp.Diff(want, got))
	}
}

func TestSlidingCacheKeepsLittleMoreThanItsWindow(t *testing.T) {
	s := recorder(3000)
	c := NewCache(&Compressor{})
	v := s.publish()
	body := Render(v, Playlist{Kind: Sliding}, SkipNone, c)
	kept, listed := len(c.list(v, Playlist{Kind: Sliding}).lines.text), length(body.Plain())
	if kept > 4*listed {
		t.Errorf("keeps %d bytes of text for a playlist of %d", kept, listed)
	}
}

func TestCacheServesManyAtATime(t *testing.T) {
	s := long()
	c := NewCache(&Compressor{})
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i, v := range s.versions {
				if i%8 != n {
					continue
				}
				for _, kind := range []Kind{Sliding, Whole} {
					body := Render(v, Playlist{Kind: kind, Rendition: n % 2}, Skip(n%3), c)
					plain, err := gzip.NewReader(bytes.NewReader(bytes.Join(body.Gzip(), nil)))
					if err != nil {
						t.Error(err)
						return
					}
					if text, err := io.ReadAll(plain); err != nil || !bytes.Equal(text, bytes.Join(body.Plain(), nil)) {
						t.Errorf("version %d: %v", i, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestIFR1_IFramesBoundTheirSegment(t *testing.T) {
	seg := media.Segment{DTS: 180000, Duration: 180000, Size: 1000}
	frame := func(at, offset, size uint32) media.IFrame { return media.IFrame{Time: at, Offset: offset, Size: size} }
	for name, tt := range map[string]struct {
		frames []media.IFrame
		want   string // of each entry: microseconds, size@offset or gap
	}{
		"one":                 {[]media.IFrame{frame(0, 0, 90)}, "2000000 90@0"},
		"two":                 {[]media.IFrame{frame(0, 0, 90), frame(90000, 500, 80)}, "1000000 90@0, 1000000 80@500"},
		"none":                {nil, "2000000 gap"},
		"late":                {[]media.IFrame{frame(45000, 200, 90)}, "500000 gap, 1500000 90@200"},
		"behind the end":      {[]media.IFrame{frame(0, 0, 90), frame(180000, 500, 80)}, "2000000 90@0"},
		"past the bytes":      {[]media.IFrame{frame(0, 0, 90), frame(90000, 990, 80)}, "2000000 90@0"},
		"twice at once":       {[]media.IFrame{frame(0, 0, 90), frame(0, 100, 90)}, "2000000 90@100"},
		"none that is of any": {[]media.IFrame{frame(0, 0, 2000)}, "2000000 gap"},
	} {
		t.Run(name, func(t *testing.T) {
			seg.IFrames = tt.frames
			var got []string
			end := time.Duration(0)
			for _, e := range IFrames.appendItems(nil, &seg, 90000) {
				text := string(appendInt(nil, "", e.inf))
				if e.gap {
					text += "gap"
				} else {
					text = string(appendRange([]byte(text), e.offset, e.size))
				}
				got = append(got, strings.ReplaceAll(text, "\n", " "))
				if d := e.end - end; d != time.Duration(e.inf)*time.Microsecond {
					t.Errorf("lasts %s, listed with %d us", d, e.inf)
				}
				end = e.end
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if !slices.EqualFunc(Media.appendItems(nil, &seg, 90000), Subtitles.appendItems(nil, &seg, 90000),
		func(a, b item) bool { return a == b }) {
		t.Error("SUB-1: subtitles differ from the segments")
	}
}

func TestClipsShareTheTextOfTheRecording(t *testing.T) {
	s := recorder(100)
	v := s.publish()
	c := NewCache(&Compressor{})
	for i := range 50 {
		p := Playlist{Kind: Whole, From: media.MSN(i + 1), Query: "start=" + strings.Repeat("1", i), Offset: time.Duration(i)}
		Render(v, p, SkipNone, c)
		Skippable(v, p, c)
		v.Last(p, c)
	}
	if n := len(c.mu.lists); n != 1 {
		t.Errorf("viewers of clips made %d caches of one playlist", n)
	}
}

func TestHTTP6_ClipsThatBeginEarlierCompressNothingAgain(t *testing.T) {
	s := recorder(1000)
	v := s.publish()
	c := NewCache(&Compressor{})
	packed := 0
	for _, from := range []media.MSN{900, 500, 33, 1, 990, 700} {
		body := Render(v, Playlist{Kind: Whole, From: from}, SkipNone, c)
		if text := unpack(t, bytes.Join(body.Gzip(), nil)); !bytes.Equal(text, bytes.Join(body.Plain(), nil)) {
			t.Fatalf("from %d it unpacks to other text", from)
		}
		l := c.list(v, Playlist{Kind: Whole}).lines
		if l.packFrom != 0 || packed > 0 && len(l.packed) != packed {
			t.Errorf("from %d: blocks from chunk %d, %d bytes after %d", from, l.packFrom, len(l.packed), packed)
		}
		packed = len(l.packed)
	}
}
