package origin

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"
)

func everyKindOfURL() []string {
	return []string{
		"/acme/show/index.m3u8", testBase + "/index.m3u8", testBase + "/live/video.m3u8", testBase + "/video.m3u8",
		testBase + "/1/video/init.mp4", testBase + "/1/video/1.m4s", testBase + "/2/video/9.1.m4s",
		testBase + "/index.m3u8?start=2&end=4", testBase + "/video.m3u8?start=2",
	}
}

func TestHTTP4_HTTP16_NothingIsOfOneViewer(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for _, url := range append(everyKindOfURL(), "/acme/none/index.m3u8", testBase+"/live/video.m3u8?_HLS_msn=x") {
		plain := ask(t, h, "GET", url)
		mine := ask(t, h, "GET", url, "Origin: https://player.example", "Cookie: session=1", "Authorization: Bearer x")
		if !bytes.Equal(plain.body, mine.body) || plain.StatusCode != mine.StatusCode {
			t.Errorf("%s: another answer with a cookie", url)
		}
		for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Credentials"} {
			if v := mine.Header.Values(name); len(v) > 0 {
				t.Errorf("%s: %s %v", url, name, v)
			}
		}
	}
}

func TestHTTP17_HTTP16_ForeignParametersAreIgnored(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, reg := s.handler(Config{})
	for _, url := range everyKindOfURL() {
		sign := "?"
		if strings.Contains(url, "?") {
			sign = "&"
		}
		plain, token := get(t, h, url, 200), get(t, h, url+sign+"token=secret&_HLS_new=1&session=%41", 200)
		if !bytes.Equal(plain.body, token.body) || plain.Header.Get("Etag") != token.Header.Get("Etag") ||
			bytes.Contains(token.body, []byte("secret")) {
			t.Errorf("%s: another answer with a token", url)
		}
	}
	if n := metric(t, reg, "oxbow_origin_playlist_renders_total"); n != 6 {
		t.Errorf("%f renders of 6 playlists", n)
	}
}

func TestHTTP12_HTTP19_HTTP20_NoRedirectsAndNoPages(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for _, url := range append(append(badPaths(), everyKindOfURL()...), testBase+"//video.m3u8", testBase+"/./video.m3u8") {
		if !strings.HasPrefix(url, "/") || strings.ContainsAny(url, "\n\x00") {
			continue
		}
		began := time.Now()
		a := ask(t, h, "GET", url)
		if a.StatusCode >= 300 && a.StatusCode < 400 || a.Header.Get("Location") != "" {
			t.Errorf("%s: redirect %d", url, a.StatusCode)
		}
		if strings.Contains(a.Header.Get("Content-Type"), "html") || bytes.Contains(a.body, []byte("<html")) {
			t.Errorf("%s: a page with %d", url, a.StatusCode)
		}
		if d := time.Since(began); d > 30*time.Second {
			t.Errorf("%s took %s", url, d)
		}
	}
}

// Chromium's native player tells the container by the extension of the first segment's path.
func TestHTTP2_SegmentsHaveTheExtensionOfTheirType(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	types := map[string]string{".mp4": "/mp4", ".m4s": "/mp4", ".m3u8": "application/vnd.apple.mpegurl"}
	for _, list := range []string{"/video.m3u8", "/audio.m3u8", "/index.m3u8"} {
		for line := range strings.Lines(string(get(t, h, testBase+list, 200).body)) {
			uri := listedURI(strings.TrimSpace(line))
			if uri == "" || strings.Contains(line, "PRELOAD-HINT") {
				continue
			}
			want := types[path.Ext(uri)]
			if got := get(t, h, testBase+"/"+uri, 200).Header.Get("Content-Type"); want == "" || !strings.HasSuffix(got, want) {
				t.Errorf("%s is %s", uri, got)
			}
		}
	}
}

// One connection of HTTP/2 carries the four parked requests of a low-latency viewer, and others beside them.
func TestHTTP13_ParkedRequestsShareAConnection(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	fetch := func(url string) (status int, proto string) {
		resp, err := client.Get(server.URL + url)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, resp.Proto
	}
	parked := []string{
		testBase + "/live/video.m3u8?_HLS_msn=9&_HLS_part=2", testBase + "/live/audio.m3u8?_HLS_msn=9&_HLS_part=2",
		testBase + "/2/video/9.2.m4s", testBase + "/2/audio/9.2.m4s",
	}
	done := make(chan int)
	for _, url := range parked {
		go func() {
			status, _ := fetch(url)
			done <- status
		}()
	}
	if status, proto := fetch(testBase + "/1/video/1.m4s"); status != http.StatusOK || proto != "HTTP/2.0" {
		t.Errorf("%d by %s", status, proto)
	}
	s.part()
	s.publish()
	for range parked {
		if status := <-done; status != http.StatusOK {
			t.Errorf("parked request: %d", status)
		}
	}
}
