package test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestFaultVolumeIsAFileSystem holds the volume's server against what recordings do, and its faults against their names.
func TestFaultVolumeIsAFileSystem(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "volume")
	v := newFaultVolume(t, dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	name, next := filepath.Join(dir, "a", "b", "file"), filepath.Join(dir, "a", "b", "next")
	data := bytes.Repeat([]byte("0123456789"), 50_000)
	must(os.WriteFile(name, data[:1000], 0o644))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(err)
	defer func() { _ = f.Close() }()
	_, err = f.WriteAt(data[1000:], 1000)
	must(errors.Join(err, f.Sync()))
	must(os.WriteFile(next, []byte("next"), 0o644))
	got, err := os.ReadFile(name)
	if must(err); !bytes.Equal(got, data) {
		t.Fatalf("%d bytes are read, %d were written", len(got), len(data))
	}
	must(f.Truncate(10))
	must(os.Rename(next, name))
	info, err := f.Stat() // of the file that was replaced
	if must(err); info.Size() != 10 {
		t.Errorf("the replaced file has %d bytes, want 10", info.Size())
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "next" {
		t.Errorf("after the rename it reads %q: %v", got, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 1 {
		t.Errorf("entries %v: %v", entries, err)
	}
	for _, errno := range []syscall.Errno{syscall.EROFS, syscall.ENOSPC} {
		v.fail(errno)
		if _, err := f.WriteAt(data[:1], 10); !errors.Is(err, errno) {
			t.Errorf("write with %v: %v", errno, err)
		}
		if err := os.WriteFile(next, nil, 0o644); !errors.Is(err, errno) {
			t.Errorf("create with %v: %v", errno, err)
		}
	}
	v.heal()
	v.throttle(1 << 20)
	begun := time.Now()
	_, err = f.WriteAt(data, 0)
	if took := time.Since(begun); err != nil || took < 400*time.Millisecond {
		t.Errorf("%d bytes at a MiB/s took %v: %v", len(data), took, err)
	}
	v.heal()
	v.hang()
	done := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(name)
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("a read came back from a volume that hangs: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	v.heal()
	must(<-done)
	must(os.Remove(name))
}
