package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oxbow-video/oxbow/internal/media"
)

// abortTimeout bounds the tidying up after a failed put, which outlives the caller's context.
const abortTimeout = 10 * time.Second

// Put writes an object from the first size bytes of r, which must not change meanwhile. A failed put of more than a
// part keeps the upload for the next try if NoteUpload was given.
func (s *S3) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	name, err := s.key(key)
	if err != nil {
		return media.Object{}, err
	}
	p := &put{s3: s, key: key, name: name, source: r, size: size, options: options, sums: !s.noChecksums.Load()}
	write := p.whole
	if size > s.config.PartSize {
		write = p.multipart
	}
	sum, err := write(ctx)
	if err != nil && p.sums && s.config.Checksums == ChecksumsAuto && unknownToStore(err) {
		s.noChecksums.Store(true)
		p.sums = false
		sum, err = write(ctx)
	}
	if errors.Is(err, media.ErrExists) {
		sum, err = p.same(ctx, err)
	}
	if err != nil {
		return media.Object{}, s.wrap("put", key, err)
	}
	if s.config.Checksums == ChecksumsRequired && !p.confirmed {
		if err := p.confirm(ctx, sum); err != nil {
			return media.Object{}, s.wrap("put", key, err)
		}
	}
	return media.Object{Key: key, Size: size, Checksum: sum, HasChecksum: true, ModifiedAt: time.Now()}, nil
}

// put is one Put under way.
type put struct {
	s3      *S3
	key     string
	name    *string // in the bucket
	source  io.ReaderAt
	size    int64
	options media.PutOptions
	sums    bool // the store is told checksums
	// confirmed: the store answered with the checksum of the whole object.
	confirmed bool
	// unsummed: nobody knows what that should be.
	unsummed bool
}

// whole sends the object in one request.
func (p *put) whole(ctx context.Context) (uint64, error) {
	sum, err := sumRange(ctx, p.source, 0, p.size)
	if err != nil {
		return 0, err
	}
	send := func(condition *string) error {
		in := &s3.PutObjectInput{
			Bucket: &p.s3.config.Bucket, Key: p.name, ContentLength: &p.size, IfNoneMatch: condition,
			Body: io.NewSectionReader(p.source, 0, p.size),
		}
		kind := contentType(p.key, p.options)
		in.ContentType = &kind
		var optFns []func(*s3.Options)
		if p.sums {
			encoded := encodeSum(sum)
			in.ChecksumCRC64NVME = &encoded
			optFns = append(optFns, unsigned)
		}
		out, err := p.s3.client.PutObject(ctx, in, optFns...)
		if err != nil {
			return err
		}
		return p.answered(out.ChecksumCRC64NVME, sum)
	}
	return sum, p.conditional(send)
}

// conditional sends a request with the condition that exclusive puts ask for, unless the store knows none.
func (p *put) conditional(send func(ifNoneMatch *string) error) error {
	if !p.options.Exclusive || p.s3.noConditions.Load() {
		return send(nil)
	}
	anything := "*"
	err := send(&anything)
	if err == nil {
		return nil
	}
	if status, _ := reply(err); status == 412 {
		return fmt.Errorf("%w: %w", media.ErrExists, err)
	}
	if !unknownToStore(err) {
		return err
	}
	if plainErr := send(nil); plainErr != nil {
		return err // the condition was not what it refused
	}
	p.s3.noConditions.Store(true)
	return nil
}

// same allows an exclusive put of what is there already: that of another node, or this one's before a lost answer.
func (p *put) same(ctx context.Context, exists error) (uint64, error) {
	object, err := p.s3.Stat(ctx, p.key)
	if err != nil {
		return 0, err
	}
	if object.Size != p.size {
		return 0, exists
	}
	sum, err := sumRange(ctx, p.source, 0, p.size)
	if err != nil {
		return 0, err
	}
	if !object.HasChecksum {
		if object.Checksum, err = p.s3.readSum(ctx, p.key, p.size); err != nil {
			return 0, err
		}
	}
	if sum != object.Checksum {
		return 0, exists
	}
	return sum, nil
}

// confirm asks the store for the checksum it keeps.
func (p *put) confirm(ctx context.Context, sum uint64) error {
	object, err := p.s3.Stat(ctx, p.key)
	if err != nil {
		return err
	}
	if !object.HasChecksum {
		return fmt.Errorf("%w: the store keeps no CRC64NVME, and checksums are required", media.ErrUnavailable)
	}
	if object.Checksum != sum {
		return fmt.Errorf("%w: the store has %016x, sent was %016x", errBadChecksum, object.Checksum, sum)
	}
	return nil
}

// readSum sums an object whose store keeps no checksum.
func (s *S3) readSum(ctx context.Context, key string, size int64) (uint64, error) {
	r, err := s.OpenRange(ctx, key, 0, size)
	if err != nil {
		return 0, err
	}
	sum := media.NewChecksum()
	_, err = io.CopyBuffer(sum, r, make([]byte, media.ChecksumBuffer))
	return sum.Sum64(), errors.Join(err, r.Close())
}

// answered compares the whole object's checksum with that of the store's answer.
func (p *put) answered(answer *string, sum uint64) error {
	if p.unsummed {
		return nil
	}
	if answer != nil {
		_, p.confirmed = decodeSum(*answer)
	}
	return checkSum(answer, sum)
}

// checkSum compares a checksum that an answer may carry.
func checkSum(answer *string, sum uint64) error {
	if answer == nil {
		return nil
	}
	if have, ok := decodeSum(*answer); ok && have != sum {
		return fmt.Errorf("%w: the store has %016x, sent was %016x", errBadChecksum, have, sum)
	}
	return nil
}

// unsigned leaves the payload out of the signature: its CRC is in a signed header instead, at a tenth of the cost.
func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}
