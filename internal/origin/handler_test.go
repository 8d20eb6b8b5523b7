package origin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"

	"github.com/oxbow-video/oxbow/internal/media"
)

// answer is a response with its whole body.
type answer struct {
	*http.Response
	body []byte
}

// ask sends a request through the handler, without a network. Extra are header fields, "Name: value".
func ask(tb testing.TB, h http.Handler, method, path string, extra ...string) answer {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, path, nil)
	for _, field := range extra {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if origins := res.Header["Access-Control-Allow-Origin"]; len(origins) != 1 || origins[0] != "*" {
		tb.Errorf("HTTP-3: %s %s: Access-Control-Allow-Origin %v", method, path, origins)
	}
	if res.StatusCode != http.StatusNotModified && res.StatusCode != http.StatusNoContent && res.Header.Get("Content-Length") == "" {
		tb.Errorf("%s %s: no Content-Length", method, path)
	}
	if method != http.MethodHead && res.Header.Get("Content-Length") != "" &&
		res.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
		tb.Errorf("%s %s: Content-Length %s, body of %d", method, path, res.Header.Get("Content-Length"), len(body))
	}
	if res.Header.Get("Cache-Control") == "" {
		tb.Errorf("%s %s: no Cache-Control", method, path)
	}
	return answer{res, body}
}

// get asks for a path and wants that status.
func get(tb testing.TB, h http.Handler, path string, status int, extra ...string) answer {
	tb.Helper()
	a := ask(tb, h, http.MethodGet, path, extra...)
	if a.StatusCode != status {
		tb.Fatalf("%s: status %d, want %d: %.300q", path, a.StatusCode, status, a.body)
	}
	return a
}

func TestHTTP1_HTTP11_UnknownPathsAre404(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	unknown := []string{
		"/nobody/show/index.m3u8", "/acme/other/index.m3u8", "/acme/show/" + string(otherID) + "/index.m3u8",
		testBase + "/subtitles.m3u8", testBase + "/live/subtitles.m3u8", testBase + "/1/subtitles/init.mp4",
		testBase + "/1/video/7.m4s", testBase + "/2/video/1.m4s", testBase + "/1/video/1.9.m4s",
	}
	for _, path := range badPaths() {
		if strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "\n\x00") {
			unknown = append(unknown, path)
		}
	}
	for _, path := range unknown {
		a := get(t, h, path, http.StatusNotFound)
		if a.Header.Get("Cache-Control") != "public, max-age=1" {
			t.Errorf("%s: Cache-Control %s", path, a.Header.Get("Cache-Control"))
		}
		if len(a.body) == 0 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %s %q", path, a.Header.Get("Content-Type"), a.body)
		}
	}
	for _, path := range []string{"/%61cme/show/index.m3u8", "/acme/show%2Findex.m3u8", "/acme/show/index.m3u8%00"} {
		get(t, h, path, http.StatusNotFound)
	}
}

func TestHTTP5_HTTP18_Methods(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		if a := ask(t, h, method, "/acme/show/index.m3u8"); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d, Allow %q", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
	pre := ask(t, h, "OPTIONS", testBase+"/1/video/1.m4s", "Origin: https://player.example", "Access-Control-Request-Headers: range")
	if pre.StatusCode != http.StatusNoContent || !strings.Contains(pre.Header.Get("Access-Control-Allow-Headers"), "Range") ||
		pre.Header.Get("Access-Control-Max-Age") != "86400" || len(pre.body) > 0 {
		t.Errorf("HTTP-5: %d %v", pre.StatusCode, pre.Header)
	}
	for _, path := range []string{
		"/acme/show/index.m3u8", testBase + "/live/video.m3u8", testBase + "/1/video/init.mp4", testBase + "/1/video/2.m4s",
		testBase + "/2/audio/9.1.m4s", "/acme/none/index.m3u8",
	} {
		full, head := ask(t, h, "GET", path), ask(t, h, "HEAD", path)
		if head.StatusCode != full.StatusCode || len(head.body) > 0 {
			t.Errorf("HTTP-18: %s: %d and %d, %d bytes", path, full.StatusCode, head.StatusCode, len(head.body))
		}
		for _, name := range []string{"Content-Length", "Content-Type", "Etag", "Cache-Control"} {
			if head.Header.Get(name) != full.Header.Get(name) {
				t.Errorf("HTTP-18: %s: %s is %q and %q", path, name, full.Header.Get(name), head.Header.Get(name))
			}
		}
	}
}

func TestHTTP1_SYN7_ContentTypes(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for path, want := range map[string]string{
		"/acme/show/index.m3u8":         "application/vnd.apple.mpegurl",
		testBase + "/index.m3u8":        "application/vnd.apple.mpegurl",
		testBase + "/live/audio.m3u8":   "application/vnd.apple.mpegurl",
		testBase + "/audio.m3u8":        "application/vnd.apple.mpegurl",
		testBase + "/1/video/init.mp4":  "video/mp4",
		testBase + "/1/video/1.m4s":     "video/mp4",
		testBase + "/1/audio/1.m4s":     "audio/mp4",
		testBase + "/2/audio/9.0.m4s":   "audio/mp4",
		testBase + "/1/audio/3.2.m4s":   "audio/mp4",
		testBase + "/2/audio/init.mp4":  "audio/mp4",
		testBase + "/live/video.m3u8?x": "application/vnd.apple.mpegurl",
	} {
		if a := get(t, h, path, 200); a.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s", path, a.Header.Get("Content-Type"))
		}
	}
}

func TestStreamURLLeadsToTheLiveWindowThenToTheRecording(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	wantVariant := func(uri string) {
		t.Helper()
		var m playlist.Multivariant
		if err := m.Unmarshal(get(t, h, "/acme/show/index.m3u8", 200).body); err != nil {
			t.Fatal(err)
		}
		if m.Variants[0].URI != uri {
			t.Errorf("leads to %s, want %s", m.Variants[0].URI, uri)
		}
	}
	wantVariant(string(testID) + "/live/video.m3u8")
	s.interrupt()
	wantVariant(string(testID) + "/live/video.m3u8")
	s.startTake()
	s.segments(1)
	s.end()
	wantVariant(string(testID) + "/video.m3u8")
	s.leave()
	wantVariant(string(testID) + "/video.m3u8")
}

// Every URI of a playlist, resolved against its own URL, is answered (HTTP-15).
func TestHTTP15_EverythingListedIsFetchable(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	check := func() {
		t.Helper()
		for _, path := range []string{
			"/live/video.m3u8", "/live/audio.m3u8", "/video.m3u8", "/audio.m3u8",
			"/live/video.m3u8?_HLS_skip=YES", "/video.m3u8?_HLS_skip=v2",
		} {
			a := get(t, h, testBase+path, 200)
			n := 0
			for line := range strings.Lines(string(a.body)) {
				uri := listedURI(strings.TrimSpace(line))
				if uri == "" || strings.Contains(line, "PRELOAD-HINT") {
					continue
				}
				folder := path[:strings.LastIndexByte(path, '/')+1]
				if uri, ok := strings.CutPrefix(uri, "../"); ok {
					folder = "/" + uri
				} else {
					folder += uri
				}
				if a := get(t, h, testBase+folder, 200); len(a.body) == 0 {
					t.Errorf("%s: empty", folder)
				}
				n++
			}
			if n < 8 {
				t.Errorf("%s lists %d things", path, n)
			}
		}
	}
	check()
	s.end()
	check()
	s.forget()
	check()
	s.leave()
	check()
}

// listedURI gives what a line of a playlist names.
func listedURI(line string) string {
	if line == "" || line[0] != '#' {
		return line
	}
	_, rest, ok := strings.Cut(line, `URI="`)
	if !ok {
		return ""
	}
	uri, _, _ := strings.Cut(rest, `"`)
	return uri
}

func TestHTTP6_HTTP21_PlaylistsAreCompressedAndTagged(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, reg := s.handler(Config{})
	for _, path := range []string{"/acme/show/index.m3u8", testBase + "/video.m3u8", testBase + "/live/video.m3u8"} {
		plain := get(t, h, path, 200)
		packed := get(t, h, path, 200, "Accept-Encoding: br, gzip")
		if packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", path, packed.Header)
		}
		r, err := gzip.NewReader(bytes.NewReader(packed.body))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, plain.body) {
			t.Errorf("%s: other text", path)
		}
		tag, packedTag := plain.Header.Get("Etag"), packed.Header.Get("Etag")
		if plain.Header.Get("Vary") != "Accept-Encoding" || packed.Header.Get("Vary") != "Accept-Encoding" || tag == packedTag {
			t.Errorf("%s: Vary, ETag %s %s", path, tag, packedTag)
		}
		for _, known := range []string{tag, packedTag, "W/" + tag, `"x", ` + tag, "*"} {
			a := get(t, h, path, 304, "If-None-Match: "+known)
			if len(a.body) > 0 || a.Header.Get("Etag") != tag || a.Header.Get("Vary") == "" {
				t.Errorf("%s: 304 with %v", path, a.Header)
			}
		}
		get(t, h, path, 200, `If-None-Match: "other"`)
	}
	if n := metric(t, reg, "oxbow_origin_playlist_compressions_total"); n != 3 {
		t.Errorf("%f compressions of 3 playlists", n)
	}
	before := get(t, h, testBase+"/live/video.m3u8", 200).Header.Get("Etag")
	s.part()
	s.publish()
	get(t, h, testBase+"/live/video.m3u8", 200, "If-None-Match: "+before)
}

func TestHTTP7_HTTP8_HTTP9_HTTP10_CacheControl(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	want := func(path string, status int, cache string) {
		t.Helper()
		if a := get(t, h, path, status); a.Header.Get("Cache-Control") != cache {
			t.Errorf("%s: %s, want %s", path, a.Header.Get("Cache-Control"), cache)
		}
	}
	const forever = "public, max-age=31536000, immutable"
	want("/acme/show/index.m3u8", 200, "public, max-age=1")
	want(testBase+"/index.m3u8", 200, "public, max-age=1")
	want(testBase+"/live/video.m3u8", 200, "public, max-age=1")
	want(testBase+"/live/video.m3u8?_HLS_msn=9&_HLS_part=1", 200, "public, max-age=12")
	want(testBase+"/live/video.m3u8?_HLS_msn=8", 200, "public, max-age=12")
	want(testBase+"/live/video.m3u8?_HLS_msn=2", 200, "public, max-age=1")
	want(testBase+"/1/video/init.mp4", 200, forever)
	want(testBase+"/1/video/1.m4s", 200, forever)
	want(testBase+"/2/video/9.0.m4s", 200, forever)
	want(testBase+"/live/video.m3u8?_HLS_msn=900", 400, "public, max-age=1")
	want(testBase+"/2/video/9.7.m4s", 404, "no-store")
	want(testBase+"/2/video/9.m4s", 404, "no-store")
	want(testBase+"/2/video/10.0.m4s", 404, "no-store")
	want(testBase+"/3/video/init.mp4", 404, "no-store")
	s.end()
	want("/acme/show/index.m3u8", 200, "public, max-age=1")
	want(testBase+"/live/video.m3u8?_HLS_msn=900", 200, "public, max-age=10")
	want(testBase+"/video.m3u8", 200, "public, max-age=10")
	want(testBase+"/2/video/10.0.m4s", 404, "public, max-age=1")
	s.setState(media.Archived)
	s.leave()
	want(testBase+"/video.m3u8", 200, "public, max-age=60")
	want("/acme/show/index.m3u8", 200, "public, max-age=1")
}

func TestHTTP21_DateAndEverythingOverARealServer(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	srv := httptest.NewServer(h)
	defer srv.Close()
	client := srv.Client()
	defer client.CloseIdleConnections()
	for _, path := range []string{"/acme/show/index.m3u8", testBase + "/1/video/2.m4s", "/nope"} {
		res, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil || len(body) == 0 || res.Header.Get("Date") == "" || len(res.TransferEncoding) > 0 {
			t.Errorf("%s: %d bytes, %v, %v", path, len(body), err, res.Header)
		}
	}
}
