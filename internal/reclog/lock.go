package reclog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/plainfile"
)

const (
	lockFile = ".oxbow.lock"
	// sharedHolder stands in the file instead of a process's id while a cluster has the directory.
	sharedHolder = "cluster"
)

// lockDir holds the directory until the file is closed or the process ends.
func lockDir(dir string, shared bool) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, filePerm)
	if err != nil {
		return nil, err
	}
	how, holder := unix.LOCK_EX, fmt.Sprintf("%d\n", os.Getpid())
	if shared {
		how, holder = unix.LOCK_SH, sharedHolder+"\n"
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = conflictOf(f, dir, shared)
	}
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt([]byte(holder), 0) // nodes that share it write the same
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Holder says who has a directory for itself, as oxbow serve does: "process 12". It is empty where nobody has, or nodes
// of a cluster share it, whom asking does not disturb.
func Holder(dir string) (string, error) {
	f, err := plainfile.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	// Closing the file gives the lock up again.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return "", err
	}
	holder := make([]byte, 20)
	n, _ := f.ReadAt(holder, 0)
	name := strings.TrimSpace(string(holder[:n]))
	if name == "" || name == sharedHolder {
		return "another process", nil
	}
	return "process " + name, nil
}

// conflictOf tells who has the directory, and what to do.
func conflictOf(f *os.File, dir string, shared bool) error {
	holder := make([]byte, 20)
	n, err := f.ReadAt(holder, 0)
	name := strings.TrimSpace(string(holder[:n]))
	switch {
	case err != nil && !errors.Is(err, io.EOF) || name == "":
		name = "another process has %s open"
	case name == sharedHolder:
		name = "nodes of a cluster have %s open: stop its ingest nodes and archiver, or use another directory"
	case shared:
		name = "process " + name + " has %s open for itself, as oxbow serve does: stop it, or use another directory"
	default:
		name = "process " + name + " has %s open"
	}
	return fmt.Errorf("%w: "+name, media.ErrConflict, dir)
}
