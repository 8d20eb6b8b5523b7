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

// storeFile puts a file unless the store has it, and verifies it.
func (t *target) storeFile(ctx context.Context, f file) (err error) {
	source, err := t.local.Open(ctx, f.key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	size := source.Size()
	if size < f.least {
		return fmt.Errorf("%w: %s has %d bytes, its index tells of %d", media.ErrCorrupt, f.key, size, f.least)
	}
	if !f.media {
		f.least = size
	}
	have, err := t.objects.Stat(ctx, f.key)
	absent := errors.Is(err, media.ErrNotFound)
	if err != nil && !absent {
		return err
	}
	if !absent {
		err := errDiffers
		switch {
		case f.media && have.Size == size && t.verified.has(t.objects.name, have):
			err = nil
		case have.Size >= f.least && have.Size <= size:
			err = t.compare(ctx, have, source)
		}
		if err == nil {
			t.metrics.present.Inc()
			t.progress.present(size)
			return t.forget(ctx, f.key, f.uploads)
		}
		if !errors.Is(err, errDiffers) {
			return err
		}
		if f.media && f.frozen {
			return fmt.Errorf("%w: the archive has other bytes for %s under a manifest", media.ErrConflict, f.key)
		}
		if !t.claim.Recording.Uploaded || f.media { // else it is an index as it was when the recording grew
			t.logger.Warn("replacing other bytes in the archive", "object", f.key, "bytes", have.Size)
		}
	}
	return t.put(ctx, f, source, size, absent)
}

// put sends a file and verifies what the archive then has.
func (t *target) put(ctx context.Context, f file, source io.ReaderAt, size int64, exclusive bool) error {
	progress := t.progress.object(t.objects, size)
	options := media.PutOptions{
		Exclusive: exclusive, Progress: progress.at,
		NoteUpload: func(ctx context.Context, uploadID string) error {
			if err := t.uploads.SaveUpload(ctx, t.upload(f.key, uploadID)); err != nil {
				return err
			}
			f.uploads = append(f.uploads, uploadID)
			return nil
		},
	}
	if n := len(f.uploads); n > 0 {
		options.UploadID = f.uploads[n-1]
	}
	sent, ok := t.finishGrown(ctx, f.key, source, size, exclusive)
	if !ok {
		var err error
		if sent, err = t.objects.Put(ctx, f.key, source, size, options); err != nil {
			return err
		}
	}
	t.metrics.stored.Inc()
	t.metrics.bytes.Add(float64(size))
	if err := t.verify(ctx, sent); err != nil {
		return err
	}
	progress.end(size)
	if f.media {
		t.verified.note(t.objects.name, sent)
	}
	return t.forget(ctx, f.key, f.uploads)
}

// storeText puts what was made here, and verifies it.
func (t *target) storeText(ctx context.Context, f file, text []byte) error {
	return t.put(ctx, f, bytes.NewReader(text), int64(len(text)), false)
}

// errDiffers: an object's bytes are not those that they should be.
var errDiffers = errors.New("the archive has other bytes")

// verify asks the archive for what was sent, and reads it back if the store keeps no checksum.
func (t *target) verify(ctx context.Context, sent media.Object) error {
	have, err := t.objects.Stat(ctx, sent.Key)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if have.Size != sent.Size {
		return fmt.Errorf("verify %s: %w: %d of %d", sent.Key, errDiffers, have.Size, sent.Size)
	}
	if !have.HasChecksum && have.SHA256 != "" && have.SHA256 == sent.SHA256 {
		return nil
	}
	if !have.HasChecksum {
		if have.Checksum, err = t.readBack(ctx, have); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	if have.Checksum != sent.Checksum {
		return fmt.Errorf("verify %s: %w", sent.Key, errDiffers)
	}
	return nil
}

// compare says whether an object is the head of the local file.
func (t *target) compare(ctx context.Context, have media.Object, source io.ReaderAt) error {
	if sum, known := t.uploadedHere().sum(have); known && have.HasChecksum {
		if sum != have.Checksum {
			return errDiffers
		}
		return nil
	}
	same, err := t.objects.Same(ctx, have, source)
	if err == nil && !same {
		err = errDiffers
	}
	return err
}

func (t *target) readBack(ctx context.Context, object media.Object) (uint64, error) {
	body, err := t.objects.OpenRange(ctx, object.Key, 0, object.Size)
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
