package ingest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

const hlsMedia = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="1/init.mp4",BYTERANGE="700@0"
#EXTINF:2.000,
#EXT-X-BYTERANGE:1000@700
all.mp4
#EXTINF:1.5,title
#EXT-X-BYTERANGE:500
all.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="2/init.mp4"
#EXT-X-GAP
#EXTINF:2,
c.mp4
#EXT-X-PART:DURATION=0.5,URI="d.0.mp4"
#EXTINF:2,
d.mp4
#EXT-X-ENDLIST
`

const hlsMultivariant = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English, loud",LANGUAGE="en",URI="en.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="x",URI="s.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=100,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x360,AUDIO="a"
low.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=900,CODECS="mp4a.40.2",AUDIO="a"
audio.m3u8
`

func TestParseHLS(t *testing.T) {
	p, err := parseHLS(hlsMedia)
	if err != nil {
		t.Fatal(err)
	}
	one, two := hlsResource{uri: "1/init.mp4", length: 700}, hlsResource{uri: "2/init.mp4"}
	want := []hlsSegment{
		{msn: 7, discontinuity: 3, duration: 2 * time.Second, media: hlsResource{"all.mp4", 700, 1000}, init: one},
		{msn: 8, discontinuity: 3, duration: 1500 * time.Millisecond, media: hlsResource{"all.mp4", 1700, 500}, init: one},
		{msn: 9, discontinuity: 4, duration: 2 * time.Second, gap: true, media: hlsResource{uri: "c.mp4"}, init: two},
		{msn: 10, discontinuity: 4, duration: 2 * time.Second, media: hlsResource{uri: "d.mp4"}, init: two},
	}
	if !slices.Equal(p.segments, want) || !p.ended || p.target != 2*time.Second {
		t.Errorf("%+v", p)
	}

	p, err = parseHLS(hlsMultivariant)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.variants) != 2 || p.variants[0] != (hlsVariant{"low.m3u8", 100, "a", true}) || p.variants[1].video {
		t.Errorf("%+v", p.variants)
	}
	if len(p.audio) != 1 || p.audio[0] != (hlsAudio{"a", "en.m3u8", "English, loud", "en"}) {
		t.Errorf("%+v", p.audio)
	}
}

func TestParseHLSRefusals(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"a page", "<html>", media.ErrUnsupported},
		{"nothing", "", media.ErrUnsupported},
		{"encrypted", "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n", media.ErrUnsupported},
		{"negative sequence", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-1\n", media.ErrInvalid},
		{"endless segment", "#EXTM3U\n#EXTINF:+Inf,\n", media.ErrInvalid},
		{"not a number", "#EXTM3U\n#EXTINF:NaN,\n", media.ErrInvalid},
		{"endless playlist", "#EXTM3U\n" + strings.Repeat("a\n", maxHLSSegments+1), media.ErrTooLarge},
		{"empty range", "#EXTM3U\n#EXT-X-BYTERANGE:0@1\n", media.ErrInvalid},
	} {
		if _, err := parseHLS(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func FuzzParseHLS(f *testing.F) {
	f.Add(hlsMedia)
	f.Add(hlsMultivariant)
	f.Fuzz(func(t *testing.T, text string) {
		defer fuzztest.Bound(t, 4<<20+256*len(text))()
		p, err := parseHLS(text)
		if err != nil {
			return
		}
		for i, s := range p.segments {
			if s.duration < 0 || s.media.length < 0 || s.media.offset < -1 || i > 0 && s.msn != p.segments[i-1].msn+1 {
				t.Errorf("segment %d: %+v", i, s)
			}
		}
		(&hlsPosition{next: -1}).news(p)
	})
}

func TestHLSPosition(t *testing.T) {
	playlist := func(first, last int64) *hlsPlaylist {
		p := &hlsPlaylist{target: 2 * time.Second}
		for msn := first; msn <= last; msn++ {
			p.segments = append(p.segments, hlsSegment{msn: msn, duration: 2 * time.Second})
		}
		return p
	}
	at := hlsPosition{next: -1}
	for _, c := range []struct {
		name        string
		first, last int64
		want        []int64
		missing     bool
		restarts    int64
	}{
		{"three target durations from the end", 0, 9, []int64{7, 8, 9}, false, 0},
		{"nothing new", 0, 9, nil, false, 0},
		{"what is new", 2, 11, []int64{10, 11}, false, 0},
		{"past us", 20, 25, []int64{23, 24, 25}, true, 0},
		{"begun anew", 0, 1, []int64{0, 1}, true, 1},
	} {
		var got []int64
		for _, s := range at.news(playlist(c.first, c.last)) {
			got = append(got, s.msn)
			at.next = s.msn + 1
		}
		if !slices.Equal(got, c.want) || at.missing != c.missing || at.restarts != c.restarts {
			t.Errorf("%s: got %v, %+v", c.name, got, at)
		}
	}
}

func TestPacer(t *testing.T) {
	now := time.Unix(1000, 0)
	var p pacer
	for _, c := range []struct {
		name          string
		dts           time.Duration
		discontinuity int64
		behind        bool
		after         time.Duration // since the row before
		want          time.Duration
	}{
		{"the first goes at once", time.Hour, 0, false, 0, 0},
		{"the next waits its time", time.Hour + time.Second, 0, false, 0, time.Second},
		{"a tenth less when more is there", time.Hour + 2*time.Second, 0, true, time.Second, 900 * time.Millisecond},
		{"late goes at once", time.Hour + 3*time.Second, 0, false, 10 * time.Second, 0},
		{"and those after it wait from then", time.Hour + 4*time.Second, 0, false, 0, time.Second},
		{"a jump is another timeline", 2 * time.Hour, 0, false, time.Second, 0},
		{"so is a discontinuity", 2*time.Hour + time.Second, 1, false, 0, 0},
	} {
		now = now.Add(c.after)
		if got := p.wait(c.dts, c.discontinuity, c.behind, now); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
