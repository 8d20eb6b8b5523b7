package origin

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

func targets() map[string]target {
	here := ref{path: testPath, id: testID}
	return map[string]target{
		"/acme/show/index.m3u8":               {ref: ref{path: testPath}, kind: kindStream},
		testBase + "/index.m3u8":              {ref: here, kind: kindRecording},
		testBase + "/recording.mp4":           {ref: here, kind: kindDownload},
		testBase + "/live/video.m3u8":         {ref: here, kind: kindSliding, track: "video"},
		testBase + "/video.m3u8":              {ref: here, kind: kindWhole, list: hls.Whole, track: "video"},
		testBase + "/video.iframes.m3u8":      {ref: here, kind: kindIFrames, list: hls.Whole, track: "video"},
		testBase + "/live/video.iframes.m3u8": {ref: here, kind: kindIFrames, track: "video"},
		testBase + "/subtitles.m3u8":          {ref: here, kind: kindSubtitles, list: hls.Whole},
		testBase + "/live/subtitles.m3u8":     {ref: here, kind: kindSubtitles},
		testBase + "/12/subtitles/345.vtt":    {ref: here, kind: kindSubtitle, take: 12, msn: 345},
		testBase + "/1/video/init.mp4":        {ref: here, kind: kindInit, track: "video", take: 1},
		testBase + "/12/audio/345.m4s":        {ref: here, kind: kindSegment, track: "audio", take: 12, msn: 345},
		testBase + "/1/audio/345.0.m4s":       {ref: here, kind: kindPart, track: "audio", take: 1, msn: 345},
		testBase + "/1/a/3.17.m4s":            {ref: here, kind: kindPart, track: "a", take: 1, msn: 3, part: 17},
	}
}

func badPaths() []string {
	bad := []string{
		"", "/", "acme/show/index.m3u8", "/acme", "/acme/show", "/acme/show/", "/acme/show/index.html", "//show/index.m3u8",
		"/Acme/show/index.m3u8", "/acme/../index.m3u8", "/v1/show/index.m3u8", "/t/show/index.m3u8", "/acme//index.m3u8",
		"/acme/show/index.m3u8/", "/acme/show/live/index.m3u8", "/acme/show/index.m3u8/x", "/acme/show/" + string(testID),
		"/acme/show/" + strings.ToUpper(string(testID)) + "/index.m3u8", "/acme/show/index.m3u8\x00", "/acme/sh\now/index.m3u8",
	}
	for _, rest := range []string{
		"", "/", "/live", "/live/", "/live/.m3u8", "/.m3u8", "/live/video", "/live/video.m3u", "/LIVE/video.m3u8",
		"/recording.mp4.mp4", "/Recording.mp4", "/live/recording.mp4", "/1/recording.mp4", "/thumbnail.png", "/sprite-0.jpg",
		"/sprite-01.jpg", "/sprite-100.jpg", "/sprite-1.vtt", "/live/thumbnail.jpg",
		"/0/video/init.mp4", "/01/video/init.mp4", "/+1/video/init.mp4",
		"/-1/video/init.mp4", "/1/video/init.m4s", "/1/video/0.m4s", "/1/video/01.m4s", "/1/video/+1.m4s", "/1/video/1.mp4",
		"/1/video/1.01.m4s", "/1/video/1.-1.m4s", "/1/video/1..m4s", "/1/video/.1.m4s", "/1/video/1.2.3.m4s", "/1/video/.m4s",
		"/1/video/1e3.m4s", "/1/video/1_0.m4s", "/1/video/9999999999.m4s", "/9999999999/video/1.m4s", "/1/video/1.9999999999.m4s",
		"/subtitles.iframes.m3u8", "/.iframes.m3u8", "/video.iframes", "/video.iframes.iframes.m3u8", "/live/subtitles.vtt",
		"/subtitles.vtt", "/1/subtitles/1.m4s", "/1/subtitles/init.mp4", "/1/video/1.vtt", "/1/subtitles/0.vtt",
		"/1/subtitles/01.vtt", "/1/subtitles/1.0.vtt", "/0/subtitles/1.vtt", "/1/subtitles/.vtt", "/1/subtitles/x.vtt",
		"/1/Video/1.m4s", "/1/../1.m4s", "/1/video/1.m4s/", "/1/video/x/1.m4s", "/1//1.m4s", "/1/video/٣.m4s",
	} {
		bad = append(bad, testBase+rest)
	}
	return append(bad, "/acme/show/index.m3u8"+strings.Repeat("x", 300), "/"+strings.Repeat("a/", 100))
}

func TestPathsHaveOneSpelling(t *testing.T) {
	for path, want := range targets() {
		got, err := parsePath(path)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(target{}, ref{})); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", path, err, d)
		}
	}
	for _, path := range badPaths() {
		if got, err := parsePath(path); !errors.Is(err, media.ErrNotFound) || got.kind != kindNone {
			t.Errorf("%q: %+v, %v", path, got, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for path := range targets() {
		f.Add(path)
	}
	for _, path := range badPaths() {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := parsePath(path)
		if err != nil {
			return
		}
		if got.kind == kindNone || got.msn < 0 || got.part < 0 || strings.Contains(got.track, "/") || strings.Contains(path, "..") {
			t.Errorf("%q: %+v", path, got)
		}
	})
}

func TestRanges(t *testing.T) {
	tests := []struct {
		spec         string
		from, length int64
		what         int
	}{
		{"bytes=0-9", 0, 10, rangePart},
		{"bytes=0-", 0, 100, rangePart},
		{"bytes=99-", 99, 1, rangePart},
		{"bytes=10-1000", 10, 90, rangePart},
		{"bytes=10-99999999999999999999", 10, 90, rangePart},
		{"bytes=-10", 90, 10, rangePart},
		{"bytes=-1000", 0, 100, rangePart},
		{"BYTES=5-5", 5, 1, rangePart},
		{"bytes=100-", 0, 0, rangeBeyond},
		{"bytes=100-200", 0, 0, rangeBeyond},
		{"bytes=99999999999999999999-", 0, 0, rangeBeyond},
		{"bytes=-0", 0, 0, rangeBeyond},
		{"bytes=9-5", 0, 0, rangeNone},
		{"bytes=0-1,5-6", 0, 0, rangeNone},
		{"bytes=-", 0, 0, rangeNone},
		{"bytes=a-b", 0, 0, rangeNone},
		{"bytes=+1-2", 0, 0, rangeNone},
		{"items=0-1", 0, 0, rangeNone},
		{"bytes", 0, 0, rangeNone},
	}
	for _, tt := range tests {
		from, length, what := parseRange(tt.spec, 100)
		if from != tt.from || length != tt.length || what != tt.what {
			t.Errorf("%s: %d+%d, %d", tt.spec, from, length, what)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, spec := range []string{"bytes=0-9", "bytes=-5", "bytes=99-", "bytes=1-2,3-4", "bytes=9223372036854775807-"} {
		f.Add(spec, int64(100))
	}
	f.Fuzz(func(t *testing.T, spec string, size int64) {
		size = max(size, 0)
		from, length, what := parseRange(spec, size)
		if what == rangePart && (from < 0 || length < 1 || from > size-length) {
			t.Errorf("%q of %d: %d+%d", spec, size, from, length)
		}
	})
}

func TestHTTP6_AcceptEncoding(t *testing.T) {
	for field, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0, br": false, "*": true,
		"*;q=0": false, "identity": false, "x-gzip": true, "gzip;q=0, *": false, "br;q=1.0": false, "gzip;q=x": false,
	} {
		if acceptsGzip([]string{field}) != want {
			t.Errorf("%q: %t", field, !want)
		}
	}
}

func TestIfNoneMatch(t *testing.T) {
	for field, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `"x", "a"`: true, `"b"`: true, `*`: true, `"c"`: false, ``: false, `a`: false,
	} {
		if matches([]string{field}, `"a"`, `"b"`) != want {
			t.Errorf("%s: %t", field, !want)
		}
	}
}
