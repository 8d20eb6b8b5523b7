package reclog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Files is a storage of recordings: a directory or an object store. Names are relative and slash-separated, as
// ManifestName, TrackName and IndexName give them. What is not there is media.ErrNotFound.
type Files interface {
	// ReadFile reads a whole manifest or index; the storage refuses more than MaxIndex bytes.
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// OpenRange reads size bytes from offset on. A file that ends before is an error, here or in reading: the range is
	// never silently short.
	OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error)
}

// Files reads the directory. Its ranges are *Range.
func (r *Root) Files() Files { return dirFiles{r} }

// Open opens a file as a range of all its bytes at this moment.
func (r *Root) Open(ctx context.Context, name string) (*Range, error) {
	return dirFiles{r}.open(ctx, name, 0, -1)
}

type dirFiles struct{ root *Root }

// ReadFile reads a whole file.
func (d dirFiles) ReadFile(ctx context.Context, name string) ([]byte, error) {
	path, err := d.path(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := readFile(d.root.fsys, path, MaxIndex)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, notFound(err))
	}
	return data, nil
}

// OpenRange opens a part of a file.
func (d dirFiles) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	if offset < 0 || size < 0 || offset > math.MaxInt64-size {
		return nil, fmt.Errorf("open %s: %w range %d+%d", name, media.ErrInvalid, offset, size)
	}
	r, err := d.open(ctx, name, offset, size)
	if err != nil {
		return nil, err // not r: a nil *Range in an io.ReadCloser is not nil
	}
	return r, nil
}

func (d dirFiles) path(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("%w: file name %.80q", media.ErrBadName, name)
	}
	return d.root.path(name), nil
}

// open opens a range; a negative size reaches to the end.
func (d dirFiles) open(ctx context.Context, name string, offset, size int64) (*Range, error) {
	path, err := d.path(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := d.openFor(path, offset, size)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, notFound(err))
	}
	if size < 0 {
		size = f.size - offset
	}
	return &Range{path: path, f: f.file, files: d, base: offset, size: size}, nil
}

type sizedFile struct {
	file
	size int64
}

// openFor gives a file that nobody else has, from the idle ones if one of them reaches far enough. Opening anew makes
// an NFS client ask for the size (close-to-open), so a file that grows on another node is seen in full.
func (d dirFiles) openFor(path string, offset, size int64) (sizedFile, error) {
	if f := d.root.idle.take(path); f != nil && size >= 0 {
		if info, err := f.Stat(); err == nil && info.Size() >= offset+size {
			return sizedFile{f, info.Size()}, nil
		}
		_ = f.Close() // it was only read
	} else if f != nil {
		_ = f.Close()
	}
	var opened sizedFile
	err := fresh(func() (err error) {
		opened, err = d.openAnew(path, offset, size)
		return err
	})
	return opened, err
}

func (d dirFiles) openAnew(path string, offset, size int64) (sizedFile, error) {
	f, err := d.root.fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return sizedFile{}, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: not a file", fs.ErrNotExist)
	case info.Size() < offset+max(size, 0):
		err = fmt.Errorf("%w: it has %d bytes, %d+%d are wanted", io.ErrUnexpectedEOF, info.Size(), offset, size)
	default:
		return sizedFile{f, info.Size()}, nil
	}
	return sizedFile{}, errors.Join(err, f.Close())
}

// Range is a byte range of a file of a Root. It is for one goroutine, but for ReadAt.
type Range struct {
	path  string
	f     file
	files dirFiles
	base  int64
	size  int64
	pos   int64

	mu struct {
		sync.Mutex
		// stale are files that the server no longer knew by what we had of them; ReadAt may still be under way on them.
		stale []file
		// again is f opened anew.
		again file
	}
}

// Size is the number of bytes.
func (r *Range) Size() int64 { return r.size }

// Read reads on from where the last Read, WriteTo or Seek came to.
func (r *Range) Read(p []byte) (int, error) {
	if r.pos >= r.size {
		return 0, io.EOF
	}
	n, err := r.ReadAt(p[:min(int64(len(p)), r.size-r.pos)], r.pos)
	r.pos += int64(n)
	return n, err
}

// ReadAt reads at an offset in the range.
func (r *Range) ReadAt(p []byte, off int64) (int, error) {
	if r.f == nil {
		return 0, fs.ErrClosed
	}
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, media.ErrInvalid)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), r.size-off)
	n, err := r.file().ReadAt(p[:want], r.base+off)
	if stale(err) {
		if err = r.openAnew(); err == nil {
			n, err = r.file().ReadAt(p[:want], r.base+off)
		}
	}
	switch {
	case int64(n) < want && errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // the file was cut since it was opened
	case int64(n) == want && want < int64(len(p)):
		err = io.EOF
	case int64(n) == want:
		err = nil
	}
	return n, err
}

// file is what the range is read from.
func (r *Range) file() file {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.again != nil {
		return r.mu.again
	}
	return r.f
}

// openAnew looks the file up again, whose handle is stale: its bytes are the same under its name, or it is gone.
func (r *Range) openAnew() error {
	f, err := r.files.openAnew(r.path, r.base, r.size)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.again != nil {
		r.mu.stale = append(r.mu.stale, r.mu.again)
	}
	r.mu.again = f.file
	return nil
}

// Seek sets where Read and WriteTo go on.
func (r *Range) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.pos, fmt.Errorf("seek to %d: %w", offset, media.ErrInvalid)
	}
	r.pos = offset
	return offset, nil
}

// WriteTo writes the rest of the range. An *os.File below is handed to the writer's ReadFrom, which for a response of
// net/http ends in sendfile(2).
func (r *Range) WriteTo(w io.Writer) (int64, error) {
	rest := r.size - r.pos
	if rest <= 0 {
		return 0, nil
	}
	from, ok := w.(io.ReaderFrom)
	f, isOS := r.file().(*os.File)
	if !ok || !isOS {
		return io.Copy(w, struct{ io.Reader }{r}) // without WriteTo, which Copy would call
	}
	if _, err := f.Seek(r.base+r.pos, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := from.ReadFrom(&io.LimitedReader{R: f, N: rest})
	r.pos += n
	if stale(err) { // the rest by Read, which opens the file anew
		more, err := io.Copy(w, struct{ io.Reader }{r})
		return n + more, err
	}
	if err == nil && n < rest {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close ends the reading. The file is kept open for a while for the next range of it.
func (r *Range) Close() error {
	if r.f == nil {
		return fs.ErrClosed
	}
	f := r.f
	r.f = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.again == nil {
		return r.files.root.idle.put(r.path, f)
	}
	for _, old := range append(r.mu.stale, f) {
		_ = old.Close() // only read, and the server has forgotten it
	}
	return r.files.root.idle.put(r.path, r.mu.again)
}
