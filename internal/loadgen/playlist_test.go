package loadgen

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const lowLatency = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.8,HOLD-BACK=6.0,CAN-SKIP-UNTIL=12.0
#EXT-X-PART-INF:PART-TARGET=0.50001
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-SKIP:SKIPPED-SEGMENTS=3
#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:38:00.823Z
#EXTINF:2.000000,
../1/video/10.m4s
#EXT-X-PART:DURATION=0.50001,URI="../1/video/11.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50001,URI="../1/video/11.1.m4s"
#EXTINF:1.000000,
../1/video/11.m4s
#EXT-X-PART:DURATION=0.50001,URI="../1/video/12.0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="../1/video/12.1.m4s"
#EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=12,LAST-PART=0
`

func TestEdgeOfAPlaylist(t *testing.T) {
	var e edge
	if err := e.parse([]byte(lowLatency)); err != nil {
		t.Fatal(err)
	}
	want := []piece{
		{10, -1, "../1/video/10.m4s", 2 * time.Second, false},
		{11, 0, "../1/video/11.0.m4s", 500010 * time.Microsecond, false},
		{11, 1, "../1/video/11.1.m4s", 500010 * time.Microsecond, false},
		{12, 0, "../1/video/12.0.m4s", 500010 * time.Microsecond, false},
	}
	if !slices.Equal(e.pieces, want) {
		t.Errorf("pieces %v, want %v", e.pieces, want)
	}
	if e.msn != 12 || e.part != 1 {
		t.Errorf("the next is %d.%d, want 12.1", e.msn, e.part)
	}
	if e.target != 2*time.Second || e.partTarget.Round(time.Microsecond) != 500010*time.Microsecond {
		t.Errorf("target %v, part target %v", e.target, e.partTarget)
	}
	if !e.blocks || !e.skips || e.ended {
		t.Errorf("%+v", e)
	}
	if err := e.parse([]byte("#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n")); err != nil || !e.ended || e.blocks || e.msn != 1 {
		t.Errorf("a playlist without parts: %+v, %v", e, err)
	}
	for _, bad := range []string{"", "<html>", "#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=x\n"} {
		if err := e.parse([]byte(bad)); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestRenditionsOfAPlaylist(t *testing.T) {
	const multivariant = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="en",DEFAULT=NO,URI="live/audio2.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="de",DEFAULT=YES,URI="live/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="audio"
live/video.m3u8?session=1
#EXT-X-STREAM-INF:BANDWIDTH=2
live/video2.m3u8
`
	for _, tt := range []struct {
		text string
		want []string
	}{
		{multivariant, []string{"/acme/show/live/video.m3u8?session=1", "/acme/show/live/audio.m3u8"}},
		{"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/abs.m3u8\n", []string{"/abs.m3u8"}},
		{"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://other/abs.m3u8?a=b\n", []string{"/abs.m3u8?a=b"}},
		{lowLatency, []string{"/acme/show/index.m3u8"}},
	} {
		got, err := renditions("/acme/show/index.m3u8", []byte(tt.text))
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("got %q, %v, want %q", got, err, tt.want)
		}
	}
	if _, err := renditions("/", []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n")); !errors.Is(err, media.ErrInvalid) {
		t.Errorf("without a variant: %v", err)
	}
}

func FuzzEdge(f *testing.F) {
	f.Add([]byte(lowLatency))
	f.Add([]byte("#EXTM3U\n#EXT-X-PART:URI=\"a\nb"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e edge
		if e.parse(text) == nil && len(e.pieces) > len(text)/2+1 {
			t.Errorf("%d pieces of %d bytes", len(e.pieces), len(text))
		}
	})
}

func FuzzSamplesOf(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x18moof\x00\x00\x00\x10trun\x00\x00\x00\x00\x00\x00\x00\x07"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := samplesOf(data); n < 0 {
			t.Errorf("%d samples", n)
		}
	})
}
