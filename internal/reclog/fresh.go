package reclog

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// freshTries is how often a thing is looked up whose file handle is stale: on NFS a name that the client remembers may
// lead to a file that another client has replaced. Each try makes the client ask the server.
const freshTries = 4

// stale says that a file handle leads nowhere any more.
func stale(err error) bool { return errors.Is(err, syscall.ESTALE) }

// freshFS looks names up anew where the file system says that what it remembers is stale.
type freshFS struct{ fileSystem }

func (f freshFS) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	var opened file
	err := fresh(func() (err error) {
		opened, err = f.fileSystem.OpenFile(name, flag, perm)
		return err
	})
	return opened, err
}

func (f freshFS) ReadDir(name string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := fresh(func() (err error) {
		entries, err = f.fileSystem.ReadDir(name)
		return err
	})
	return entries, err
}

func fresh(act func() error) error {
	var err error
	for range freshTries {
		if err = act(); !stale(err) {
			return err
		}
	}
	return err
}

// freshReader reads a file that is never replaced: opened anew where what is had of it is stale.
type freshReader struct {
	fsys fileSystem
	name string
	f    file
}

func openFresh(fsys fileSystem, name string) (*freshReader, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return &freshReader{fsys, name, f}, nil
}

// ReadAt is for one goroutine.
func (r *freshReader) ReadAt(p []byte, off int64) (n int, err error) {
	err = fresh(func() error {
		n, err = r.f.ReadAt(p, off)
		if !stale(err) {
			return err
		}
		again, oerr := r.fsys.OpenFile(r.name, os.O_RDONLY, 0)
		if oerr != nil {
			return errors.Join(err, oerr)
		}
		_ = r.f.Close() // only read, and the server has forgotten it
		r.f = again
		return err
	})
	return n, err
}

// Close ends the reading.
func (r *freshReader) Close() error { return r.f.Close() }
