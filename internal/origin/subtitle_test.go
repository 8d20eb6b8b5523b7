package origin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func TestSUB1_SubtitlesOfASegment(t *testing.T) {
	s := newStudio(t)
	s.next.Subtitles = "en"
	s.next.Metadata = []media.Metadata{
		{Number: 1, Take: 1, Kind: media.Text, Time: 3 * time.Second, Payload: []byte(`{"text":"hello"}`)},
	}
	s.live() // two takes
	h, _ := s.handler(Config{})
	path := testBase + "/1/subtitles/2.vtt"
	const want = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:180000,LOCAL:00:00:02.000\n\n00:00:03.000 --> 00:00:04.000\nhello\n\n"
	a := get(t, h, path, 200)
	if string(a.body) != want {
		t.Errorf("%s", a.body)
	}
	for name, value := range map[string]string{
		"Content-Type": "text/vtt; charset=utf-8", "Cache-Control": "public, max-age=31536000, immutable",
		"Access-Control-Allow-Origin": "*", "Accept-Ranges": "bytes",
	} {
		if got := a.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	get(t, h, path, 304, "If-None-Match: "+a.Header.Get("Etag"))
	if b := get(t, h, path, 206, "Range: bytes=0-5"); string(b.body) != "WEBVTT" {
		t.Errorf("range: %q", b.body)
	}
	if video := get(t, h, testBase+"/1/video/2.m4s", 200); video.Header.Get("Etag") == a.Header.Get("Etag") {
		t.Error("the segment and its subtitles have one tag")
	}
	head := httptest.NewRecorder()
	h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, path, nil))
	if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("HEAD: %d %v", head.Code, head.Header())
	}
	// Each segment has a file, of the take that it is in, as soon as it is listed, and gaps have one.
	r := &s.next.Renditions[0]
	for _, seg := range r.Segments {
		get(t, h, fmt.Sprintf("%s/%d/subtitles/%d.vtt", testBase, seg.Take, seg.MSN), 200)
	}
	next := fmt.Sprintf("/2/subtitles/%d.vtt", r.Last()+1)
	for _, missing := range []string{"/2/subtitles/2.vtt", "/9/subtitles/2.vtt", next} {
		if b := get(t, h, testBase+missing, 404); b.Header.Get("Etag") != "" {
			t.Errorf("%s: %v", missing, b.Header)
		}
	}
	s.next.Subtitles = ""
	s.publish()
	get(t, h, path, 404)
}

// A recording says of its text what its show said.
func TestSUB1_CC1_StoredAsLive(t *testing.T) {
	rec := &reclog.Recording{Manifest: reclog.Manifest{
		Constants: constants(0), Captions: []string{"CC2", "SERVICE1"},
		Settings: media.Settings{Subtitles: "de", Captions: "SERVICE1=en CC1=es"},
	}}
	snap := snapshotOf(rec)
	want := []media.Caption{{ID: "CC1", Language: "es"}, {ID: "CC2"}, {ID: "SERVICE1", Language: "en"}}
	if snap.Subtitles != "de" || !slices.Equal(snap.Captions, want) {
		t.Errorf("subtitles %q, captions %v", snap.Subtitles, snap.Captions)
	}
}
