package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/plainfile"
)

// ReadFile gives all of an object that has no more than MaxFile bytes.
func (d *Dir) ReadFile(_ context.Context, key string) ([]byte, error) {
	f, size, err := d.open(key)
	if err != nil {
		return nil, dirError("read", key, err)
	}
	defer f.Close()
	if size > MaxFile {
		return nil, dirError("read", key, fmt.Errorf("%w: %d bytes", media.ErrTooLarge, size))
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, dirError("read", key, err)
	}
	return b, nil
}

// OpenRange reads exactly size bytes from offset on. An object that has fewer is an io.ErrUnexpectedEOF.
func (d *Dir) OpenRange(_ context.Context, key string, offset, size int64) (io.ReadCloser, error) {
	if offset < 0 || size < 0 {
		return nil, fmt.Errorf("read object %s: %w: range %d+%d", key, media.ErrInvalid, offset, size)
	}
	f, total, err := d.open(key)
	if err != nil {
		return nil, dirError("read", key, err)
	}
	if size > total-offset {
		err = fmt.Errorf("range %d+%d of %d: %w", offset, size, total, io.ErrUnexpectedEOF)
	} else {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, dirError("read", key, errors.Join(err, f.Close()))
	}
	return &fileRange{file: f, rest: io.LimitedReader{R: f, N: size}}, nil
}

func (d *Dir) open(key string) (*os.File, int64, error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	f, err := plainfile.OpenIn(d.root, key)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// absent says that no object has the name; a part of its path may be a file.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// fileRange is a range of a file. WriteTo hands the kernel a file and a count, so that a server sends by sendfile.
type fileRange struct {
	file *os.File
	rest io.LimitedReader
}

func (r *fileRange) Read(p []byte) (int, error) { return r.rest.Read(p) }

func (r *fileRange) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, &r.rest) }

func (r *fileRange) Close() error { return r.file.Close() }
