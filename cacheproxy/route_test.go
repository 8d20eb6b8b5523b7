package cacheproxy

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
)

func routeTable() map[string]string {
	return map[string]string{
		streamBase + "/index.m3u8":             "multivariant",
		recBase + "/index.m3u8":                "multivariant",
		recBase + "/video.m3u8":                "playlist",
		recBase + "/live/audio.m3u8":           "playlist",
		recBase + "/1/video/init.mp4":          "init",
		recBase + "/12/video/1.m4s":            "segment",
		recBase + "/1/audio/1234567.0.m4s":     "part",
		recBase + "/1/audio/1.12.m4s":          "part",
		recBase + "/video.iframes.m3u8":        "playlist",
		recBase + "/live/video.iframes.m3u8":   "playlist",
		recBase + "/subtitles.m3u8":            "playlist",
		recBase + "/live/subtitles.m3u8":       "playlist",
		recBase + "/1/subtitles/12.vtt":        "subtitle",
		recBase + "/1/subtitles/0.vtt":         "",
		recBase + "/1/subtitles/01.vtt":        "",
		recBase + "/1/subtitles/1.m4s":         "",
		recBase + "/1/subtitles/init.mp4":      "",
		recBase + "/1/video/12.vtt":            "",
		recBase + "/subtitles.iframes.m3u8":    "",
		recBase + "/.iframes.m3u8":             "",
		recBase + "/video.iframes":             "",
		recBase + "/subtitles.vtt":             "",
		recBase + "/recording.mp4":             "download",
		recBase + "/thumbnail.jpg":             "image",
		streamBase + "/thumbnail.jpg":          "image",
		recBase + "/thumbnails.vtt":            "image",
		recBase + "/sprite-1.jpg":              "image",
		recBase + "/sprite-99.jpg":             "image",
		recBase + "/sprite-100.jpg":            "",
		recBase + "/sprite-0.jpg":              "",
		recBase + "/sprite-01.jpg":             "",
		recBase + "/sprite-1":                  "",
		recBase + "/live/thumbnail.jpg":        "",
		streamBase + "/sprite-1.jpg":           "",
		"":                                     "",
		"/":                                    "",
		"acme/show/index.m3u8":                 "",
		"/acme/show":                           "",
		"/acme/show/":                          "",
		"/acme/show/index.m3u8/":               "",
		"/acme/show/video.m3u8":                "",
		"/acme//index.m3u8":                    "",
		"//acme/show/index.m3u8":               "",
		"/Acme/show/index.m3u8":                "",
		"/acme/sh%6fw/index.m3u8":              "",
		"/v1/show/index.m3u8":                  "",
		"/t/token/acme/show/index.m3u8":        "",
		"/acme/show/../show/index.m3u8":        "",
		"/acme/show/./index.m3u8":              "",
		"/acme/show/short/index.m3u8":          "",
		recBase + "/.m3u8":                     "",
		recBase + "/Video.m3u8":                "",
		recBase + "/live/index.m3u8":           "",
		recBase + "/dvr/video.m3u8":            "",
		recBase + "/live/video.mp4":            "",
		recBase + "/0/video/1.m4s":             "",
		recBase + "/01/video/1.m4s":            "",
		recBase + "/1/video/0.m4s":             "",
		recBase + "/1/video/01.m4s":            "",
		recBase + "/1/video/+1.m4s":            "",
		recBase + "/1/video/1.00.m4s":          "",
		recBase + "/1/video/1..m4s":            "",
		recBase + "/1/video/1.2.3.m4s":         "",
		recBase + "/1/video/9999999999999.m4s": "",
		recBase + "/1/video/1.m4s/":            "",
		recBase + "/1/video/1.m4s/x":           "",
		recBase + "/1/video/1.mp4":             "",
		recBase + "/1/vid.eo/1.m4s":            "",
		recBase + "/1/video/1.m4s\x00":         "",
	}
}

func TestParseRoute(t *testing.T) {
	for path, want := range routeTable() {
		rt, err := parseRoute(path)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken for a %s", path, rt.kind)
		case want != "" && (err != nil || rt.kind.String() != want):
			t.Errorf("%q: %s, %v; want %s", path, rt.kind, err, want)
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	for path := range routeTable() {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rt, err := parseRoute(path)
		if err != nil {
			return
		}
		if strings.Trim(path, "abcdefghijklmnopqrstuvwxyz0123456789_-./") != "" || strings.Contains(path, "..") ||
			strings.Contains(path, "//") || len(path) > maxPath {
			t.Errorf("%q is taken for a %s", path, rt.kind)
		}
		text, directed := textPath(path)
		if text != rt.kind.text() || directed != (rt.kind == kindPlaylist) {
			t.Errorf("%q: key and route disagree", path)
		}
	})
}

// Odd requests, as bytes on a socket: none is redirected (HTTP-12), none reaches an upstream or the directory.
func TestHTTP11_OddPathsAre404WithoutUpstreamWork(t *testing.T) {
	n := &node{}
	n.set(fixed("x", immutable))
	e := newRealEdge(t, Config{}, n, n)
	targets := []string{
		"/acme%2fshow/index.m3u8", "/acme/show%2Findex.m3u8", "/acme/show/index%2em3u8", "/acme/%73how/index.m3u8",
		"/acme/show/%2e%2e/show/index.m3u8", "/acme/show/../show/index.m3u8", "/acme//show/index.m3u8",
		"//acme/show/index.m3u8", "/acme/show/index.m3u8%00", "/acme/show/index.m3u8%0d%0aX:y", "/acme/show/index.m3u8;a",
		"/acme/show\\index.m3u8", "/", "/acme", "/acme/show/", "/acme/show/none.html", "/internal/v1/index.m3u8",
		"http://other/acme/show/", recBase + "/1/video/1.m4s/", recBase + "/1/video/%31.m4s",
	}
	for _, target := range targets {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", target); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", target, resp.StatusCode, resp.Header)
		}
		_ = resp.Body.Close()
		_ = conn.Close()
	}
	if n.total() != 0 || e.directory.total() != 0 {
		t.Errorf("upstream saw %d requests, the directory %d", n.total(), e.directory.total())
	}
}

func TestBLK12_DirectivesAreNormalisedAndTheRestIsDropped(t *testing.T) {
	tests := []struct {
		path, query, upstream string
		status                int
	}{
		{livePath, "_HLS_msn=8&_HLS_part=1&_HLS_skip=YES", "?_HLS_msn=8&_HLS_part=1&_HLS_skip=YES", 200},
		{livePath, "_HLS_skip=YES&token=x&_HLS_part=01&_HLS_msn=008", "?_HLS_msn=8&_HLS_part=1&_HLS_skip=YES", 200},
		{livePath, "_HLS_skip=v2", "?_HLS_skip=v2", 200},
		{livePath, "_HLS_new=1&a=b&&=", "", 200},
		{recBase + "/index.m3u8", "_HLS_msn=8", "", 200},
		{segPath, "_HLS_msn=x&range=0-5", "", 200},
		{eventPath, "end=2026-11-20T11:38:00%2B01:00&_HLS_msn=08&start=0",
			"?start=0.000&end=2026-11-20T10:38:00.000Z", 200},
		{eventPath, "end=5&_HLS_part=1&_HLS_skip=YES", "?end=5.000", 200},
		{eventPath, "_HLS_msn=08&start=0", "?start=0.000&_HLS_msn=8", 200},
		{eventPath, "start=-10m", "?start=-600.000", 200},
		{recBase + "/index.m3u8", "_HLS_msn=x&start=-600", "?start=-600.000", 200},
		{"/acme/show/index.m3u8", "end=-0s&start=1h", "?start=3600.000&end=-0.000", 200},
		{recBase + "/subtitles.m3u8", "start=90s", "?start=90.000", 200},
		{recBase + "/video.iframes.m3u8", "start=90s", "?start=90.000", 200},
		{segPath, "start=x", "", 200},
		{recBase + "/index.m3u8", "start=x", "no time", 400},
		{recBase + "/index.m3u8", "start=" + strings.Repeat("1", 65), "too long", 400},
		{recBase + "/index.m3u8", "start=2&end=1", "end before start", 400},
		{eventPath, "start=1&start=1", "twice", 400},
		{livePath, "start=1", "slides", 400},
		{"/acme/show/x.m3u8", "start=x", "", 404},
		{livePath, "_HLS_part=1", "BLK-3", 400},
		{livePath, "_HLS_msn=-1", "BLK-8", 400},
		{livePath, "_HLS_msn=one", "BLK-8", 400},
		{livePath, "_HLS_msn=", "BLK-8", 400},
		{livePath, "_HLS_msn=99999999999999999999", "BLK-8", 400},
		{livePath, "_HLS_msn=8&_HLS_part=1.5", "BLK-8", 400},
		{livePath, "_HLS_msn=8&_HLS_msn=9", "twice", 400},
		{livePath, "_HLS_msn=8;_HLS_part=1", "BLK-8", 400},
		{"/acme/show/x.m3u8", "_HLS_msn=one", "", 404},
	}
	for _, tt := range tests {
		t.Run(tt.path+"?"+tt.query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				w.a.set(fixed("x", "max-age=5"))
				rec := w.get(t, tt.path+"?"+tt.query)
				wantStatus(t, rec, tt.status)
				if tt.status == 200 {
					if w.a.of(tt.path+tt.upstream) != 1 {
						t.Errorf("upstream saw %v, want %s", w.a.n, tt.upstream)
					}
				} else if w.a.total()+w.directory.total() != 0 {
					t.Errorf("upstream saw %v, directory %v", w.a.n, w.directory.n)
				}
			})
		})
	}
}

func TestBLK9_BadDirectivesAreIgnoredOnceThePlaylistHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		growing := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2.000000,\n1.m4s\n"
		w.a.set(fixed(growing, "max-age=1"))
		wantStatus(t, w.get(t, livePath), 200)
		wantStatus(t, w.get(t, livePath+"?_HLS_part=0"), 400)
		time.Sleep(2 * time.Second)
		w.a.set(fixed(growing+"#EXT-X-ENDLIST\n", "max-age=1"))
		wantStatus(t, w.get(t, livePath), 200)
		for _, bad := range []string{"?_HLS_part=0", "?_HLS_msn=x", "?_HLS_msn=99999999999999999999"} {
			wantStatus(t, w.get(t, livePath+bad), 200)
		}
	})
}

func FuzzDirectives(f *testing.F) {
	for _, q := range []string{"", "_HLS_msn=8&_HLS_part=1&_HLS_skip=YES", "_HLS_skip=v2&x", "%5FHLS_msn=3"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		d, err := hls.ParseDirectives(query)
		if err != nil {
			return
		}
		k := key{list: list{path: livePath}, Directives: d}
		again, err := hls.ParseDirectives(k.query())
		if err != nil || again != d {
			t.Errorf("%q becomes %q, which reads as %+v, %v", query, k.query(), again, err)
		}
	})
}
