package reclog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/plainfile"
)

// fileSystem is what the log asks of a file system; tests put one under it that fails and forgets.
type fileSystem interface {
	// OpenFile opens plain files, whose names it follows to no symbolic link, and with O_DIRECTORY directories. To who
	// reads, what is no plain file is not there.
	OpenFile(name string, flag int, perm fs.FileMode) (file, error)
	Mkdir(name string, perm fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
}

// file is an open file of a fileSystem.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

const (
	dirPerm  fs.FileMode = 0o755
	filePerm fs.FileMode = 0o644
)

// osFS is the operating system's.
type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	var f *os.File
	var err error
	switch {
	case flag&syscall.O_DIRECTORY != 0:
		f, err = os.OpenFile(name, flag, perm)
	case flag == os.O_RDONLY:
		f, err = plainfile.Open(name)
	default:
		if f, err = os.OpenFile(name, flag|syscall.O_NOFOLLOW, perm); errors.Is(err, syscall.ELOOP) {
			err = &fs.PathError{Op: "open", Path: name, Err: plainfile.ErrLink}
		}
	}
	if err != nil {
		return nil, err // not f: a nil *os.File in a file is not nil
	}
	return f, nil
}
func (osFS) Mkdir(name string, perm fs.FileMode) error  { return os.Mkdir(name, perm) }
func (osFS) Rename(from, to string) error               { return os.Rename(from, to) }
func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// openDirectory opens a directory, or where a link to one leads: those of publishers may be on other volumes.
func openDirectory(fsys fileSystem, name string) (file, error) {
	return fsys.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// syncDir makes the creations, renames and removals in a directory survive a loss of power.
func syncDir(fsys fileSystem, dir string) error {
	d, err := openDirectory(fsys, dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mkdirs makes what is missing of root/a/b, and syncs each directory that got an entry.
func mkdirs(fsys fileSystem, root string, elems ...string) error {
	dir := root
	for _, elem := range elems {
		parent := dir
		dir = filepath.Join(dir, elem)
		err := fsys.Mkdir(dir, dirPerm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = syncDir(fsys, parent)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a file or a tree; nothing there is fine.
func removeAll(fsys fileSystem, name string) error {
	err := fsys.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries, rerr := fsys.ReadDir(name)
	if rerr != nil {
		return err
	}
	for _, e := range entries {
		if err := removeAll(fsys, filepath.Join(name, e.Name())); err != nil {
			return err
		}
	}
	if err = fsys.Remove(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readFile reads a file of at most limit bytes, and allocates no more than it has. One that is replaced meanwhile is
// read as it was or as it is.
func readFile(fsys fileSystem, name string, limit int64) (data []byte, err error) {
	err = fresh(func() error {
		data, err = readOnce(fsys, name, limit)
		return err
	})
	return data, err
}

func readOnce(fsys fileSystem, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f, limit)
	return data, errors.Join(err, f.Close())
}

func readAll(f file, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a file", fs.ErrNotExist)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", media.ErrTooLarge, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if errors.Is(err, io.EOF) {
		err = nil // cut back by a recovery since Stat
	}
	return data[:n], err
}

// createFile makes a file that must not be there yet, with its first bytes, synced.
func createFile(fsys fileSystem, name string, data []byte) (file, error) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err
	}
	if err := writeSync(f, data); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func writeSync(f file, data []byte) error {
	n, err := f.WriteAt(data, 0)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return err
	}
	return f.Sync()
}

// replaceFile gives a file new contents: readers and a crash meet the old or the new, whole. Who has the old file
// open keeps it, so a fenced writer's appends go nowhere. The new file is made under a name of the writer's own;
// check, if it is not nil, may then still forbid the replacement (see swap.go).
func replaceFile(fsys fileSystem, name, writer string, data []byte, check func() error) error {
	tmp := name + "." + writer + tmpSuffix
	f, err := fsys.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return err
	}
	if err := errors.Join(writeSync(f, data), f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(tmp))
	}
	if check != nil {
		if err := check(); err != nil {
			return errors.Join(err, removeAll(fsys, tmp))
		}
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return errors.Join(err, fsys.Remove(tmp))
	}
	return syncDir(fsys, filepath.Dir(name))
}

// missing says that a file is not there; a path through a file, or through a link to itself, is no different.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// notFound turns the file system's word into ours.
func notFound(err error) error {
	if err != nil && missing(err) {
		return fmt.Errorf("%w: %w", media.ErrNotFound, err)
	}
	return err
}

// appendFile only grows, by whole records: after a failed write it is cut back before the next.
type appendFile struct {
	f   file
	end int64
	// torn says that bytes of a failed write may lie behind end.
	torn bool
	// guard, if it is not nil, says whether the file may be cut: behind a take-over its tail may be in segments.
	guard func() error
}

// append writes the record with one write and returns where it begins.
func (a *appendFile) append(data []byte) (int64, error) {
	if a.torn {
		if err := a.cut(); err != nil {
			return 0, err
		}
	}
	n, err := a.f.WriteAt(data, a.end)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return 0, errors.Join(err, a.undo(a.end))
	}
	offset := a.end
	a.end += int64(n)
	return offset, nil
}

// undo cuts the file back to where it ended before a record that failed.
func (a *appendFile) undo(end int64) error {
	a.end, a.torn = end, true
	return a.cut()
}

func (a *appendFile) cut() error {
	if a.guard != nil {
		if err := a.guard(); err != nil {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
	}
	if err := a.f.Truncate(a.end); err != nil {
		return fmt.Errorf("%w: cut back to %d: %w", ErrBroken, a.end, err)
	}
	a.torn = false
	return nil
}
