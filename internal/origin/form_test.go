package origin

import (
	"testing"
	"testing/synctest"

	"github.com/oxbow-video/oxbow/internal/media"
)

// I-frames are counted by their own playlist's numbers, subtitles by segments.
func TestBLK1_BLK4_BLK7_HTTP7_IFramesAndSubtitlesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.next.Subtitles = "en"
		s.next.Renditions[0].IFrameBandwidth = 100_000
		s.live() // 1 to 8
		h, _ := s.handler(Config{})
		iframes, subtitles := testBase+"/live/video.iframes.m3u8", testBase+"/live/subtitles.m3u8"
		s.part()
		s.part()
		s.finish()
		last := &s.next.Renditions[0].Segments[8]
		for i := range uint32(4) {
			last.IFrames = append(last.IFrames, media.IFrame{Time: i * 45_000, Offset: i * 3100, Size: 900})
		}
		a, b := start(t, h, iframes+"?_HLS_msn=9&_HLS_skip=YES"), start(t, h, subtitles+"?_HLS_msn=9&_HLS_part=1")
		a.held(t, "an I-frame")
		b.held(t, "subtitles")
		for _, bad := range []string{iframes + "?_HLS_msn=11", subtitles + "?_HLS_msn=11"} {
			get(t, h, bad, 400)
		}
		s.open(false)
		s.publish()
		a.answered(t, "an I-frame", 200, "2/video/9.m4s")
		b.answered(t, "subtitles", 200, "2/subtitles/9.vtt")
		for url, cache := range map[string]string{
			iframes: "max-age=1", iframes + "?_HLS_msn=12": "max-age=12", iframes + "?_HLS_msn=9": "max-age=1",
			subtitles: "max-age=1", subtitles + "?_HLS_msn=9": "max-age=12",
		} {
			if got := get(t, h, url, 200).Header.Get("Cache-Control"); got != "public, "+cache {
				t.Errorf("%s: %s, want %s", url, got, cache)
			}
		}
		next := start(t, h, iframes+"?_HLS_msn=13")
		next.held(t, "an I-frame of the next segment")
		s.end()
		next.answered(t, "the end", 200, "#EXT-X-ENDLIST")
		for url, cache := range map[string]string{
			iframes + "?_HLS_msn=99": "max-age=10", testBase + "/video.iframes.m3u8": "max-age=10",
			testBase + "/subtitles.m3u8?_HLS_msn=3": "max-age=10", testBase + "/video.iframes.m3u8?end=5": "max-age=60",
			testBase + "/subtitles.m3u8?start=-5": "max-age=10",
		} {
			if got := get(t, h, url, 200).Header.Get("Cache-Control"); got != "public, "+cache {
				t.Errorf("ended, %s: %s, want %s", url, got, cache)
			}
		}
	})
}
