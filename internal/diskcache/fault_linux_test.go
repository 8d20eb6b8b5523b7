package diskcache

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestSmallFileSystem fills a real one.
func TestSmallFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("no file system can be mounted here, TestFaultsOfTheDevice stands for it: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	cache := filepath.Join(dir, "cache")
	s := mustOpen(t, Config{Dir: cache})
	for i := range 120 {
		s.Put(fmt.Sprint(i), "group", []byte("meta of "+fmt.Sprint(i)), [][]byte{bodyOf(fmt.Sprint(i), 100_000)}, nil)
		flush(t, s)
	}
	kept := 0
	for i := range 120 {
		if want(t, s, fmt.Sprint(i), 100_000) {
			kept++
		}
	}
	if kept < 20 || testutil.ToFloat64(s.metrics.errors[actWrite]) == 0 {
		t.Errorf("%d entries are there", kept)
	}
	mustClose(t, s)
	s = mustOpen(t, Config{Dir: cache})
	flush(t, s)
	for i := range 120 {
		want(t, s, fmt.Sprint(i), 100_000)
	}
	mustClose(t, s)
}

// TestReadOnlyAtTheStart has the file system remounted read-only, as Linux does after errors, when the edge starts.
func TestReadOnlyAtTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("no file system can be mounted here, TestFaultsOfTheDevice stands for it: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	cache := filepath.Join(dir, "cache")
	s := mustOpen(t, Config{Dir: cache})
	put(t, s, "key", "group", 1000)
	flush(t, s)
	mustClose(t, s)
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	s = mustOpen(t, Config{Dir: cache})
	if want(t, s, "key", 1000) || s.Put("other", "group", nil, nil, nil) {
		t.Error("it works on what it can't have")
	}
	remount(0)
	eventually(t, "the cache is back", func() bool { return want(t, s, "key", 1000) })
	mustClose(t, s)
}
