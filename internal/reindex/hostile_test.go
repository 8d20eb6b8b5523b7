package reindex

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/inspect"
	"github.com/oxbow-video/oxbow/internal/media"
)

// TestHostileTreesStopNoReindexing: the recordings that are whole come back, whatever lies beside them in the cluster's
// directory and in an archive that is one.
func TestHostileTreesStopNoReindexing(t *testing.T) {
	w := newWorld(t, newDir(t))
	w.record(show(), id(1), media.Ended)
	archive := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("another's"), 0o600))
	number := 10
	for _, tree := range []string{w.dir, archive} {
		for _, put := range []func(name string) error{
			func(name string) error { return unix.Mkfifo(name, 0o600) },
			func(name string) error { return os.Symlink(outside, name) },
			func(name string) error { return os.Symlink("/dev/zero", name) },
			func(name string) error { return os.Symlink(name, name) },
			func(name string) error { return os.Mkdir(name, 0o700) },
			func(name string) error {
				return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 1<<40))
			},
			func(name string) error { // another recording's manifest
				data, err := os.ReadFile(filepath.Join(w.dir, "acme", "show", string(id(1)), "recording.json"))
				return errors.Join(err, os.WriteFile(name, data, 0o600))
			},
		} {
			number++
			dir := filepath.Join(tree, "acme", "show", string(id(number)))
			must(t, os.MkdirAll(dir, 0o700))
			must(t, put(filepath.Join(dir, "recording.json")))
		}
		must(t, os.Symlink("/", filepath.Join(tree, "umbrella")))
		must(t, os.Symlink(tree, filepath.Join(tree, "acme", "again")))
		must(t, unix.Mkfifo(filepath.Join(tree, "pipe"), 0o600))
		must(t, os.Mkdir(filepath.Join(tree, "lost+found"), 0))
		must(t, os.Mkdir(filepath.Join(tree, strings.Repeat("x", 255)), 0o700))
		deep := tree
		for range 100 {
			deep = filepath.Join(deep, "d")
		}
		must(t, os.MkdirAll(deep, 0o700))
	}
	cfg := w.config()
	store, err := inspect.OpenDir(archive)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	cfg.Archives[media.DefaultArchive] = store
	report, err := Run(t.Context(), cfg)
	must(t, err)
	if report.Added != 1 || w.row(id(1)).State != media.Ended {
		t.Errorf("%+v", report)
	}
	var text strings.Builder
	must(t, report.Print(&text))
	for _, damaged := range []int{16, 17, 23, 24} { // too large, another's
		if !strings.Contains(fmt.Sprint(report.Damaged), string(id(damaged))) {
			t.Errorf("%s is not told of: %s", id(damaged), text.String())
		}
	}
}
