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
	p := &put{s3: s, key: key, name: name, options: options}
	if p.kind, err = s.settle(ctx); err != nil {
		return nil, s.wrap("begin upload of", key, err)
	}
	u, err := p.begin(ctx)
	for err != nil && unknownToStore(err) && p.lesser() != sumUnknown {
		p.kind = p.lesser()
		u, err = p.begin(ctx)
	}
	if err != nil {
		return nil, s.wrap("begin upload of", key, err)
	}
	return &media.OpenUpload{Key: key, ID: u.id, PartSize: s.partSize(growthRoom * size), Checksums: u.kind.String()}, nil
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
	u := &media.OpenUpload{Key: key, ID: id, PartSize: partSize, Checksums: found.kind.String()}
	if u.PartSize <= 0 {
		u.PartSize = max(s.config.PartSize, found.largest)
	}
	for n := int32(1); ; n++ {
		have, ok := found.have[n]
		if !ok {
			break
		}
		part := media.UploadPart{
			Size: aws.ToInt64(have.Size), Tag: aws.ToString(have.ETag), SHA256: aws.ToString(have.ChecksumSHA256),
		}
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
	ctx = withFlow(ctx)
	kind := kindNamed(u.Checksums)
	e := &extension{
		put:    &put{s3: s, key: u.Key, name: name, source: source{r}, size: size, kind: kind},
		upload: &upload{id: u.ID, kind: kind}, open: u,
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
			sum, err := sumBoth(ctx, source{r}, offset, part.Size, kindNamed(u.Checksums))
			if err != nil {
				return err
			}
			same := part.HasChecksum && part.Checksum == sum.crc
			if part.SHA256 != "" {
				same = part.SHA256 == sum.sha256
			}
			if !same { // what the store does not tell of may be anything
				u.Parts = u.Parts[:i]
				return nil
			}
			part.Checksum, part.HasChecksum, part.Checked = sum.crc, true, true
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
				SHA256: aws.ToString(done.ChecksumSHA256),
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
	kind := kindNamed(u.Checksums)
	sum, known := uploadSum(u)
	p := &put{
		s3: s, key: u.Key, name: name, size: u.Size(), kind: kind, unsummed: !known,
		options: media.PutOptions{Exclusive: exclusive},
	}
	parts := make([]types.CompletedPart, len(u.Parts))
	for i := range u.Parts {
		parts[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: &u.Parts[i].Tag}
		if u.Parts[i].HasChecksum || u.Parts[i].SHA256 != "" {
			parts[i].ChecksumCRC64NVME, parts[i].ChecksumSHA256 = kind.headers(
				sums{crc: u.Parts[i].Checksum, sha256: u.Parts[i].SHA256})
		}
	}
	sent := sums{crc: sum}
	if kind == sumSHA256 {
		if sent.sha256, err = combineDigests(parts); err != nil {
			return media.Object{}, fmt.Errorf("complete upload of object %s: %w: %w", u.Key, media.ErrCorrupt, err)
		}
	}
	if !known && kind == sumCRC64NVME {
		kind = sumNone // the store is asked to believe itself
	}
	err = p.complete(ctx, &upload{id: u.ID, kind: kind}, parts, sent)
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
		if err := p.confirm(ctx, sent); err != nil {
			return media.Object{}, s.wrap("complete upload of", u.Key, err)
		}
	}
	return media.Object{
		Key: u.Key, Size: p.size, Checksum: sum, HasChecksum: known, SHA256: sent.sha256, ModifiedAt: time.Now(),
	}, nil
}

// kindNamed reads what an open upload says of its checksums.
func kindNamed(name string) sumKind {
	for _, kind := range []sumKind{sumCRC64NVME, sumSHA256} {
		if kind.String() == name {
			return kind
		}
	}
	return sumNone
}
