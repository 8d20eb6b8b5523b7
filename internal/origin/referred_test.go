package origin

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const clipID media.RecordingID = "01kafzq7s8e5gv9mxw2ctr4n6z"

// cut writes the clip of segments 2 to 8 of the studio's show.
func (s *studio) cut() {
	s.tb.Helper()
	rec, err := reclog.Load(s.tb.Context(), s.root.Files(), testPath, testID)
	s.must(err)
	lead := rec.Tracks[0].Segments
	from, to := lead[1].Date, lead[7].Date.Add(time.Millisecond*10)
	clip, err := rec.Cut(clipID, reclog.Clip{Of: testID, Start: time.Second, End: time.Minute}, from, to, rec.EndedAt)
	s.must(err)
	clip.SetMetadata(rec.Metadata)
	s.must(s.root.WriteClip(s.tb.Context(), clip))
}

func TestAClipHasTheBytesOfItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.end()
		s.leave()
		s.cut()
		h, _ := s.handler(Config{})
		const base = "/acme/show/" + string(clipID)
		list := get(t, h, base+"/video.m3u8", 200).body
		if got, want := count(list, "#EXTINF"), 7; got != want || !bytes.Contains(list, []byte("/2.m4s\n")) ||
			!bytes.HasSuffix(list, []byte("#EXT-X-ENDLIST\n")) {
			t.Fatalf("%d segments, want %d:\n%s", got, want, list)
		}
		get(t, h, base+"/live/video.m3u8", 200)
		get(t, h, base+"/index.m3u8", 200)
		paths := []string{"/1/video/init.mp4", "/1/audio/init.mp4"}
		for line := range strings.Lines(string(list)) {
			if line = strings.TrimSpace(line); strings.HasSuffix(line, ".m4s") {
				paths = append(paths, "/"+line, "/"+strings.Replace(line, "video", "audio", 1),
					"/"+strings.TrimSuffix(line, ".m4s")+".0.m4s")
			}
		}
		source := make(map[string][]byte)
		same := func(when string) {
			t.Helper()
			for _, path := range paths {
				if got := get(t, h, base+path, 200).body; !bytes.Equal(got, source[path]) {
					t.Errorf("%s: %s has other bytes", when, path)
				}
			}
		}
		for _, path := range paths {
			source[path] = get(t, h, testBase+path, 200).body
		}
		same("from its source")
		get(t, h, base+"/1/video/1.m4s", 404)
		get(t, h, base+"/2/video/9.m4s", 404)

		// A piece of the clip: its segments go by their numbers, which do not begin with 1.
		piece := get(t, h, base+"/video.m3u8?start=0.5s&end=3s", 200).body
		if !bytes.Contains(piece, []byte("/2.m4s\n")) || bytes.Contains(piece, []byte("/8.m4s\n")) {
			t.Errorf("a piece of the clip:\n%s", piece)
		}

		// As one file.
		file := get(t, h, base+"/recording.mp4", 200).body
		if whole := get(t, h, testBase+"/recording.mp4", 200).body; len(file) == 0 || len(file) >= len(whole) ||
			!bytes.Contains(file, s.bytes["1/video/2.0"][104:]) {
			t.Errorf("%d bytes of %d, and not its segments", len(file), len(whole))
		}
		cut := get(t, h, base+"/recording.mp4?start=0.5s&end=3s", 200).body
		if len(cut) == 0 || len(cut) >= len(file) {
			t.Errorf("a cut has %d bytes of %d", len(cut), len(file))
		}

		// The source goes, while the handler still believes what it read.
		s.must(s.root.OwnMedia(t.Context(), testPath, clipID))
		s.must(s.root.Remove(t.Context(), testPath, testID))
		same("of its own")
		if again := get(t, h, base+"/recording.mp4", 200).body; !bytes.Equal(again, file) {
			t.Errorf("the file changed: %d bytes, had %d", len(again), len(file))
		}
		time.Sleep(time.Minute)
		same("later")
		if again := get(t, h, base+"/video.m3u8", 200).body; !bytes.Equal(again, list) {
			t.Errorf("the playlist changed:\n%s", again)
		}
	})
}
