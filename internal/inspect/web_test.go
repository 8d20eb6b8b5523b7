package inspect

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// archive puts the static playlists beside the recording's files and says archived, as an archive has them.
func (r *testRecording) archive() {
	r.tb.Helper()
	rec, err := reclog.Load(r.tb.Context(), r.root.Files(), media.StreamPath{Publisher: "acme", Stream: "show"}, testID)
	must(r.tb, err)
	var renditions []hls.Rendition
	for _, track := range rec.Tracks {
		renditions = append(renditions, hls.Rendition{Name: track.Name, Segments: track.Segments})
	}
	for name, text := range hls.Static(hls.Stored(media.Archived, rec.Constants, 0, rec.Takes, renditions), "") {
		must(r.tb, os.WriteFile(filepath.Join(r.dir, name), text, 0o600))
	}
	r.replace("recording.json", `"state": "ended"`, `"state": "archived"`)
}

// serve shows the recording's files; without the manifest, as an edge does, if it is hidden.
func (r *testRecording) serve(hidden bool) *Web {
	r.tb.Helper()
	files := http.FileServer(http.Dir(r.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		// FileServer sends index.html's kin elsewhere, but not playlists.
		if hidden && strings.HasSuffix(q.URL.Path, ".json") {
			http.NotFound(w, q)
			return
		}
		files.ServeHTTP(w, q)
	}))
	r.tb.Cleanup(server.Close)
	web, err := OpenWeb(server.URL + "/index.m3u8")
	must(r.tb, err)
	return web
}

func TestBucketOverHTTP(t *testing.T) {
	rec := mustRecord(t, true)
	rec.archive()
	web := rec.serve(false)
	r, err := Recording(t.Context(), web, Options{Source: "bucket"})
	must(t, err)
	if r.Errors != 0 || r.Warnings != 0 || r.Seconds != 16 || r.Takes[0].Tracks[0].Parts != 8 {
		t.Errorf("%+v", r)
	}
	rec.replace("2/video.mp4", "moof", "mouf")
	r, err = Recording(t.Context(), web, Options{Source: "bucket"})
	must(t, err)
	if got := names(r, Error); !slices.Equal(got, []string{"media"}) {
		t.Errorf("errors %v: %+v", got, r.Findings)
	}
	must(t, os.Remove(filepath.Join(rec.dir, "index.m3u8")))
	r, err = Recording(t.Context(), web, Options{Source: "bucket", Fast: true})
	must(t, err)
	if got := names(r, Error); !slices.Equal(got, []string{"playlist"}) {
		t.Errorf("errors %v: %+v", got, r.Findings)
	}
}

// Playlists beside the files must say what the index says.
func TestStaticPlaylists(t *testing.T) {
	for name, plant := range map[string]func(r *testRecording){
		"another range": func(r *testRecording) {
			r.replace("video.m3u8", "#EXT-X-BYTERANGE:2280@2388", "#EXT-X-BYTERANGE:2280@2389")
		},
		"one too few": func(r *testRecording) {
			r.replace("video.m3u8", "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:2280@2388\n1/video.mp4\n", "")
		},
		"no end":       func(r *testRecording) { r.replace("audio.m3u8", "#EXT-X-ENDLIST\n", "") },
		"not there":    func(r *testRecording) { must(r.tb, os.Remove(filepath.Join(r.dir, "audio.m3u8"))) },
		"no playlist":  func(r *testRecording) { r.replace("index.m3u8", "#EXTM3U", "#EXTM4U") },
		"another's":    func(r *testRecording) { r.replace("index.m3u8", "audio.m3u8", "../audio.m3u8") },
		"another init": func(r *testRecording) { r.replace("video.m3u8", `URI="2/video.mp4"`, `URI="1/video.mp4"`) },
	} {
		t.Run(name, func(t *testing.T) {
			rec := mustRecord(t, true)
			rec.archive()
			plant(rec)
			if r := rec.inspect(true); !slices.Equal(names(r, Error), []string{"playlist"}) {
				text, _ := os.ReadFile(filepath.Join(rec.dir, "video.m3u8"))
				t.Errorf("%+v\n%s", r.Findings, text)
			}
		})
	}
}

// Where there is no manifest, the playlists are walked as a player would.
func TestPlaylistsAreWalked(t *testing.T) {
	rec := mustRecord(t, true)
	rec.archive()
	web := rec.serve(true)
	if _, err := Recording(t.Context(), web, Options{}); !missing(err) {
		t.Fatalf("manifest: %v", err)
	}
	walk := func(fast bool) *Report {
		t.Helper()
		r, err := Playlists(t.Context(), web, Options{Source: "edge", Fast: fast})
		must(t, err)
		return r
	}
	r := walk(false)
	if r.Errors != 0 || r.Warnings != 0 || r.Seconds < 15.9 || len(r.Takes[0].Tracks) != 2 || r.Takes[0].Tracks[0].Segments != 8 {
		t.Errorf("%+v", r)
	}
	rec.replace("audio.m3u8", "#EXTINF:2.0", "#EXTINF:1.9")
	if got := names(walk(false), Error); !slices.Equal(got, []string{"duration"}) {
		t.Errorf("errors %v, want a duration", got)
	}
	rec.replace("1/video.mp4", "moof", "mouf")
	if got := names(walk(false), Error); !slices.Equal(got, []string{"duration", "media"}) {
		t.Errorf("errors %v, want media", got)
	}
	must(t, os.Remove(filepath.Join(rec.dir, "2", "video.mp4")))
	if got := names(walk(false), Error); !slices.Contains(got, "missing-segment") || !slices.Contains(got, "init") {
		t.Errorf("errors %v, want a missing segment", got)
	}
	if r := walk(true); r.Errors != 0 {
		t.Errorf("--fast reads media: %+v", r.Findings)
	}
}

func TestBadURLs(t *testing.T) {
	for _, bad := range []string{"", "ftp://h/x", "http://", "http:// /", "x"} {
		if _, err := OpenWeb(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzPlaylist(f *testing.F) {
	f.Add([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:5@7\na.mp4\n#EXT-X-ENDLIST\n"))
	f.Add([]byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1\",RESOLUTION=1x1\nv.m3u8\n#EXT-X-MEDIA:URI=\"a\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 4<<20+256*len(data))()
		p, err := parsePlaylist(data)
		if err == nil && len(p.entries)+len(p.uris) > len(data) {
			t.Errorf("%d entries of %d bytes", len(p.entries), len(data))
		}
	})
}

func FuzzPart(f *testing.F) {
	f.Add(testPart(3, 1, 90000, 90000, true))
	f.Add(testInit(90000, "avc1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 8<<20+128*len(data))()
		s := memoryStream(data)
		var p part
		for s.left() > 0 {
			before := s.at()
			if s.next(&p) != nil {
				return
			}
			if s.at() <= before || len(p.keys) > len(data) {
				t.Fatalf("part of %d bytes, %d keys", p.size, len(p.keys))
			}
		}
	})
}
