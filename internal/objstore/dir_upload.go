package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// An upload is a file below .tmp of this name and its id.
	uploadPrefix = "upload-"
	// uploadAge is how long an upload's file lies untouched before OpenDir takes it for forgotten. Whoever noted it may
	// have been away for long.
	uploadAge = 30 * 24 * time.Hour
	// dirPartSize: an upload has one part, however large.
	dirPartSize = 1 << 60
)

func isUpload(name string) bool { return strings.HasPrefix(name, uploadPrefix) }

// uploadFile gives the upload's file; false for an id that is none of a directory's.
func uploadFile(id string) (string, bool) {
	if id == "" || len(id) > 64 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return "", false
	}
	return path.Join(tmpDir, uploadPrefix+id), true
}

// BeginUpload begins an upload. Its id is told to options.NoteUpload before anything is written.
func (d *Dir) BeginUpload(
	ctx context.Context, key string, _ int64, options media.PutOptions,
) (*media.OpenUpload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if options.NoteUpload == nil {
		return nil, fmt.Errorf("begin upload of object %s: %w: nobody notes it", key, media.ErrInvalid)
	}
	u := &media.OpenUpload{Key: key, ID: rand.Text(), PartSize: dirPartSize, Appends: true}
	if err := options.NoteUpload(ctx, u.ID); err != nil {
		return nil, fmt.Errorf("begin upload of object %s: note it: %w", key, err)
	}
	name, _ := uploadFile(u.ID)
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err == nil {
		err = errors.Join(f.Close(), d.syncDirs(tmpDir))
	}
	if err != nil {
		return nil, dirError("begin upload of", key, err)
	}
	return u, nil
}

// FindUpload tells what there is of an upload that was noted. media.ErrNotFound when there is none.
func (d *Dir) FindUpload(_ context.Context, key, id string, _ int64) (*media.OpenUpload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	name, ok := uploadFile(id)
	if !ok {
		return nil, errNoUpload(key, id)
	}
	info, err := d.root.Stat(name)
	if absent(err) {
		return nil, errNoUpload(key, id)
	}
	if err != nil {
		return nil, dirError("find upload of", key, err)
	}
	u := &media.OpenUpload{Key: key, ID: id, PartSize: dirPartSize, Appends: true}
	if info.Size() > 0 {
		u.Parts = []media.UploadPart{{Size: info.Size()}}
	}
	return u, nil
}

// ExtendUpload brings the upload to have the first size bytes of r, on the disk. media.ErrNotFound when there is no
// such upload.
func (d *Dir) ExtendUpload(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error {
	if err := d.extend(ctx, u, r, size); err != nil {
		return dirError("extend upload of", u.Key, err)
	}
	return nil
}

func (d *Dir) extend(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) (err error) {
	name, ok := uploadFile(u.ID)
	if !ok {
		return fs.ErrNotExist
	}
	f, err := d.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	have, err := d.checked(ctx, u, f, r, size)
	if err != nil || have.Size >= size {
		return err
	}
	sum := media.NewChecksum()
	out := io.MultiWriter(io.NewOffsetWriter(f, have.Size), sum)
	if err := copyRange(ctx, out, r, have.Size, size-have.Size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		u.Parts = nil // what the kernel has dropped is written again
		return err
	}
	have.Checksum = combineSums(have.Checksum, sum.Sum64(), size-have.Size)
	have.Size, have.HasChecksum, have.Checked = size, true, true
	u.Parts, u.SentAt = []media.UploadPart{have}, time.Now()
	return nil
}

// checked gives what the file has that is the source's: all or nothing, if this process did not write it.
func (d *Dir) checked(
	ctx context.Context, u *media.OpenUpload, f *os.File, r io.ReaderAt, size int64,
) (media.UploadPart, error) {
	if len(u.Parts) == 0 {
		return media.UploadPart{}, nil
	}
	have := u.Parts[0]
	info, err := f.Stat()
	if err != nil {
		return have, err
	}
	if info.Size() < have.Size {
		return media.UploadPart{}, nil
	}
	if have.Checked || have.Size > size {
		return have, nil
	}
	want, err := sumRange(ctx, r, 0, have.Size)
	if err != nil {
		return have, err
	}
	sum, err := sumRange(ctx, f, 0, have.Size)
	if err != nil {
		return have, err
	}
	if sum != want {
		return media.UploadPart{}, nil
	}
	// It may be in the kernel's memory only.
	have.Checksum, have.HasChecksum, have.Checked = sum, true, true
	u.Parts[0] = have
	return have, f.Sync()
}

// CompleteUpload makes the object of all that the upload has. An exclusive one replaces no other object
// (media.ErrExists). media.ErrNotFound when there is no such upload.
func (d *Dir) CompleteUpload(_ context.Context, u *media.OpenUpload, exclusive bool) (media.Object, error) {
	if err := checkKey(u.Key); err != nil {
		return media.Object{}, err
	}
	if len(u.Parts) == 0 {
		return media.Object{}, fmt.Errorf("complete upload of object %s: %w: it is empty", u.Key, media.ErrInvalid)
	}
	object := media.Object{Key: u.Key, Size: u.Size(), ModifiedAt: time.Now()}
	object.Checksum, object.HasChecksum = uploadSum(u)
	if err := d.complete(u, exclusive); err != nil {
		return media.Object{}, dirError("complete upload of", u.Key, err)
	}
	return object, nil
}

func (d *Dir) complete(u *media.OpenUpload, exclusive bool) error {
	name, ok := uploadFile(u.ID)
	if !ok {
		return fs.ErrNotExist
	}
	f, err := d.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < u.Size() {
		err = fmt.Errorf("%w: it has %d bytes of %d", media.ErrCorrupt, info.Size(), u.Size())
	}
	if err == nil && info.Size() > u.Size() {
		err = f.Truncate(u.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.place(name, u.Key, exclusive); err != nil {
		return err
	}
	return d.syncDirs(path.Dir(u.Key))
}

// resume puts an object by way of an upload that was begun before.
func (d *Dir) resume(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	u, err := d.FindUpload(ctx, key, options.UploadID, 0)
	if err != nil {
		return media.Object{}, err
	}
	if u.Size() > size {
		return media.Object{}, fmt.Errorf("put object %s: %w: the upload has more bytes", key, media.ErrConflict)
	}
	if err := d.ExtendUpload(ctx, u, r, size); err != nil {
		return media.Object{}, err
	}
	return d.CompleteUpload(ctx, u, options.Exclusive)
}

// AbortUpload removes an upload's file. An upload that is not there is success.
func (d *Dir) AbortUpload(_ context.Context, key, uploadID string) error {
	name, ok := uploadFile(uploadID)
	if !ok {
		return nil
	}
	if err := d.root.Remove(name); err != nil && !absent(err) {
		return dirError("abort upload of", key, err)
	}
	return nil
}
