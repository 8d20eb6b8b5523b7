package reclog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	lockFile = ".oxbow.lock"
	// sharedHolder stands in the file instead of a process's id while a cluster has the directory.
	sharedHolder = "cluster"
)

// lockDir holds the directory until the file is closed or the process ends.
func lockDir(dir string, shared bool) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, filePerm)
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
