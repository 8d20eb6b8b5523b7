package origin

import (
	"net/http"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// paint puts a picture in the recording's directory.
func (s *studio) paint(file, text string) {
	s.tb.Helper()
	s.must(s.root.ReplacePicture(s.tb.Context(), testPath, testID, file, []byte(text)))
}

func TestPicturesAreServedForAsLongAsTheyHold(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	const stream = "/acme/show/thumbnail.jpg"
	for _, path := range []string{stream, testBase + "/thumbnail.jpg", testBase + "/thumbnails.vtt"} {
		if a := get(t, h, path, 404); a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may come, and is %s", path, a.Header.Get("Cache-Control"))
		}
	}
	s.paint(reclog.ThumbnailFile, "one")
	for _, path := range []string{stream, testBase + "/thumbnail.jpg"} {
		a := get(t, h, path, 200)
		if string(a.body) != "one" || a.Header.Get("Content-Type") != "image/jpeg" ||
			a.Header.Get("Cache-Control") != "public, max-age=5" || a.Header.Get("Content-Length") != "3" {
			t.Errorf("%s: %q %v", path, a.body, a.Header)
		}
		if b := ask(t, h, http.MethodHead, path); b.StatusCode != http.StatusOK || len(b.body) > 0 || b.Header.Get("Etag") != a.Header.Get("Etag") {
			t.Errorf("HEAD %s: %d %v", path, b.StatusCode, b.Header)
		}
		get(t, h, path, 304, "If-None-Match: "+a.Header.Get("Etag"))
		s.paint(reclog.ThumbnailFile, "two")
		if b := get(t, h, path, 200, "If-None-Match: "+a.Header.Get("Etag")); string(b.body) != "two" {
			t.Errorf("%s did not change: %q", path, b.body)
		}
		s.paint(reclog.ThumbnailFile, "one")
	}
	s.paint("sprite-1.jpg", "sheet")
	s.paint(reclog.SpritesFile, "WEBVTT")
	s.end()
	s.leave()
	s.forget()
	s.setState(media.Archived)
	stored := New(Config{}, s.root.Files(), nil, s.root.Latest, h.logger, nil)
	for file, kind := range map[string]string{
		"thumbnail.jpg": "image/jpeg", "sprite-1.jpg": "image/jpeg", "thumbnails.vtt": "text/vtt; charset=utf-8",
	} {
		a := get(t, stored, testBase+"/"+file, 200)
		if a.Header.Get("Content-Type") != kind || a.Header.Get("Cache-Control") != "public, max-age=86400" {
			t.Errorf("%s: %v", file, a.Header)
		}
	}
	if a := get(t, stored, testBase+"/sprite-2.jpg", 404); a.Header.Get("Cache-Control") != "public, max-age=1" {
		t.Errorf("a sheet that is none: %v", a.Header)
	}
}
