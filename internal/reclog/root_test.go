package reclog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// openDir opens a root on the real file system.
func openDir(tb testing.TB, dir string) *Root {
	tb.Helper()
	r, err := OpenRoot(Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			tb.Error(err)
		}
	})
	return r
}

func TestARootIsOpenedByOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "too")
	first := openDir(t, dir)
	_, err := OpenRoot(Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, media.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir)
	if _, err := OpenRoot(Config{Dir: t.TempDir(), Sync: "often"}, slog.New(slog.DiscardHandler)); !errors.Is(err, media.ErrInvalid) {
		t.Errorf("policy: %v", err)
	}
}

// A whole life on the real file system: written, crashed, recovered, continued, read, removed.
func TestRecordingOnTheRealFileSystem(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	root := openDir(t, dir)
	s := &show{tb: t, fsys: newMemFS(), root: root, next: 1}
	if !s.begin() || !s.startTake() {
		t.Fatal(s.failed)
	}
	s.segment(3)
	s.segment(2)
	_ = s.part(0, 0) && s.part(1, 0)
	if err := s.take.closeFiles(); err != nil { // as a kill would
		t.Fatal(err)
	}
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(dir, "acme", "show", string(testID), "1", "video.mp4")
	f, err := os.OpenFile(torn, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(s.told[0].data[:50]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	root = openDir(t, dir)
	refs, err := root.Unfinished(ctx)
	if diff := cmp.Diff([]Ref{{Path: testPath(), ID: testID}}, refs); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	rec, w, err := root.Reopen(ctx, testPath(), testID)
	if err != nil || len(rec.Damage) != 0 || len(rec.Tracks[0].Segments) != 3 {
		t.Fatalf("%+v %v", rec, err)
	}
	checkRecording(t, root.Files(), rec, s.told, 0)
	if err := w.Update(func(m *Manifest) { m.State = media.Ended }); err != nil {
		t.Fatal(err)
	}
	if refs, err := root.Unfinished(ctx); err != nil || len(refs) != 0 {
		t.Errorf("%v %v", refs, err)
	}
	for _, name := range rec.FileNames() {
		r, err := root.Open(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != r.Size() {
			t.Errorf("%s: %d %v", name, r.Size(), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := root.Reopen(ctx, testPath(), "01kafzq7s8e5gv9mxw2ctr4n6c"); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("reopen of another: %v", err)
	}
	if err := root.Remove(ctx, testPath(), testID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "acme", "show", string(testID))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
	if err := root.Remove(ctx, testPath(), testID); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("second removal: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	root := openDir(t, t.TempDir())
	if _, err := root.Create(testManifest()); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Create(testManifest()); !errors.Is(err, media.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	for name, change := range map[string]func(*Manifest){
		"publisher": func(m *Manifest) { m.Publisher = "../acme" },
		"stream":    func(m *Manifest) { m.Stream = "" },
		"id":        func(m *Manifest) { m.ID = "live" },
	} {
		m := testManifest()
		change(&m)
		if _, err := root.Create(m); !errors.Is(err, media.ErrBadName) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLatestIsTheNewestWithAManifest(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	root := openDir(t, dir)
	if _, err := root.Latest(ctx, testPath()); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}
	for _, last := range "acb" {
		m := testManifest()
		m.ID = testID[:25] + media.RecordingID(last)
		if _, err := root.Create(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{string(testID[:25]) + "d", "notes"} {
		if err := os.Mkdir(filepath.Join(dir, "acme", "show", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if id, err := root.Latest(ctx, testPath()); err != nil || id != testID[:25]+"c" {
		t.Errorf("%s %v", id, err)
	}
	if _, err := root.Latest(ctx, media.StreamPath{Publisher: "..", Stream: "show"}); !errors.Is(err, media.ErrBadName) {
		t.Errorf("name: %v", err)
	}
}

// However a removal is cut short, no reader finds half a recording, and the next start ends it.
func TestRemoveCutShortIsEnded(t *testing.T) {
	ctx := context.Background()
	s := finished(t)
	start := s.now()
	if err := s.root.Remove(ctx, testPath(), testID); err != nil {
		t.Fatal(err)
	}
	if left := s.fsys.glob(onDisk("*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for at := start; at <= len(s.fsys.journal); at++ {
		fsys := replay(s.fsys.journal[:at])
		root := testRoot(t, fsys, SyncSegment)
		rec, err := Load(ctx, root.Files(), testPath(), testID)
		if err == nil {
			checkRecording(t, root.Files(), rec, s.told, at)
			continue
		}
		if !errors.Is(err, media.ErrNotFound) {
			t.Errorf("load at %d: %v", at, err)
		}
		if _, err := root.Unfinished(ctx); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
		if left := fsys.glob("/acme/show/*"); len(left) != 0 {
			t.Errorf("left at %d: %v", at, left)
		}
	}
}

func TestRecoveryAndRemovalAreKeptApart(t *testing.T) {
	s := finished(t)
	release, err := s.root.claim(Ref{Path: testPath(), ID: testID})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.root.Remove(context.Background(), testPath(), testID); !errors.Is(err, media.ErrConflict) {
		t.Errorf("remove: %v", err)
	}
	if _, _, err := s.root.Reopen(context.Background(), testPath(), testID); !errors.Is(err, media.ErrConflict) {
		t.Errorf("reopen: %v", err)
	}
	release()
	if err := s.root.Remove(context.Background(), testPath(), testID); err != nil {
		t.Error(err)
	}
}
