package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"syscall"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/plainfile"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Folder is one recording's files, wherever they lie. Names are relative to the recording: "recording.json",
// "1/video.mp4". What is not there is media.ErrNotFound.
type Folder interface {
	// ReadFile reads a whole file of at most a manifest's, an index's or a playlist's size.
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// OpenRange reads exactly size bytes from offset on.
	OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error)
	// Stat tells a file's size.
	Stat(ctx context.Context, name string) (media.Object, error)
}

// Lister is a Folder that can tell what else it has.
type Lister interface {
	List(ctx context.Context, prefix string) iter.Seq2[media.Object, error]
}

const (
	// maxDepth is more directories below one another than any recording has, from the directory of all of them on.
	maxDepth = 8
	// lostFound is what file systems have at their root, which only root may read.
	lostFound = "lost+found"
)

// Dir is a Folder in a directory, read only.
type Dir struct {
	root *os.Root
}

// OpenDir opens a recording's directory. media.ErrNotFound.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", absent(err))
	}
	return &Dir{root}, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

// ReadFile reads a whole file of at most reclog.MaxIndex bytes.
func (d *Dir) ReadFile(_ context.Context, name string) ([]byte, error) {
	f, err := plainfile.OpenIn(d.root, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, absent(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > reclog.MaxIndex {
		err = fmt.Errorf("%w: %d bytes, at most %d are read", media.ErrTooLarge, info.Size(), reclog.MaxIndex)
	}
	var data []byte
	if err == nil {
		if data, err = io.ReadAll(io.LimitReader(f, reclog.MaxIndex+1)); err == nil && len(data) > reclog.MaxIndex {
			err = media.ErrTooLarge // it has grown since
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, absent(err))
	}
	return data, nil
}

// OpenRange opens a part of a file. The reader may seek forward.
func (d *Dir) OpenRange(_ context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	f, err := plainfile.OpenIn(d.root, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, absent(err))
	}
	return struct {
		*io.SectionReader
		io.Closer
	}{io.NewSectionReader(f, offset, size), f}, nil
}

// Stat tells a file's size.
func (d *Dir) Stat(_ context.Context, name string) (media.Object, error) {
	info, err := plainfile.StatIn(d.root, name)
	if err != nil {
		return media.Object{}, fmt.Errorf("stat %s: %w", name, absent(err))
	}
	return media.Object{Key: name, Size: info.Size(), ModifiedAt: info.ModTime()}, nil
}

// List gives every file of the recording.
func (d *Dir) List(ctx context.Context, _ string) iter.Seq2[media.Object, error] {
	return func(yield func(media.Object, error) bool) {
		err := fs.WalkDir(d.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			if cerr := ctx.Err(); cerr != nil {
				return cerr
			}
			switch {
			case name != "." && errors.Is(err, fs.ErrNotExist):
				return nil // removed meanwhile
			case name == lostFound && entry.IsDir(), err == nil && entry.IsDir() && strings.Count(name, "/") >= maxDepth:
				return fs.SkipDir
			case err != nil || entry.IsDir():
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // it was removed meanwhile
			}
			if !yield(media.Object{Key: name, Size: info.Size(), ModifiedAt: info.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(media.Object{}, fmt.Errorf("list recording: %w", err))
		}
	}
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w", media.ErrNotFound, err)
	}
	return err
}
