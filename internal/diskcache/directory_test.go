package diskcache

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestDirectoryOfOthersIsRefused(t *testing.T) {
	cases := map[string]struct {
		prepare func(dir string) error
		want    error
	}{
		"a file":            {func(dir string) error { return os.WriteFile(dir+"/photo.jpg", nil, 0o600) }, ErrForeign},
		"a directory":       {func(dir string) error { return os.Mkdir(dir+"/home", 0o700) }, ErrForeign},
		"a foreign segment": {func(dir string) error { return os.WriteFile(dir+"/00000001.segment", nil, 0o600) }, ErrForeign},
		"beside the cache": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/oxbow-disk-cache", []byte(markText), 0o600), os.Mkdir(dir+"/x", 0o700))
		}, ErrForeign},
		"lost+found":          {func(dir string) error { return os.Mkdir(dir+"/lost+found", 0o700) }, nil},
		"a file in its place": {func(dir string) error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)) }, fs.ErrExist},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			if err := errors.Join(os.Mkdir(dir, 0o700), c.prepare(dir)); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Config{Dir: dir}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
			if c.want == nil && err == nil {
				mustClose(t, s)
				return
			}
			if err == nil || !errors.Is(err, c.want) && name != "a file in its place" {
				t.Fatalf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	_, err := Open(Config{Dir: dir}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("error %v", err)
	}
	mustClose(t, s)
	mustOpen(t, Config{Dir: dir})
}

func TestOtherFormatBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	put(t, s, "key", "group", 1000)
	flush(t, s)
	mustClose(t, s)
	if err := os.WriteFile(filepath.Join(dir, markFile), []byte("oxbow disk cache, format 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Config{Dir: dir})
	if want(t, s, "key", 1000) {
		t.Error("an entry of another format was read")
	}
	put(t, s, "key", "group", 1000)
	flush(t, s)
	mustClose(t, s)
	if s = mustOpen(t, Config{Dir: dir}); !want(t, s, "key", 1000) {
		t.Error("the new cache does not keep")
	}
}

func TestSmallerBoundEvictsAtTheStart(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir, Bytes: 64 << 20})
	for i := range 50 {
		put(t, s, fmt.Sprint(i), "group", 1<<20)
	}
	flush(t, s)
	mustClose(t, s)
	s = mustOpen(t, Config{Dir: dir})
	if _, bytes := names(t, dir); bytes > minBytes {
		t.Errorf("%d bytes", bytes)
	}
	if !want(t, s, "49", 1<<20) || s.Has("0") {
		t.Error("the oldest stayed, or the newest went")
	}
	mustClose(t, s)
	_, bytes := names(t, dir)
	bound := bytes + 600<<10 // no room for one more segment
	s = mustOpen(t, Config{Dir: dir, Bytes: max(bound, minBytes)})
	for i := range 20 {
		put(t, s, fmt.Sprint("more", i), "group", 300_000)
		flush(t, s)
		if _, bytes := names(t, dir); bytes > max(bound, minBytes) {
			t.Fatalf("%d bytes, allowed are %d", bytes, bound)
		}
	}
}

func TestUnusableLimits(t *testing.T) {
	for _, c := range []Config{{}, {Dir: "x", Bytes: 1 << 20}, {Dir: "x", Files: 5}, {Dir: "x", Bytes: 1 << 40, Files: 100}} {
		if _, err := Open(c, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry()); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}
