package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/oxbow-video/oxbow/internal/media"
)

// upload is a multipart upload as the store knows it.
type upload struct {
	id   string
	kind sumKind              // the checksum that it was created with
	have map[int32]types.Part // parts that are there already
	// largest is the size of the largest of them: an upload that was begun for more bytes has larger parts.
	largest int64
}

// multipart sends the object in parts, and goes on with an upload that was begun earlier if it can.
func (p *put) multipart(ctx context.Context) (sums, error) {
	u, err := p.resume(ctx)
	if err == nil && u == nil {
		u, err = p.begin(ctx)
	}
	if err != nil {
		return sums{}, err
	}
	sent, err := p.sendParts(ctx, u)
	if err == nil || errors.Is(err, media.ErrExists) {
		if p.unsure {
			p.abortStrangers(ctx)
		}
		return sent, err
	}
	// A checksum that differs stays so: the upload is of no more use. Neither is one that nobody would find again.
	if p.options.NoteUpload == nil || classify(err) == StateDamaged {
		p.options.UploadID = ""
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		err = errors.Join(err, p.s3.AbortUpload(ctx, p.key, u.id))
	}
	return sums{}, err
}

// resume finds what the noted upload has; nil means that a new one is needed.
func (p *put) resume(ctx context.Context) (*upload, error) {
	if p.options.UploadID == "" {
		return nil, nil
	}
	u := &upload{id: p.options.UploadID, kind: sumNone, have: make(map[int32]types.Part)}
	pages := s3.NewListPartsPaginator(p.s3.client, &s3.ListPartsInput{
		Bucket: &p.s3.config.Bucket, Key: p.name, UploadId: &u.id,
	})
	for at := (paging{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if noSuchUpload(err) {
			return nil, nil
		}
		if err == nil {
			err = at.next(aws.ToBool(page.IsTruncated), aws.ToString(page.NextPartNumberMarker))
		}
		if err != nil {
			return nil, fmt.Errorf("list parts: %w", err)
		}
		switch page.ChecksumAlgorithm {
		case types.ChecksumAlgorithmCrc64nvme:
			u.kind = sumCRC64NVME
		case types.ChecksumAlgorithmSha256:
			u.kind = sumSHA256
		}
		for _, part := range page.Parts {
			u.have[aws.ToInt32(part.PartNumber)] = part
			u.largest = max(u.largest, aws.ToInt64(part.Size))
		}
		if len(u.have) > maxParts {
			return nil, fmt.Errorf("list parts: %w: more than %d", media.ErrUnavailable, maxParts)
		}
	}
	return u, nil
}

// begin makes an upload. The SDK may not try again by itself: every answer that is lost may leave an upload behind, and
// the next try looks for it first.
func (p *put) begin(ctx context.Context) (*upload, error) {
	retryer := p.s3.client.Options().Retryer
	var out *s3.CreateMultipartUploadOutput
	for try := 1; ; try++ {
		p.abortStrangers(ctx)
		var err error
		if out, err = p.create(ctx); err == nil {
			break
		}
		if try == putAttempts || !retryer.IsErrorRetryable(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("begin upload: %w", err)
		}
		p.unsure = true
		if err := p.pause(ctx, retryer, try, err); err != nil {
			return nil, fmt.Errorf("begin upload: %w", err)
		}
	}
	u := &upload{id: aws.ToString(out.UploadId), kind: p.kind}
	if note := p.options.NoteUpload; note != nil {
		if err := note(ctx, u.id); err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
			defer cancel()
			return nil, errors.Join(fmt.Errorf("note upload: %w", err), p.s3.AbortUpload(ctx, p.key, u.id))
		}
	}
	return u, nil
}

func (p *put) create(ctx context.Context) (out *s3.CreateMultipartUploadOutput, err error) {
	kind := contentType(p.key, p.options)
	in := &s3.CreateMultipartUploadInput{
		Bucket: &p.s3.config.Bucket, Key: p.name, ContentType: &kind, ChecksumAlgorithm: p.kind.algorithm(),
	}
	if p.kind == sumCRC64NVME {
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	err = p.s3.config.Limits.send(ctx, func() error {
		out, err = p.s3.client.CreateMultipartUpload(ctx, in, once)
		return err
	})
	return out, err
}

// once keeps the SDK from trying again.
func once(o *s3.Options) { o.RetryMaxAttempts = 1 }

// pause waits before another try.
func (p *put) pause(ctx context.Context, retryer aws.Retryer, try int, cause error) error {
	delay, err := retryer.RetryDelay(try, cause)
	if err != nil {
		return errors.Join(cause, err)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// partSize is the configured size, or the least whole number of MiB with which the parts suffice.
func (s *S3) partSize(size int64) int64 {
	const mib = 1 << 20
	least := (size + maxParts - 1) / maxParts
	return max(s.config.PartSize, (least+mib-1)/mib*mib)
}

func (p *put) sendParts(ctx context.Context, u *upload) (sums, error) {
	partSize := max(p.s3.partSize(p.size), u.largest)
	count := int((p.size + partSize - 1) / partSize)
	done := make([]types.CompletedPart, count)
	crcs := make([]uint64, count)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(p.s3.config.Parallel)
	for i := range count {
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			offset := int64(i) * partSize
			var err error
			done[i], crcs[i], err = p.sendPart(groupCtx, u, int32(i+1), offset, min(partSize, p.size-offset))
			if err != nil {
				return fmt.Errorf("part %d of %d: %w", i+1, count, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return sums{}, err
	}
	var sent sums
	for i, crc := range crcs {
		offset := int64(i) * partSize
		sent.crc = combineSums(sent.crc, crc, min(partSize, p.size-offset))
	}
	if u.kind == sumSHA256 {
		var err error
		if sent.sha256, err = combineDigests(done); err != nil {
			return sums{}, err
		}
	}
	return sent, p.complete(ctx, u, done, sent)
}

// sendPart sends one part unless the upload has it. Nothing else waits for its tries.
func (p *put) sendPart(
	ctx context.Context, u *upload, number int32, offset, size int64,
) (done types.CompletedPart, crc uint64, err error) {
	ctx, counter := p.counting(ctx)
	err = p.s3.config.Limits.send(ctx, func() error {
		sum, err := sumBoth(ctx, p.source, offset, size, u.kind)
		if err != nil {
			return err
		}
		crc = sum.crc
		done.PartNumber = &number
		done.ChecksumCRC64NVME, done.ChecksumSHA256 = u.kind.headers(sum)
		part, ok := u.have[number]
		if ok && aws.ToInt64(part.Size) == size && checkSum(part.ChecksumCRC64NVME, crc) == nil &&
			checkDigest(part.ChecksumSHA256, sum.sha256) == nil {
			done.ETag = part.ETag
			return nil
		}
		out, err := p.uploadPart(ctx, u, done, offset, size)
		if err != nil && classify(err) == StateDamaged { // once may be a bad moment
			out, err = p.uploadPart(ctx, u, done, offset, size)
		}
		if err != nil {
			return err
		}
		done.ETag = out.ETag
		return errors.Join(checkSum(out.ChecksumCRC64NVME, crc), checkDigest(out.ChecksumSHA256, sum.sha256))
	})
	if err != nil {
		counter.end(0)
		return done, crc, err
	}
	counter.end(size)
	return done, crc, nil
}

func (p *put) uploadPart(
	ctx context.Context, u *upload, part types.CompletedPart, offset, size int64,
) (*s3.UploadPartOutput, error) {
	return p.s3.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &p.s3.config.Bucket, Key: p.name, UploadId: &u.id, PartNumber: part.PartNumber, ContentLength: &size,
		ChecksumCRC64NVME: part.ChecksumCRC64NVME, ChecksumSHA256: part.ChecksumSHA256,
		Body: io.NewSectionReader(p.source, offset, size),
	}, p.sending(u.kind)...)
}

func (p *put) complete(ctx context.Context, u *upload, parts []types.CompletedPart, sent sums) error {
	err := p.conditional(func(condition *string) error {
		in := &s3.CompleteMultipartUploadInput{
			Bucket: &p.s3.config.Bucket, Key: p.name, UploadId: &u.id, IfNoneMatch: condition,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		}
		if u.kind == sumCRC64NVME {
			in.ChecksumCRC64NVME, _ = u.kind.headers(sent)
			in.ChecksumType = types.ChecksumTypeFullObject
			in.MpuObjectSize = &p.size
		}
		return p.s3.config.Limits.send(ctx, func() error {
			out, err := p.s3.client.CompleteMultipartUpload(ctx, in, patiently)
			if err != nil {
				return err
			}
			return p.answered(out.ChecksumCRC64NVME, out.ChecksumSHA256, sent)
		})
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
