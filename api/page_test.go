package api

import (
	"context"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestListingShowsOnlyWhatIsListed(t *testing.T) {
	f := newFixture(t, nil)
	open := media.StreamPath{Publisher: "public", Stream: "show"}
	closed := media.StreamPath{Publisher: "closed", Stream: "secret"}
	f.stream(open, true)
	f.stream(closed, false)
	live := f.recording(open, 1, media.Live)
	f.recording(closed, 2, media.Live)
	ended := f.recording(open, 3, media.Ended)
	f.recording(closed, 4, media.Ended)

	a := f.send(f.Public(), "GET", "/v1/listing", "")
	if a.Code != 200 || a.Header().Get("Cache-Control") != "public, max-age=1" {
		t.Fatalf("got %d %s", a.Code, a.Header())
	}
	if text := a.Body.String(); strings.Contains(text, "closed") || strings.Contains(text, "secret") {
		t.Errorf("shows what is not listed: %s", text)
	}
	shows, recorded := a.json["live"].([]any), a.json["recordings"].([]any)
	if len(shows) != 1 || len(recorded) != 1 {
		t.Fatalf("got %s", a.Body)
	}
	show, recording := shows[0].(map[string]any), recorded[0].(map[string]any)
	if show["recording"] != string(live) || show["url"] != "/public/show/index.m3u8" || show["publisher"] != "public" {
		t.Errorf("live: %v", show)
	}
	if recording["url"] != "/public/show/"+string(ended)+"/index.m3u8" || recording["duration_ms"] != 60000.0 {
		t.Errorf("recording: %v", recording)
	}
	for _, field := range []string{"bytes", "keep", "last_error", "attempts", "archive_due", "expire_due"} {
		if _, told := recording[field]; told {
			t.Errorf("tells everybody %s", field)
		}
	}

	// No longer listed: gone at once. A page and its listing are the same.
	f.must(200, "PATCH", "/v1/publishers/public/streams/show", `{"listed":false}`)
	if a := f.send(f.Public(), "GET", "/v1/listing", ""); strings.Contains(a.Body.String(), "show") {
		t.Errorf("after unlisting: %s", a.Body)
	}
	if a := f.send(f.Public(), "GET", "/", ""); strings.Contains(a.Body.String(), "public/show") {
		t.Errorf("page after unlisting: %s", a.Body)
	}
}

// countedCatalog counts the looks at recordings.
type countedCatalog struct {
	awayCatalog
	looks *atomic.Int64
}

func (c countedCatalog) Recordings(context.Context, media.RecordingFilter) ([]media.Recording, string, error) {
	c.looks.Add(1)
	return nil, "", c.err
}

func TestListingCostsOneLook(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		looks  int64
	}{{nil, 200, 2}, {media.ErrUnavailable, 503, 1}} { // one for what is live, one for the rest
		var looks atomic.Int64
		f := newFixture(t, func(cfg *Config, d *Deps) {
			cfg.ListingAge = time.Hour
			d.Recordings = countedCatalog{awayCatalog{c.err}, &looks}
		})
		for range 100 {
			if a := f.send(f.Public(), "GET", "/v1/listing", ""); a.Code != c.status {
				t.Fatalf("got %d %s", a.Code, a.Body)
			}
		}
		if n := looks.Load(); n != c.looks {
			t.Errorf("%d looks at the catalog, want %d", n, c.looks)
		}
	}
}

func webPage() fs.FS {
	return fstest.MapFS{
		"index.html":             {Data: []byte("<!doctype html><title>built</title>")},
		"assets/app.js":          {Data: []byte(strings.Repeat("let long = 'text that gzip likes';\n", 100))},
		"assets/icon.svg":        {Data: []byte("<svg/>")},
		"assets/deep/other.wasm": {Data: []byte("?")},
		".gitkeep":               {},
		"secret.txt":             {Data: []byte("not under assets")},
	}
}

// A page whose player is steered plays from edges that nobody knew when it was opened.
func TestPageOfSteeredViewersReachesEveryEdge(t *testing.T) {
	for name, test := range map[string]struct{ steering, playback, want string }{
		"https":           {"https://api.example", "https://live.example", "'self' https:"},
		"http":            {"http://api.example", "", "'self' https: http:"},
		"http edges only": {"https://api.example", "http://live.example", "'self' https: http:"},
	} {
		f := newFixture(t, func(c *Config, d *Deps) {
			c.SteeringURL, c.PlaybackURL, d.Assets = test.steering, test.playback, webPage()
		})
		csp := f.send(f.Public(), "GET", "/watch/acme/show", "").Header().Get("Content-Security-Policy")
		for _, part := range []string{
			"script-src 'self';", "img-src " + test.want + " data:", "connect-src " + test.want + ";",
			"media-src " + test.want + " blob:",
		} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: CSP %q has no %q", name, csp, part)
			}
		}
	}
}

func TestPageFromDist(t *testing.T) {
	f := newFixture(t, func(c *Config, d *Deps) {
		c.PlaybackURL = "https://edge.example"
		d.Assets = webPage()
	})
	for _, target := range []string{"/", "/watch/acme/show", "/watch/acme/show/" + string(recordingID(1))} {
		a := f.send(f.Public(), "GET", target, "")
		if a.Code != 200 || !strings.Contains(a.Body.String(), "built") {
			t.Fatalf("%s: got %d %s", target, a.Code, a.Body)
		}
		if ct := a.Header().Get("Content-Type"); ct != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type is %q", target, ct)
		}
		csp := a.Header().Get("Content-Security-Policy")
		for _, part := range []string{
			"default-src 'none'", "script-src 'self';", "worker-src 'self' blob:", "connect-src 'self' https://edge.example;",
			"media-src 'self' https://edge.example blob:", "img-src 'self' https://edge.example data:", "frame-ancestors",
		} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: CSP %q has no %q", target, csp, part)
			}
		}
		tag := a.Header().Get("ETag")
		if a = f.send(f.Public(), "GET", target, "", "If-None-Match", "W/"+tag); a.Code != 304 || a.Body.Len() > 0 {
			t.Errorf("%s again: got %d", target, a.Code)
		}
	}
	for target, status := range map[string]int{
		"/watch/acme": 404, "/watch/Acme/show": 404, "/watch/acme/show/live": 404, "/watch/v1/show": 404,
		"/assets/": 404, "/assets/none.js": 404, "/assets/../secret.txt": 404, "/assets/deep/other.wasm": 200,
	} {
		if a := f.send(f.Public(), "GET", target, ""); a.Code != status {
			t.Errorf("%s: got %d, want %d", target, a.Code, status)
		}
	}
}

func TestAssets(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Assets = webPage() })
	plain := f.send(f.Public(), "GET", "/assets/app.js", "")
	if plain.Code != 200 || plain.Header().Get("Content-Type") != "text/javascript; charset=utf-8" ||
		plain.Header().Get("Cache-Control") != "no-cache" || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("plain: %d %v", plain.Code, plain.Header())
	}
	zipped := f.send(f.Public(), "GET", "/assets/app.js", "", "Accept-Encoding", "br, gzip;q=0.8")
	if zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Header().Get("Vary") != "Accept-Encoding" ||
		zipped.Body.Len() > plain.Body.Len()/2 || zipped.Header().Get("ETag") == plain.Header().Get("ETag") {
		t.Errorf("zipped: %d bytes, %v", zipped.Body.Len(), zipped.Header())
	}
	a := f.send(f.Public(), "GET", "/assets/app.js", "", "Accept-Encoding", "gzip;q=0")
	if a.Header().Get("Content-Encoding") != "" {
		t.Error("zipped for who takes no gzip")
	}
	a = f.send(f.Public(), "GET", "/assets/app.js", "", "If-None-Match", `"a", `+plain.Header().Get("ETag"))
	if a.Code != 304 {
		t.Errorf("second time: got %d", a.Code)
	}
	if a := f.send(f.Public(), "HEAD", "/assets/icon.svg", ""); a.Code != 200 || a.Header().Get("Content-Length") != "6" {
		t.Errorf("HEAD: got %d %v", a.Code, a.Header())
	}
}

func TestPageWithoutDist(t *testing.T) {
	for name, files := range map[string]fs.FS{"none": nil, "empty": fstest.MapFS{".gitkeep": {}}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(_ *Config, d *Deps) { d.Assets = files })
			path := media.StreamPath{Publisher: "acme", Stream: "show"}
			f.stream(path, true)
			if a := f.send(f.Public(), "GET", "/", ""); a.Code != 200 || strings.Contains(a.Body.String(), "<video") ||
				!strings.Contains(a.Body.String(), "make web") {
				t.Errorf("nothing live: got %d %s", a.Code, a.Body)
			}
			f.recording(path, 2, media.Live)
			ended := f.recording(path, 1, media.Ended)
			for target, want := range map[string][]string{
				"/":                                 {`src="/acme/show/index.m3u8"`, `href="/watch/acme/show"`, string(ended), "1m"},
				"/watch/acme/show":                  {`src="/acme/show/index.m3u8"`},
				"/watch/acme/show/" + string(ended): {`src="/acme/show/` + string(ended) + `/index.m3u8"`},
			} {
				a := f.send(f.Public(), "GET", target, "")
				for _, text := range want {
					if !strings.Contains(a.Body.String(), text) {
						t.Errorf("%s does not have %q: %s", target, text, a.Body)
					}
				}
			}
			if a := f.send(f.Public(), "GET", "/assets/builtin.css", ""); a.Code != 200 {
				t.Errorf("its style: got %d", a.Code)
			}
		})
	}
}

func TestPageWithoutDistWhileTheCatalogIsAway(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Recordings = awayCatalog{media.ErrUnavailable} })
	a := f.send(f.Public(), "GET", "/watch/acme/show", "")
	if a.Code != 200 || !strings.Contains(a.Body.String(), "/acme/show/index.m3u8") ||
		!strings.Contains(a.Body.String(), "at the moment") {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestHealth(t *testing.T) {
	var ready error
	f := newFixture(t, func(_ *Config, d *Deps) { d.Ready = func(context.Context) error { return ready } })
	if a := f.send(f.Public(), "GET", "/healthz", ""); a.Code != 200 {
		t.Errorf("healthz: got %d", a.Code)
	}
	if a := f.send(f.Public(), "HEAD", "/readyz", ""); a.Code != 200 {
		t.Errorf("readyz: got %d", a.Code)
	}
	ready = errSecret
	if a := f.send(f.Public(), "GET", "/readyz", ""); a.Code != 503 || strings.Contains(a.Body.String(), "secret") {
		t.Errorf("readyz: got %d %s", a.Code, a.Body)
	}
}
