package cacheproxy

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// ladder is a multivariant playlist as our origins write it.
const ladder = "#EXTM3U\n#EXT-X-VERSION:6\n" +
	`#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="a",STABLE-RENDITION-ID="audio",URI="` + testRec + `/live/audio.m3u8"` + "\n" +
	`#EXT-X-STREAM-INF:BANDWIDTH=1,STABLE-VARIANT-ID="video",AUDIO="aac"` + "\n" + testRec + "/live/video.m3u8\n" +
	`#EXT-X-STREAM-INF:BANDWIDTH=2,STABLE-VARIANT-ID="video2",AUDIO="aac"` + "\n" + testRec + "/live/video2.m3u8\n" +
	`#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,STABLE-VARIANT-ID="video.iframes",URI="` + testRec + `/live/video.iframes.m3u8"` + "\n"

// steeredLadder is it with an offer; dir is where its tracks are, which is not told if it is empty.
func steeredLadder(pathway, dir string) string {
	tag := `#EXT-X-CONTENT-STEERING:SERVER-URI="https://api.example.com/steering/acme/show?base=` + pathway + "&dir=" + dir +
		`&v=video,video2,video.iframes&r=audio",PATHWAY-ID="` + pathway + `"` + "\n"
	if dir == "" {
		tag = tag[:strings.Index(tag, "&dir")] + tag[strings.Index(tag, `",`):]
	}
	text := strings.Replace(ladder, "#EXTM3U\n", "#EXTM3U\n"+tag, 1)
	for _, name := range []string{"#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:"} {
		text = strings.ReplaceAll(text, name, name+`PATHWAY-ID="`+pathway+`",`)
	}
	return text
}

var toEdgeA = media.Steering{URL: "https://api.example.com/steering", Pathway: "edge-a.t1"}

func unpacked(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	body := io.Reader(bytes.NewReader(rec.Body.Bytes()))
	if rec.Header().Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMultivariantPlaylistsTellOfSteering(t *testing.T) {
	synctest.Test(t, timelessMultivariantPlaylistsTellOfSteering)
}

func timelessMultivariantPlaylistsTellOfSteering(t *testing.T) {
	w := newWorld(t, Config{})
	w.a.set(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "public, max-age=1000")
		writePlaylist(rw, r, ladder)
	})
	const uri = streamBase + "/index.m3u8"
	tags := make(map[string]string)
	look := func(want, coding string) {
		t.Helper()
		for range 3 { // on its way, the first of the copy, and out of memory
			rec := w.get(t, uri, "Accept-Encoding", coding)
			wantStatus(t, rec, http.StatusOK)
			if got := unpacked(t, rec); got != want {
				t.Fatalf("%s: got\n%s\nwant\n%s", coding, got, want)
			}
			if packed := rec.Header().Get("Content-Encoding") == "gzip"; packed != (coding == "gzip") {
				t.Errorf("asked for %s: %v", coding, rec.Header())
			}
			tag := rec.Header().Get("Etag")
			if other, used := tags[tag]; tag == "" || used && other != want+coding {
				t.Errorf("ETag %q is of two texts", tag)
			}
			tags[tag] = want + coding
			wantStatus(t, w.get(t, uri, "Accept-Encoding", coding, "If-None-Match", tag), http.StatusNotModified)
		}
	}
	steered := steeredLadder(toEdgeA.Pathway, streamBase+"/"+testRec+"/live/")
	for _, coding := range []string{"gzip", "identity"} {
		w.SetSteering(media.Steering{})
		look(ladder, coding)
		w.SetSteering(toEdgeA)
		look(steered, coding)
		w.SetSteering(media.Steering{URL: toEdgeA.URL, Pathway: "edge-a.t2"})
		look(strings.ReplaceAll(steered, "edge-a.t1", "edge-a.t2"), coding)
	}
	if n := w.a.of(uri); n != 1 {
		t.Errorf("%d upstream requests", n)
	}
	for _, bad := range []media.Steering{
		{URL: `https://api.example.com/"x`, Pathway: "a"}, {URL: "ftp://x", Pathway: "a"}, {URL: toEdgeA.URL, Pathway: `a"b`},
		{URL: toEdgeA.URL},
	} {
		w.SetSteering(toEdgeA)
		w.SetSteering(bad)
		if text := unpacked(t, w.get(t, uri)); text != ladder {
			t.Errorf("%+v:\n%s", bad, text)
		}
	}
}

func TestSteeringIsToldNoToken(t *testing.T) { synctest.Test(t, timelessSteeringIsToldNoToken) }

func timelessSteeringIsToldNoToken(t *testing.T) {
	s := newSignedWorld(t, Config{})
	s.a.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=1000")
		writePlaylist(w, r, ladder)
	})
	s.SetSteering(toEdgeA)
	first, second := s.token(t, playback.Claims{Stream: "show"}), s.token(t, playback.Claims{})
	tags := make(map[string]bool)
	for _, token := range []string{first, second} {
		steered := steeredLadder(toEdgeA.Pathway, "")
		path := s.get(t, "/t/"+token+streamBase+"/index.m3u8")
		if got := unpacked(t, path); got != steered {
			t.Errorf("token in the path:\n%s\nwant\n%s", got, steered)
		}
		to := "../../t/" + token + streamBase + "/"
		query := s.get(t, streamBase+"/index.m3u8?token="+token)
		want := strings.NewReplacer(`,URI="`+testRec, `,URI="`+to+testRec, "\n"+testRec+"/", "\n"+to+testRec+"/").Replace(steered)
		if got := unpacked(t, query); got != want {
			t.Errorf("token in the query:\n%s\nwant\n%s", got, want)
		}
		tags[path.Header().Get("Etag")], tags[query.Header().Get("Etag")] = true, true
	}
	if len(tags) != 3 {
		t.Errorf("ETags %v, want one for all with the token in the path, and one for each in the query", tags)
	}
	s.setPolicies(media.PlaybackPolicies{Version: 9}) // all is public now
	public := s.get(t, streamBase+"/index.m3u8")
	want := steeredLadder(toEdgeA.Pathway, streamBase+"/"+testRec+"/live/")
	if got := unpacked(t, public); got != want || tags[public.Header().Get("Etag")] {
		t.Errorf("public, %s:\n%s\nwant\n%s", public.Header().Get("Etag"), got, want)
	}
}

func TestWhatIsNoMultivariantPlaylistIsNotSteered(t *testing.T) {
	synctest.Test(t, timelessWhatIsNoMultivariantPlaylistIsNotSteered)
}

func timelessWhatIsNoMultivariantPlaylistIsNotSteered(t *testing.T) {
	w := newWorld(t, Config{})
	w.SetSteering(toEdgeA)
	show := newShow(7, 0)
	w.a.set(show.ServeHTTP)
	if text := unpacked(t, w.get(t, livePath)); text != show.text(false) {
		t.Errorf("a media playlist:\n%s", text)
	}
	for what, text := range map[string]string{
		"no playlist": "<html>", "steered already": "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"x\"\n", "nothing": "",
	} {
		if got, put := (&steeringOffer{to: toEdgeA}).put([]byte(text), "/acme/show/index.m3u8", false); put || string(got) != text {
			t.Errorf("%s became %q", what, got)
		}
	}
}

func TestTracksOfPlaylistsThatDifferAreNotTold(t *testing.T) {
	for what, text := range map[string]string{
		"no ids":          multivariant,
		"two folders":     strings.Replace(ladder, "/live/video2", "/other/video2", 1),
		"another server":  strings.Replace(ladder, "\n"+testRec+"/live/video.m3u8", "\nhttps://x.example/live/video.m3u8", 1),
		"another name":    strings.Replace(ladder, "live/video2.m3u8", "live/film.m3u8", 1),
		"an own query":    strings.Replace(ladder, "video2.m3u8", "video2.m3u8?a=b", 1),
		"from the root":   strings.ReplaceAll(ladder, testRec, "/"+testRec),
		"a variant alone": "#EXTM3U\nvideo.m3u8\n",
	} {
		if got := tracksOf([]byte(text), "/acme/show/"); got.Dir != "" {
			t.Errorf("%s: %+v", what, got)
		}
	}
	clip := strings.NewReplacer(".m3u8", ".m3u8?start=1&end=5").Replace(ladder)
	if got := tracksOf([]byte(clip), "/acme/show/"); got.Query != "?start=1&end=5" || len(got.Variants) != 3 {
		t.Errorf("a clip: %+v", got)
	}
}

// FuzzSteeredPlaylist has an offer be put in whole or not at all, and nothing be lost.
func FuzzSteeredPlaylist(f *testing.F) {
	f.Add(ladder)
	f.Add(multivariant)
	f.Add("#EXTM3U")
	f.Add("#EXTM3U\r\n#EXT-X-STREAM-INF:STABLE-VARIANT-ID=\"v\"\r\nv.m3u8\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, put := (&steeringOffer{to: toEdgeA}).put([]byte(text), "/acme/show/index.m3u8", len(text)%2 == 0)
		if !put {
			if string(got) != text {
				t.Fatalf("%q became %q", text, got)
			}
			return
		}
		before, rest, _ := strings.Cut(string(got), "#EXT-X-CONTENT-STEERING:")
		tag, after, ok := strings.Cut(rest, "\n")
		if !ok || strings.Count(tag, `"`) != 4 || strings.ContainsAny(tag, "\r \x00") {
			t.Fatalf("the tag is %q", tag)
		}
		if strings.Contains(text, "PATHWAY-ID") {
			return
		}
		if back := strings.ReplaceAll(before+after, `PATHWAY-ID="`+toEdgeA.Pathway+`",`, ""); back != text && before+after != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func BenchmarkHitSteered(b *testing.B) {
	w := newWorld(b, Config{})
	w.a.set(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "public, max-age=100000")
		writePlaylist(rw, r, ladder)
	})
	for name, to := range map[string]media.Steering{"not": {}, "steered": toEdgeA} {
		b.Run(name, func(b *testing.B) {
			w.SetSteering(to)
			req := httptest.NewRequest(http.MethodGet, streamBase+"/index.m3u8", nil)
			req.Header.Set("Accept-Encoding", "gzip")
			rec := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				rec.Body.Reset()
				w.ServeHTTP(rec, req)
			}
			if rec.Code != http.StatusOK {
				b.Fatal(rec.Code)
			}
		})
	}
}
