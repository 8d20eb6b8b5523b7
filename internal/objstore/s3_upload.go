package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/oxbow-video/oxbow/internal/media"
)

// BeginUpload begins an upload of an object that has size bytes by now. Its id is told to options.NoteUpload before
// anything is sent.
func (s *S3) BeginUpload(
	ctx context.Context, key string, size int64, options media.PutOptions,
) (*media.OpenUpload, error) {
	name, err := s.key(key)
	if err != nil {
		return nil, err
	}
	if options.NoteUpload == nil {
		return nil, fmt.Errorf("begin upload of object %s: %w: nobody notes it", key, media.ErrInvalid)
	}
	p := &put{s3: s, key: key, name: name, options: options, sums: !s.noChecksums.Load()}
	u, err := p.begin(ctx)
	if err != nil && p.sums && s.config.Checksums == ChecksumsAuto && unknownToStore(err) {
		s.noChecksums.Store(true)
		p.sums = false
		u, err = p.begin(ctx)
	}
	if err != nil {
		return nil, s.wrap("begin upload of", key, err)
	}
	return &media.OpenUpload{Key: key, ID: u.id, PartSize: s.partSize(growthRoom * size), Sums: u.sums}, nil
}

// FindUpload tells what the store has of an upload that was noted. media.ErrNotFound when it no longer knows it.
// PartSize is the upload's, zero if that is not known.
func (s *S3) FindUpload(ctx context.Context, key, id string, partSize int64) (*media.OpenUpload, error) {
	name, err := s.key(key)
	if err != nil {
		return nil, err
	}
	p := &put{s3: s, key: key, name: name, options: media.PutOptions{UploadID: id}}
	found, err := p.resume(ctx)
	if err != nil {
		return nil, s.wrap("find upload of", key, err)
	}
	if found == nil {
		return nil, errNoUpload(key, id)
	}
	u := &media.OpenUpload{Key: key, ID: id, PartSize: partSize, Sums: found.sums}
	if u.PartSize <= 0 {
		u.PartSize = max(s.config.PartSize, found.largest)
	}
	for n := int32(1); ; n++ {
		have, ok := found.have[n]
		if !ok {
			break
		}
		part := media.UploadPart{Size: aws.ToInt64(have.Size), Tag: aws.ToString(have.ETag)}
		if have.ChecksumCRC64NVME != nil {
			part.Checksum, part.HasChecksum = decodeSum(*have.ChecksumCRC64NVME)
		}
		u.Parts = append(u.Parts, part)
	}
	u.Parts = contiguous(u.Parts, u.PartSize)
	return u, nil
}

// ExtendUpload brings the store to have the first size bytes of r. Whole parts are sent once; the last one, once it has
// grown, is sent again. media.ErrNotFound when the store no longer knows the upload, and media.ErrTooLarge when it
// would have too many parts: then another is to be begun.
func (s *S3) ExtendUpload(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error {
	if err := s.extend(ctx, u, r, size); err != nil {
		return s.wrap("extend upload of", u.Key, err)
	}
	return nil
}

func (s *S3) extend(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error {
	name, err := s.key(u.Key)
	if err != nil {
		return err
	}
	if size > maxParts*u.PartSize {
		return fmt.Errorf("%w: %d bytes in parts of %d", media.ErrTooLarge, size, u.PartSize)
	}
	if err := checkParts(ctx, u, r, size); err != nil {
		return err
	}
	if u.Size() >= size {
		return nil
	}
	e := &extension{
		put:    &put{s3: s, key: u.Key, name: name, source: r, size: size, sums: u.Sums},
		upload: &upload{id: u.ID, sums: u.Sums}, open: u,
	}
	// In this order, so that there never is a part behind a short one.
	if n := len(u.Parts); n > 0 && u.Parts[n-1].Size < u.PartSize {
		if err := e.send(ctx, n-1, n); err != nil {
			return err
		}
	}
	whole := int(size / u.PartSize)
	if err := e.send(ctx, len(u.Parts), whole); err != nil {
		return err
	}
	if size > u.Size() {
		return e.send(ctx, whole, whole+1)
	}
	return nil
}

// checkParts compares the parts that another process sent with the source, and forgets those that differ.
func checkParts(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error {
	var offset int64
	for i := range u.Parts {
		part := &u.Parts[i]
		if offset+part.Size > size {
			return nil // it is sent again once there is more
		}
		if !part.Checked {
			sum, err := sumRange(ctx, r, offset, part.Size)
			if err != nil {
				return err
			}
			if !part.HasChecksum || part.Checksum != sum { // what the store does not tell of may be anything
				u.Parts = u.Parts[:i]
				return nil
			}
			part.Checked = true
		}
		offset += part.Size
	}
	return nil
}

// extension is one ExtendUpload under way.
type extension struct {
	*put
	upload *upload
	open   *media.OpenUpload
}

// send sends the parts from one index up to another, as far as they reach, and notes those that follow each other.
func (e *extension) send(ctx context.Context, from, to int) error {
	if to <= from {
		return nil
	}
	sent := make([]media.UploadPart, to-from)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(e.s3.config.Parallel)
	for i := range sent {
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			offset := int64(from+i) * e.open.PartSize
			size := min(e.open.PartSize, e.size-offset)
			done, sum, err := e.sendPart(groupCtx, e.upload, int32(from+i+1), offset, size)
			if err != nil {
				return fmt.Errorf("part %d: %w", from+i+1, err)
			}
			sent[i] = media.UploadPart{
				Size: size, Checksum: sum, HasChecksum: true, Checked: true, Tag: aws.ToString(done.ETag),
			}
			return nil
		})
	}
	err := group.Wait()
	e.open.Parts = e.open.Parts[:from]
	for _, part := range sent {
		if part.Tag == "" {
			break
		}
		e.open.Parts = append(e.open.Parts, part)
		e.open.SentAt = time.Now()
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	// A server may close the connection on a part of an upload that it does not know, instead of an answer.
	known := &put{s3: e.s3, key: e.key, name: e.name, options: media.PutOptions{UploadID: e.upload.id}}
	if found, findErr := known.resume(ctx); noSuchUpload(err) || findErr == nil && found == nil {
		return errNoUpload(e.key, e.upload.id)
	}
	return err
}

// CompleteUpload makes the object of all that the store has. An exclusive one replaces no other object
// (media.ErrExists). media.ErrNotFound when the store no longer knows the upload, unless it has the very object.
func (s *S3) CompleteUpload(ctx context.Context, u *media.OpenUpload, exclusive bool) (media.Object, error) {
	name, err := s.key(u.Key)
	if err != nil {
		return media.Object{}, err
	}
	if len(u.Parts) == 0 {
		return media.Object{}, fmt.Errorf("complete upload of object %s: %w: it has no parts", u.Key, media.ErrInvalid)
	}
	sum, known := uploadSum(u)
	p := &put{
		s3: s, key: u.Key, name: name, size: u.Size(), sums: u.Sums, unsummed: !known,
		options: media.PutOptions{Exclusive: exclusive},
	}
	parts := make([]types.CompletedPart, len(u.Parts))
	for i := range u.Parts {
		parts[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: &u.Parts[i].Tag}
		if u.Sums && u.Parts[i].HasChecksum {
			encoded := encodeSum(u.Parts[i].Checksum)
			parts[i].ChecksumCRC64NVME = &encoded
		}
	}
	err = p.complete(ctx, &upload{id: u.ID, sums: u.Sums && known}, parts, sum)
	if err != nil && (noSuchUpload(err) || errors.Is(err, media.ErrExists)) {
		// It may have been completed with the answer lost, or by another node.
		if object, statErr := s.Stat(ctx, u.Key); statErr == nil && known && object.HasChecksum &&
			object.Size == p.size && object.Checksum == sum {
			return object, nil
		}
	}
	if err != nil {
		return media.Object{}, s.wrap("complete upload of", u.Key, err)
	}
	if s.config.Checksums == ChecksumsRequired && known && !p.confirmed {
		if err := p.confirm(ctx, sum); err != nil {
			return media.Object{}, s.wrap("complete upload of", u.Key, err)
		}
	}
	return media.Object{Key: u.Key, Size: p.size, Checksum: sum, HasChecksum: known, ModifiedAt: time.Now()}, nil
}
