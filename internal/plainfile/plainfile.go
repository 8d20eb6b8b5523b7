// Package plainfile opens files of trees that others may have put together: a directory that was restored, shared or
// carried here may have pipes, devices and links where files should be.
//
// Invariants:
//  1. Opening does not wait for the other end of a pipe.
//  2. What is opened is a regular file. Anything else is not there: fs.ErrNotExist.
//  3. Open follows no symbolic link at the end of the name. OpenIn follows such that stay in the root, as os.Root does.
package plainfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrLink is what a symbolic link is told as that was not followed.
var ErrLink = errors.New("it is a symbolic link: where such lead is not looked at")

// Open opens a file for reading.
func Open(name string) (*os.File, error) {
	return open(name, syscall.O_NOFOLLOW, func(flag int) (*os.File, error) { return os.OpenFile(name, flag, 0) })
}

// OpenIn opens a file below a root for reading.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	f, err := open(name, 0, func(flag int) (*os.File, error) { return root.OpenFile(name, flag, 0) })
	return f, within(root, name, err)
}

// StatIn tells of a file below a root.
func StatIn(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Stat(name)
	if err == nil {
		err = plain(name, info)
	}
	return info, within(root, name, err)
}

// within finds the error's reason: os.Root has no word of its own for a link that leads out of it.
func within(root *os.Root, name string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info, lerr := root.Lstat(name); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
		return notThere(name, ErrLink)
	}
	return err
}

func plain(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return notThere(name, fmt.Errorf("it is no file (%s)", info.Mode().Type()))
	}
	return nil
}

func open(name string, flag int, try func(flag int) (*os.File, error)) (*os.File, error) {
	f, err := try(flag | syscall.O_NONBLOCK)
	if errors.Is(err, syscall.EAGAIN) {
		// Somebody has a lease of it, as an NFS server gives to its clients: it is called back while we wait.
		f, err = try(flag)
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, notThere(name, ErrLink)
	}
	if errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENODEV) { // a socket, a device without driver
		return nil, notThere(name, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = plain(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func notThere(name string, err error) error {
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: %w", fs.ErrNotExist, err)}
}
