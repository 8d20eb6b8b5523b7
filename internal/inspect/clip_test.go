package inspect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// A clip is no damaged recording: without media of its own, and with it.
func TestClipIsClean(t *testing.T) {
	const clipID media.RecordingID = "01kafzq7s8e5gv9mxw2ctr4n6z"
	rec := mustRecord(t, true)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	source, err := reclog.Load(t.Context(), rec.root.Files(), path, testID)
	must(t, err)
	lead := source.Tracks[0].Segments
	clip, err := source.Cut(clipID, reclog.Clip{Of: testID, Start: time.Second, End: time.Minute},
		lead[1].Date, lead[6].Date.Add(time.Second), source.EndedAt)
	must(t, err)
	clip.SetMetadata(source.Metadata)
	must(t, rec.root.WriteClip(t.Context(), clip))
	dir := filepath.Join(filepath.Dir(rec.dir), string(clipID))
	check := func(want string, read bool) *Report {
		t.Helper()
		d, err := OpenDir(dir)
		must(t, err)
		r, err := Recording(t.Context(), d, Options{Source: "test"})
		must(t, err)
		must(t, d.Close())
		if r.Errors+r.Warnings > 0 || r.MediaRead != read || r.Seconds < 9 {
			t.Errorf("%s: %+v", want, r)
		}
		return r
	}
	r := check("referring", false)
	if got := names(r, Info); len(got) == 0 || got[0] != "clip" {
		t.Errorf("told %v", got)
	}
	must(t, rec.root.OwnMedia(t.Context(), path, clipID))
	// What an archive has beside: it is Oxbow's, and no damage.
	for _, name := range []string{
		"1/video.samples", "1/video.source.idx", "thumbnail.jpg", "sprite-1.jpg", "sprite-99.jpg", "thumbnails.vtt",
		"recording.growing.json",
	} {
		must(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte("x"), 0o600))
	}
	r = check("own media", true)
	if got := names(r, Info); slices.Contains(got, "unknown-file") {
		t.Errorf("told %v", got)
	}
}

func TestAClipsPlaylistHasTheNumbersOfItsSource(t *testing.T) {
	for _, c := range []struct {
		name, head, uri, end string
		want                 int64
	}{
		{"a clip", "#EXT-X-MEDIA-SEQUENCE:1\n", "1/video/3.m4s", "#EXT-X-ENDLIST\n", 3},
		{"a whole recording", "#EXT-X-MEDIA-SEQUENCE:1\n", "1/video/1.m4s", "#EXT-X-ENDLIST\n", 1},
		{"live ones are held to their word", "#EXT-X-MEDIA-SEQUENCE:1\n", "1/video/3.m4s", "", 1},
		{"names without numbers", "#EXT-X-MEDIA-SEQUENCE:1\n", "1/video.mp4", "#EXT-X-ENDLIST\n", 1},
	} {
		p, err := parsePlaylist([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + c.head + "#EXTINF:2,\n" + c.uri + "\n" + c.end))
		if err != nil {
			t.Fatal(err)
		}
		if len(p.entries) != 1 || p.entries[0].msn != c.want {
			t.Errorf("%s: %+v", c.name, p.entries)
		}
	}
}
