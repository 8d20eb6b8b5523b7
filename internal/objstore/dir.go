package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/plainfile"
)

const (
	tmpDir    = ".tmp"
	lostFound = "lost+found"
	// tmpAge is how old a file below .tmp is before OpenDir takes it for left behind by a crash. Other processes may be
	// writing theirs.
	tmpAge = 24 * time.Hour
)

// Dir is an object store in a directory. It may be used by several goroutines and processes at once.
type Dir struct {
	root *os.Root
}

// OpenDir makes the directory if it is not there, and removes what crashed writers left.
func OpenDir(dir string) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	d := &Dir{root: root}
	if err := d.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("open object directory %s: %w", dir, err), root.Close())
	}
	return d, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) clean() error {
	if err := d.root.MkdirAll(tmpDir, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(d.root.FS(), tmpDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		age := tmpAge
		if isUpload(e.Name()) {
			age = uploadAge
		}
		if err != nil || time.Since(info.ModTime()) < age {
			continue
		}
		if err := d.root.Remove(path.Join(tmpDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Put writes an object from the first size bytes of r. It begins no upload, but goes on with one that it is told of.
func (d *Dir) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	if err := checkKey(key); err != nil {
		return media.Object{}, err
	}
	if options.UploadID != "" {
		if object, err := d.resume(ctx, key, r, size, options); err == nil || ctx.Err() != nil {
			return object, err
		}
	}
	sum, err := d.put(ctx, key, r, size, options.Exclusive)
	if errors.Is(err, fs.ErrExist) {
		sum, err = d.same(ctx, key, r, size)
	}
	if err != nil {
		return media.Object{}, dirError("put", key, err)
	}
	if options.Progress != nil {
		options.Progress(size)
	}
	return media.Object{Key: key, Size: size, Checksum: sum, HasChecksum: true, ModifiedAt: time.Now()}, nil
}

func (d *Dir) put(ctx context.Context, key string, r io.ReaderAt, size int64, exclusive bool) (uint64, error) {
	tmp := path.Join(tmpDir, rand.Text())
	sum, err := d.write(ctx, tmp, r, size)
	if err == nil {
		err = d.place(tmp, key, exclusive)
	}
	if err != nil {
		rmErr := d.root.Remove(tmp)
		if errors.Is(rmErr, fs.ErrNotExist) {
			rmErr = nil
		}
		return 0, errors.Join(err, rmErr)
	}
	return sum, d.syncDirs(path.Dir(key))
}

func (d *Dir) write(ctx context.Context, tmp string, r io.ReaderAt, size int64) (uint64, error) {
	f, err := d.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	sum := media.NewChecksum()
	err = copyRange(ctx, io.MultiWriter(f, sum), r, 0, size)
	if err == nil {
		err = f.Sync()
	}
	return sum.Sum64(), errors.Join(err, f.Close())
}

// place moves a written file to its key. A Delete that prunes empty directories may take the parent away in between.
func (d *Dir) place(tmp, key string, exclusive bool) error {
	// The kernel notes times by its tick, in which a file may be written and replaced: OpenVersion needs them finer. A
	// file system that takes no times keeps its own.
	_ = d.root.Chtimes(tmp, time.Time{}, time.Now())
	var err error
	for range 10 {
		if err = d.root.MkdirAll(path.Dir(key), 0o755); err != nil {
			return err
		}
		if exclusive {
			if err = d.root.Link(tmp, key); err == nil {
				err = d.root.Remove(tmp)
			}
		} else {
			err = d.root.Rename(tmp, key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// syncDirs makes the names on the way to a file survive a loss of power.
func (d *Dir) syncDirs(dir string) error {
	for ; ; dir = path.Dir(dir) {
		f, err := d.root.Open(dir)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // pruned by a Delete meanwhile
			return fmt.Errorf("sync %s: %w", dir, err)
		}
		if dir == "." {
			return nil
		}
	}
}

// same allows an exclusive put of what is there already, byte for byte.
func (d *Dir) same(ctx context.Context, key string, r io.ReaderAt, size int64) (uint64, error) {
	f, err := plainfile.OpenIn(d.root, key)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() != size {
		return 0, fs.ErrExist
	}
	want, err := sumRange(ctx, r, 0, size)
	if err != nil {
		return 0, err
	}
	have, err := sumRange(ctx, f, 0, size)
	if err != nil {
		return 0, err
	}
	if have != want {
		return 0, fs.ErrExist
	}
	return have, nil
}

// Stat tells an object's size and time.
func (d *Dir) Stat(_ context.Context, key string) (media.Object, error) {
	if err := checkKey(key); err != nil {
		return media.Object{}, err
	}
	info, err := plainfile.StatIn(d.root, key)
	if err != nil {
		return media.Object{}, dirError("stat", key, err)
	}
	return media.Object{Key: key, Size: info.Size(), ModifiedAt: info.ModTime()}, nil
}

// Delete removes an object and the directories that it leaves empty.
func (d *Dir) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	info, err := d.root.Lstat(key)
	if absent(err) || (err == nil && info.IsDir()) {
		return nil // a name on the way to other objects is no object
	}
	if err == nil {
		err = d.root.Remove(key)
	}
	if err != nil && !absent(err) {
		return dirError("delete", key, err)
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		info, err := d.root.Lstat(dir)
		if err == nil && info.IsDir() {
			err = d.root.Remove(dir)
		}
		if err != nil && !absent(err) {
			break // not empty
		}
	}
	if err := d.syncDirs(path.Dir(key)); err != nil {
		return dirError("delete", key, err)
	}
	return nil
}

// List gives the objects whose keys begin with prefix, in no promised order. It ends at the first error.
func (d *Dir) List(ctx context.Context, prefix string) iter.Seq2[media.Object, error] {
	return func(yield func(media.Object, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(media.Object{}, err)
			return
		}
		start := "."
		if i := strings.LastIndexByte(prefix, '/'); i > 0 {
			start = prefix[:i]
		}
		err := fs.WalkDir(d.root.FS(), start, func(name string, entry fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			switch {
			case absent(err):
				return nil // deleted meanwhile
			case name == lostFound && entry != nil && entry.IsDir():
				return fs.SkipDir // of the file system, which only root may read
			case err != nil:
				return err
			case name == tmpDir || len(name) > maxKey && entry.IsDir():
				return fs.SkipDir
			case !entry.Type().IsRegular() || !strings.HasPrefix(name, prefix) || !isKey(name):
				return nil // or another program's, as .nfs files are
			}
			info, err := entry.Info()
			if absent(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if !yield(media.Object{Key: name, Size: info.Size(), ModifiedAt: info.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(media.Object{}, dirError("list", prefix, err))
		}
	}
}

func dirError(act, key string, err error) error {
	switch {
	case absent(err):
		err = media.ErrNotFound
	case errors.Is(err, fs.ErrExist):
		err = media.ErrExists
	}
	return fmt.Errorf("%s object %s: %w", act, key, err)
}
