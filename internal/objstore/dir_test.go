package objstore

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

func TestOpenDirRemovesWhatCrashedWritersLeft(t *testing.T) {
	dir := t.TempDir()
	mustOpenDir(t, dir)
	old, fresh := filepath.Join(dir, tmpDir, "old"), filepath.Join(dir, tmpDir, "fresh")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * tmpAge)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	d := mustOpenDir(t, dir)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil { // another process may be writing it
		t.Error(err)
	}
	if keys := objstoretest.MustKeys(t, d, ""); len(keys) > 0 {
		t.Errorf("listed: %v", keys)
	}
}

func TestDirLeavesNothingButObjects(t *testing.T) {
	dir := t.TempDir()
	d := mustOpenDir(t, dir)
	objstoretest.MustPut(t, d, "a/b/c", []byte("x"), media.PutOptions{})
	objstoretest.MustPut(t, d, "a/b/d", []byte("x"), media.PutOptions{Exclusive: true})
	if err := d.Delete(t.Context(), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) != 1 || names[0] != "a/b/d" {
		t.Errorf("%v, %v", names, err)
	}
}

func TestConnectionOnWhichNothingMovesIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		conn := &stallConn{Conn: near, patience: stallTimeout}
		start := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took != stallTimeout {
			t.Errorf("read ended after %s", took)
		}
		// Sending a part for long puts off the end of the read that waits for its answer.
		ended := make(chan time.Time, 1)
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			ended <- time.Now()
		}()
		for range 10 {
			time.Sleep(stallTimeout / 2)
			go func() { _, _ = far.Read(make([]byte, 1)) }()
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
		last := time.Now()
		if quiet := (<-ended).Sub(last); quiet != stallTimeout {
			t.Errorf("read ended %s after the last write", quiet)
		}
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
}
