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
