package archiver

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// A clip whose files were lost is made again of its source in the archive.
func TestLostClipIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.datedSource(500)
		a := w.archiver(Config{Grace: 100 * time.Hour})
		clip := w.madeClip(a, clipFrom, clipTo)
		want := segmentsOf(t, w.root.Files(), clip.ID)
		must(t, os.RemoveAll(filepath.Join(w.dir, testPath().Publisher, testPath().Stream, string(clip.ID))))
		for range 4 {
			steps(t, a)
			time.Sleep(sourceRetry)
		}
		row, err := w.catalog.Recording(t.Context(), clip.ID)
		must(t, err)
		if row.State != media.Archived || row.LastError != "" {
			t.Fatalf("clip %+v", row)
		}
		rec, err := reclog.Load(t.Context(), w.objects, testPath(), clip.ID)
		must(t, err)
		sameSegments(t, "made again", segmentsOf(t, w.objects, clip.ID), want)
		if rec.Source != w.id {
			t.Errorf("its media is that of %s", rec.Source)
		}
	})
}
