package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/oxbow-video/oxbow/internal/media"
)

// upload is a multipart upload as the store knows it.
type upload struct {
	id   string
	sums bool                 // it was created with checksums
	have map[int32]types.Part // parts that are there already
	// largest is the size of the largest of them: an upload that was begun for more bytes has larger parts.
	largest int64
}

// multipart sends the object in parts, and goes on with an upload that was begun earlier if it can.
func (p *put) multipart(ctx context.Context) (uint64, error) {
	u, err := p.resume(ctx)
	if err == nil && u == nil {
		u, err = p.begin(ctx)
	}
	if err != nil {
		return 0, err
	}
	sum, err := p.sendParts(ctx, u)
	if err == nil || errors.Is(err, media.ErrExists) {
		return sum, err
	}
	// A checksum that differs stays so: the upload is of no more use. Neither is one that nobody would find again.
	if _, code := reply(err); p.options.NoteUpload == nil || errors.Is(err, errBadChecksum) || code == "BadDigest" {
		p.options.UploadID = ""
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		err = errors.Join(err, p.s3.AbortUpload(ctx, p.key, u.id))
	}
	return 0, err
}

// resume finds what the noted upload has; nil means that a new one is needed.
func (p *put) resume(ctx context.Context) (*upload, error) {
	if p.options.UploadID == "" {
		return nil, nil
	}
	u := &upload{id: p.options.UploadID, have: make(map[int32]types.Part)}
	pages := s3.NewListPartsPaginator(p.s3.client, &s3.ListPartsInput{
		Bucket: &p.s3.config.Bucket, Key: p.name, UploadId: &u.id,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if noSuchUpload(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list parts: %w", err)
		}
		u.sums = page.ChecksumAlgorithm == types.ChecksumAlgorithmCrc64nvme
		for _, part := range page.Parts {
			u.have[aws.ToInt32(part.PartNumber)] = part
			u.largest = max(u.largest, aws.ToInt64(part.Size))
		}
	}
	return u, nil
}

func (p *put) begin(ctx context.Context) (*upload, error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &p.s3.config.Bucket, Key: p.name}
	kind := contentType(p.key, p.options)
	in.ContentType = &kind
	if p.sums {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc64nvme
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	out, err := p.s3.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("begin upload: %w", err)
	}
	u := &upload{id: aws.ToString(out.UploadId), sums: p.sums}
	if note := p.options.NoteUpload; note != nil {
		if err := note(ctx, u.id); err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
			defer cancel()
			return nil, errors.Join(fmt.Errorf("note upload: %w", err), p.s3.AbortUpload(ctx, p.key, u.id))
		}
	}
	return u, nil
}

// partSize is the configured size, or the least whole number of MiB with which the parts suffice.
func (s *S3) partSize(size int64) int64 {
	const mib = 1 << 20
	least := (size + maxParts - 1) / maxParts
	return max(s.config.PartSize, (least+mib-1)/mib*mib)
}

func (p *put) sendParts(ctx context.Context, u *upload) (uint64, error) {
	partSize := max(p.s3.partSize(p.size), u.largest)
	count := int((p.size + partSize - 1) / partSize)
	done := make([]types.CompletedPart, count)
	sums := make([]uint64, count)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(p.s3.config.Parallel)
	for i := range count {
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			offset := int64(i) * partSize
			var err error
			done[i], sums[i], err = p.sendPart(groupCtx, u, int32(i+1), offset, min(partSize, p.size-offset))
			if err != nil {
				return fmt.Errorf("part %d of %d: %w", i+1, count, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	var sum uint64
	for i, s := range sums {
		offset := int64(i) * partSize
		sum = combineSums(sum, s, min(partSize, p.size-offset))
	}
	return sum, p.complete(ctx, u, done, sum)
}

// sendPart sends one part unless the upload has it.
func (p *put) sendPart(
	ctx context.Context, u *upload, number int32, offset, size int64,
) (types.CompletedPart, uint64, error) {
	sum, err := sumRange(ctx, p.source, offset, size)
	if err != nil {
		return types.CompletedPart{}, 0, err
	}
	done := types.CompletedPart{PartNumber: &number}
	if u.sums {
		encoded := encodeSum(sum)
		done.ChecksumCRC64NVME = &encoded
	}
	if part, ok := u.have[number]; ok && aws.ToInt64(part.Size) == size && checkSum(part.ChecksumCRC64NVME, sum) == nil {
		done.ETag = part.ETag
		return done, sum, nil
	}
	var optFns []func(*s3.Options)
	if u.sums {
		optFns = append(optFns, unsigned)
	}
	out, err := p.s3.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &p.s3.config.Bucket, Key: p.name, UploadId: &u.id, PartNumber: &number, ContentLength: &size,
		ChecksumCRC64NVME: done.ChecksumCRC64NVME, Body: io.NewSectionReader(p.source, offset, size),
	}, optFns...)
	if err != nil {
		return types.CompletedPart{}, 0, err
	}
	done.ETag = out.ETag
	return done, sum, checkSum(out.ChecksumCRC64NVME, sum)
}

func (p *put) complete(ctx context.Context, u *upload, parts []types.CompletedPart, sum uint64) error {
	err := p.conditional(func(condition *string) error {
		in := &s3.CompleteMultipartUploadInput{
			Bucket: &p.s3.config.Bucket, Key: p.name, UploadId: &u.id, IfNoneMatch: condition,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		}
		if u.sums {
			encoded := encodeSum(sum)
			in.ChecksumCRC64NVME = &encoded
			in.ChecksumType = types.ChecksumTypeFullObject
			in.MpuObjectSize = &p.size
		}
		out, err := p.s3.client.CompleteMultipartUpload(ctx, in)
		if err != nil {
			return err
		}
		return p.answered(out.ChecksumCRC64NVME, sum)
	})
	if err == nil {
		return nil
	}
	if noSuchUpload(err) && p.source != nil {
		// It may have been completed with the answer lost, or by another node.
		if _, sameErr := p.same(ctx, err); sameErr == nil {
			return nil
		}
	}
	return fmt.Errorf("complete upload: %w", err)
}

// AbortUpload forgets a multipart upload and its parts. An upload that the store does not know is success.
func (s *S3) AbortUpload(ctx context.Context, key, uploadID string) error {
	name, err := s.key(key)
	if err != nil {
		return err
	}
	_, err = s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.config.Bucket, Key: name, UploadId: &uploadID,
	})
	if err == nil || noSuchUpload(err) {
		return nil
	}
	return s.wrap("abort upload of", key, err)
}
