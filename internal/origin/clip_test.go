package origin

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The studio's show begins at 11:06:40 and has segments of 2 s.
const (
	day   = "2026-11-18T"
	begin = day + "11:06:40.000Z"
)

// uris gives the URIs of a multivariant playlist's variants and of its tags.
func uris(text []byte) []string {
	var list []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if _, uri, ok := strings.Cut(line, `URI="`); ok {
			line = strings.TrimSuffix(uri, `"`)
		} else if strings.HasPrefix(line, "#") {
			continue
		}
		list = append(list, line)
	}
	return list
}

func TestRR1_HTTP15_ClipsOfALiveShow(t *testing.T) {
	s := newStudio(t)
	s.live() // 1 to 8, two parts of 9
	h, _ := s.handler(Config{})
	tests := []struct {
		query, cache, clip string
		first, last, start string
		ended              bool
	}{
		{"start=3", "max-age=1", "start=" + day + "11:06:43.000Z", "1/video/2.m4s", "2/video/8.m4s", "1.000", false},
		{"start=-4s", "max-age=1", "start=" + day + "11:06:52.000Z", "2/video/7.m4s", "2/video/8.m4s", "0.000", false},
		{"start=2026-11-18T12:06:42%2B01:00&end=-0s", "max-age=1",
			"start=" + day + "11:06:42.000Z&end=" + day + "11:06:56.000Z", "1/video/2.m4s", "2/video/8.m4s", "0.000", true},
		{"end=4", "max-age=1", "end=" + day + "11:06:44.000Z", "1/video/1.m4s", "1/video/2.m4s", "", true},
	}
	for _, tt := range tests {
		for _, index := range []string{"/acme/show/", testBase + "/"} {
			a := get(t, h, index+"index.m3u8?x=y&"+tt.query, 200)
			if got := a.Header.Get("Cache-Control"); got != "public, "+tt.cache {
				t.Errorf("%s: %s", tt.query, got)
			}
			list := uris(a.body)
			if len(list) != 2 {
				t.Fatalf("%s: %v", tt.query, list)
			}
			for _, uri := range list {
				if strings.Contains(uri, "live/") || !strings.HasSuffix(uri, ".m3u8?"+tt.clip) {
					t.Errorf("%s: %s, want %s", tt.query, uri, tt.clip)
				}
			}
			p := get(t, h, index+list[1], 200)
			text := string(p.body)
			if !strings.Contains(text, tt.first+"\n") || !strings.Contains(text, tt.last+"\n") ||
				strings.Contains(text, "ENDLIST") != tt.ended || strings.Count(text, "#EXTINF") > 7 {
				t.Errorf("%s:\n%s", tt.query, text)
			}
			if tt.start != "" && !strings.Contains(text, "#EXT-X-START:TIME-OFFSET="+tt.start+",PRECISE=YES\n") {
				t.Errorf("%s: no start at %s", tt.query, tt.start)
			}
			if report := `REPORT:URI="audio.m3u8?` + tt.clip + `"`; strings.Contains(text, report) == tt.ended {
				t.Errorf("%s: reports of\n%s", tt.query, text)
			}
		}
	}
	get(t, h, testBase+"/index.m3u8?start=3", 200, "Accept-Encoding: gzip")
}

func TestBLK9_HTTP8_FinishedClipsIgnoreDirectivesAndKeep(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, reg := s.handler(Config{})
	url := testBase + "/video.m3u8?start=0&end=4"
	first := get(t, h, url, 200)
	for _, more := range []string{"&_HLS_msn=9", "&_HLS_msn=99&_HLS_part=3", "&_HLS_part=x", "&_HLS_skip=v2"} {
		if a := get(t, h, url+more, 200); string(a.body) != string(first.body) {
			t.Errorf("%s: %s", more, a.body)
		}
	}
	if got := first.Header.Get("Cache-Control"); got != "public, max-age=60" {
		t.Error(got)
	}
	// All spellings of a clip are one rendering.
	get(t, h, testBase+"/video.m3u8?end=0h4s&start=2026-11-18T11:06:40Z", 200)
	if n := metric(t, reg, "oxbow_origin_playlist_renders_total"); n != 1 {
		t.Errorf("%v renders", n)
	}
}

func TestClipsThatAreNotThere(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	tests := []struct{ url, text string }{
		{"/video.m3u8?start=-10s", "ask index.m3u8"},
		{"/video.m3u8?end=-1s", "ask index.m3u8"},
		{"/live/video.m3u8?start=3", "playlist that slides"},
		{"/index.m3u8?start=60", "ahead of the live edge, " + day + "11:06:56.000Z"},
		{"/index.m3u8?start=0&end=60", "end, " + day + "11:07:40.000Z, is ahead of the live edge"},
		{"/index.m3u8?start=4&end=2026-11-18T11:06:44Z", "is not after start"},
		{"/index.m3u8?end=2026-11-18T11:06:40Z", "nothing was recorded before end"},
		{"/index.m3u8?start=4&end=4", "end is not after start"},
		{"/index.m3u8?start=tomorrow", "neither a time"},
		{"/video.m3u8?start=1&start=2", "twice"},
		{"/video.m3u8?start=3&_HLS_msn=12", "too far ahead"},
		{"/video.m3u8?start=3&_HLS_part=1", "_HLS_part"},
	}
	for _, tt := range tests {
		a := get(t, h, testBase+tt.url, http.StatusBadRequest)
		if !strings.Contains(string(a.body), tt.text) || a.Header.Get("Cache-Control") != "public, max-age=1" {
			t.Errorf("%s: %s, %v", tt.url, a.body, a.Header)
		}
	}
	s.interrupt()
	s.end2()
	// The end does not move: what is relative to it stays.
	if a := get(t, h, testBase+"/video.m3u8?start=-4s", 200); !strings.Contains(string(a.body), "ENDLIST") {
		t.Errorf("%s", a.body)
	}
	get(t, h, testBase+"/video.m3u8?start=60", http.StatusBadRequest)
	get(t, h, testBase+"/video.m3u8?start=0&end=60", http.StatusOK)
}

// end2 ends a show that is interrupted.
func (s *studio) end2() {
	s.tb.Helper()
	s.setState(media.Ended)
	s.next.State = media.Ended
	s.publish()
}

func TestBLK1_BLK11_ClipsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live() // up to 11:06:56
		h, _ := s.handler(Config{})
		starts := start(t, h, testBase+"/video.m3u8?start=17")
		ends := start(t, h, testBase+"/index.m3u8?end=18")
		blocks := start(t, h, testBase+"/video.m3u8?start=3&_HLS_msn=9")
		starts.held(t, "a start in the open segment")
		ends.held(t, "an end at its end")
		s.part()
		s.part()
		s.finish()
		s.open(false)
		s.publish()
		starts.answered(t, "start", 200, "/9.m4s")
		ends.answered(t, "end", 200, "end="+day+"11:06:58.000Z")
		blocks.answered(t, "blocking reload", 200, "2/video/9.m4s")
		late := start(t, h, testBase+"/video.m3u8?start=19")
		time.Sleep(6 * time.Second)
		late.answered(t, "start", 503, "")
		lost := start(t, h, testBase+"/video.m3u8?start=19")
		lost.held(t, "start")
		s.interrupt()
		lost.answered(t, "start", 503, "")
	})
}

func TestIFR1_SUB1_PlaylistsAreThereIfTheRecordingHasThem(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	urls := []string{"/video.iframes.m3u8", "/live/video.iframes.m3u8", "/subtitles.m3u8", "/live/subtitles.m3u8"}
	for _, url := range append(urls, "/1/subtitles/1.vtt") {
		get(t, h, testBase+url, 404)
	}
	s.next.Subtitles = "en"
	s.next.Renditions[0].IFrameBandwidth = 100_000
	s.publish()
	for _, url := range urls {
		get(t, h, testBase+url, 200)
	}
	get(t, h, testBase+"/audio.iframes.m3u8", 404)
	get(t, h, testBase+"/other.iframes.m3u8", 404)
	list := uris(get(t, h, testBase+"/index.m3u8", 200).body)
	if strings.Join(list, " ") != "audio.m3u8 subtitles.m3u8 video.m3u8 video.iframes.m3u8" {
		t.Errorf("%v", list)
	}
}
