package archiver

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// While an ingest node still serves a show that ended (LIF-3), the archiver, another process, reopens, marks and removes
// its recording. The node's readers get the same bytes, or learn that it is gone.
func TestBytesDoNotChangeUnderTheNodeThatServesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.record(20_000)
		original := c.localFiles()
		archiving := c.neighbour()
		defer func() { must(t, archiving.Close()) }()
		a := c.archiver(Config{Grace: time.Nanosecond}, archiving)

		name := reclog.TrackName(testPath(), testID, 2, "video")
		open := func() *reclog.Range {
			t.Helper()
			r, err := c.root.Open(t.Context(), name)
			must(t, err)
			return r
		}
		before, idle := open(), open()
		must(t, idle.Close()) // kept open for the next reader
		head := make([]byte, 1000)
		_, err := io.ReadFull(before, head)
		must(t, err)

		mustStep(t, a)
		if row := c.row(); row.State != media.Archived {
			t.Fatalf("row %+v", row)
		}
		for file, data := range c.localFiles() {
			if !strings.HasSuffix(file, "recording.json") && !bytes.Equal(data, original[file]) {
				t.Errorf("archiving changed %s", file)
			}
		}
		between := open()
		time.Sleep(2 * time.Millisecond) // the catalog counts in milliseconds
		mustStep(t, a)
		if files := c.localFiles(); len(files) > 0 {
			t.Fatalf("%d files are left", len(files))
		}
		for when, r := range map[string]*reclog.Range{"before archiving": before, "after it": between} {
			rest, err := io.ReadAll(r)
			must(t, err)
			if when == "before archiving" {
				rest = append(head, rest...)
			}
			if !bytes.Equal(rest, original[name]) {
				t.Errorf("a reader from %s got other bytes", when)
			}
			must(t, r.Close())
		}
		if r, err := c.root.Open(t.Context(), reclog.TrackName(testPath(), testID, 1, "audio")); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("opened a removed file: %v, %v", r, err)
		}
		if _, err := reclog.Load(t.Context(), c.root.Files(), testPath(), testID); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("loaded a removed recording: %v", err)
		}
		c.checkArchive(original)
	})
}
