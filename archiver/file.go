package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

// file is one of the recording's files on its way into the archive.
type file struct {
	key     string
	uploads []string // noted for it, the oldest first
	// media: a track's file. Bytes behind least are in no segment; a fenced writer may still append such.
	media bool
	least int64
	// frozen: the archive has the recording's manifest, so that the object may be on its way to viewers.
	frozen bool
}

// storeFile puts a file unless the archive has it, and verifies it. It gives the object's size.
func (j *job) storeFile(ctx context.Context, f file) (size int64, err error) {
	source, err := j.local.Open(ctx, f.key)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	size = source.Size()
	if size < f.least {
		return 0, fmt.Errorf("%w: %s has %d bytes, its index tells of %d", media.ErrCorrupt, f.key, size, f.least)
	}
	if !f.media {
		f.least = size
	}
	have, err := j.objects.Stat(ctx, f.key)
	absent := errors.Is(err, media.ErrNotFound)
	if err != nil && !absent {
		return 0, err
	}
	if !absent {
		err := errDiffers
		if have.Size >= f.least && have.Size <= size {
			err = j.compare(ctx, have, source)
		}
		if err == nil {
			j.metrics.present.Inc()
			return have.Size, j.forget(ctx, f.key, f.uploads)
		}
		if !errors.Is(err, errDiffers) {
			return 0, err
		}
		if f.media && f.frozen {
			return 0, fmt.Errorf("%w: the archive has other bytes for %s under a manifest", media.ErrConflict, f.key)
		}
		if !j.claim.Recording.Uploaded || f.media { // else it is an index as it was when the recording grew
			j.logger.Warn("replacing other bytes in the archive", "object", f.key, "bytes", have.Size)
		}
	}
	return size, j.put(ctx, f, source, size, absent)
}

// put sends a file and verifies what the archive then has.
func (j *job) put(ctx context.Context, f file, source io.ReaderAt, size int64, exclusive bool) error {
	options := media.PutOptions{
		Exclusive: exclusive,
		NoteUpload: func(ctx context.Context, uploadID string) error {
			if err := j.uploads.SaveUpload(ctx, j.id, f.key, uploadID); err != nil {
				return err
			}
			f.uploads = append(f.uploads, uploadID)
			return nil
		},
	}
	if n := len(f.uploads); n > 0 {
		options.UploadID = f.uploads[n-1]
	}
	sent, ok := j.finishGrown(ctx, f.key, source, size, exclusive)
	if !ok {
		var err error
		if sent, err = j.objects.Put(ctx, f.key, source, size, options); err != nil {
			return err
		}
	}
	j.metrics.stored.Inc()
	j.metrics.bytes.Add(float64(size))
	if err := j.verify(ctx, sent); err != nil {
		return err
	}
	return j.forget(ctx, f.key, f.uploads)
}

// storeText puts what was made here, and verifies it.
func (j *job) storeText(ctx context.Context, f file, text []byte) error {
	return j.put(ctx, f, bytes.NewReader(text), int64(len(text)), false)
}

// errDiffers: an object's bytes are not those that they should be.
var errDiffers = errors.New("the archive has other bytes")

// verify asks the archive for what was sent, and reads it back if the store keeps no checksum.
func (j *job) verify(ctx context.Context, sent media.Object) error {
	have, err := j.objects.Stat(ctx, sent.Key)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if have.Size != sent.Size {
		return fmt.Errorf("verify %s: %w: %d of %d", sent.Key, errDiffers, have.Size, sent.Size)
	}
	if !have.HasChecksum {
		if have.Checksum, err = j.readBack(ctx, have); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	if have.Checksum != sent.Checksum {
		return fmt.Errorf("verify %s: %w", sent.Key, errDiffers)
	}
	return nil
}

// compare says whether an object is the head of the local file.
func (j *job) compare(ctx context.Context, have media.Object, source io.ReaderAt) error {
	sum, known := j.grown.sum(have)
	if !known {
		var err error
		if sum, err = sumUp(ctx, io.NewSectionReader(source, 0, have.Size)); err != nil {
			return err
		}
	}
	var err error
	if !have.HasChecksum {
		if have.Checksum, err = j.readBack(ctx, have); err != nil {
			return err
		}
	}
	if have.Checksum != sum {
		return errDiffers
	}
	return nil
}

func (j *job) readBack(ctx context.Context, object media.Object) (uint64, error) {
	body, err := j.objects.OpenRange(ctx, object.Key, 0, object.Size)
	if err != nil {
		return 0, err
	}
	sum, err := sumUp(ctx, body)
	return sum, errors.Join(err, body.Close())
}

func sumUp(ctx context.Context, r io.Reader) (uint64, error) {
	sum, buf := media.NewChecksum(), make([]byte, media.ChecksumBuffer)
	for fill := 0; ; {
		n, err := r.Read(buf[fill:])
		if fill += n; fill == len(buf) || err == io.EOF {
			_, _ = sum.Write(buf[:fill]) // a hash never fails
			fill = 0
		}
		if err == io.EOF {
			return sum.Sum64(), nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return 0, err
		}
	}
}

// noted gives the uploads that the catalog knows of, by object.
func (j *job) noted(ctx context.Context) (map[string][]string, error) {
	list, err := j.uploads.Uploads(ctx, j.id)
	if err != nil {
		return nil, err
	}
	noted := make(map[string][]string)
	for _, u := range list {
		noted[u.Object] = append(noted[u.Object], u.UploadID)
	}
	return noted, nil
}

// forget makes sure that the store knows uploads no more, and then lets the catalog forget them. One that was completed
// is unknown already.
func (j *job) forget(ctx context.Context, object string, uploads []string) error {
	for _, id := range uploads {
		if err := j.objects.AbortUpload(ctx, object, id); err != nil {
			return err
		}
		if err := j.uploads.RemoveUpload(ctx, j.id, object, id); err != nil {
			return err
		}
	}
	return nil
}
