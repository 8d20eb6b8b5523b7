package loadgen

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/inspect"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// What is made is a recording like any other: nothing that inspects one finds fault with it.
func TestMadeRecordingIsSound(t *testing.T) {
	for _, c := range []struct {
		size   int64
		length time.Duration
	}{{16 << 10, 2 * time.Second}, {1 << 20, time.Minute}, {3<<20 + 1, 5 * time.Second}} {
		dir := t.TempDir()
		root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Sync: reclog.SyncNever}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		told := int64(0)
		row, err := WriteRecording(root, RecordingConfig{
			Path: media.StreamPath{Publisher: "acme", Stream: "show"}, ID: "01kafzq7s8e5gv9mxw2ctr4n6b", Size: c.size,
			Length: c.length, Progress: func(size int64) { told = size },
		})
		if err := errors.Join(err, root.Close()); err != nil {
			t.Fatal(err)
		}
		if over := row.Bytes - c.size; told != row.Bytes || over < 0 && -over > c.size/10 || over > c.size/10+64<<10 {
			t.Errorf("%+v: %d bytes, %d were told", c, row.Bytes, told)
		}
		folder, err := inspect.OpenDir(filepath.Join(dir, "acme/show/01kafzq7s8e5gv9mxw2ctr4n6b"))
		if err != nil {
			t.Fatal(err)
		}
		report, err := inspect.Recording(t.Context(), folder, inspect.Options{})
		if err := errors.Join(err, folder.Close()); err != nil {
			t.Fatal(err)
		}
		if report.Errors+report.Warnings > 0 {
			_ = report.Print(os.Stderr)
			t.Errorf("%+v: %d errors, %d warnings", c, report.Errors, report.Warnings)
		}
		if want := c.length.Truncate(madeSegment); report.Seconds != want.Seconds() || row.Duration != want {
			t.Errorf("%+v: %v s, row %v", c, report.Seconds, row.Duration)
		}
	}
}

func TestMadeRecordingsAreBounded(t *testing.T) {
	for _, c := range []struct {
		size   int64
		length time.Duration
	}{{0, time.Minute}, {1 << 20, time.Second}, {1 << 20, 49 * time.Hour}, {1 << 40, time.Minute}, {1 << 20, time.Hour}} {
		if err := CheckRecording(c.size, c.length); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
