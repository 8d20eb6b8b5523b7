package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	ctx = withFlow(ctx)
	p := &put{s3: s, key: key, name: name, source: source{r}, size: size, options: options}
	sent, err := p.run(ctx)
	if err != nil {
		return media.Object{}, s.wrap("put", key, err)
	}
	s.seen.Store(time.Now().UnixNano())
	return media.Object{
		Key: key, Size: size, Checksum: sent.crc, HasChecksum: true, SHA256: sent.sha256, ModifiedAt: time.Now(),
	}, nil
}

// put is one object on its way into the bucket.
type put struct {
	s3      *S3
	key     string
	name    *string
	source  io.ReaderAt
	size    int64
	options media.PutOptions
	kind    sumKind
	// confirmed says that the store's answer had the whole object's checksum.
	confirmed bool
	// unsummed: nobody knows what that should be.
	unsummed bool
	// unsure says that an upload may have been begun whose id nobody learnt.
	unsure bool
	mu     struct {
		sync.Mutex
		done int64 // bytes that the store has
	}
}

// source marks its errors, so that they are not taken for the store's.
type source struct{ io.ReaderAt }

func (s source) ReadAt(p []byte, offset int64) (int, error) {
	n, err := s.ReaderAt.ReadAt(p, offset)
	if err != nil && err != io.EOF {
		err = sourceError{err}
	}
	return n, err
}

// run puts the object with the best checksum that the store takes.
func (p *put) run(ctx context.Context) (sent sums, err error) {
	if p.kind, err = p.s3.settle(ctx); err != nil {
		return sums{}, err
	}
	best := p.kind
	for {
		p.restart()
		if p.size > p.s3.config.PartSize {
			sent, err = p.multipart(ctx)
		} else {
			sent, err = p.whole(ctx)
		}
		// Some stores know a checksum for whole objects and not for parts.
		next := p.lesser()
		if err == nil || next == sumUnknown || !unknownToStore(err) {
			break
		}
		p.kind = next
	}
	if err == nil && p.kind != best {
		p.s3.stepDown(best, p.kind)
	}
	if errors.Is(err, media.ErrExists) {
		sent, err = p.same(ctx, err)
	}
	if err == nil && p.s3.config.Checksums == ChecksumsRequired && !p.confirmed {
		err = p.confirm(ctx, sent)
	}
	return sent, err
}

// lesser gives the checksum to try when this one is refused, sumUnknown if there is none.
func (p *put) lesser() sumKind {
	kinds := p.s3.kinds()
	for i, kind := range kinds {
		if kind != p.kind {
			continue
		}
		if i+1 < len(kinds) {
			return kinds[i+1]
		}
		if p.s3.config.Checksums != ChecksumsRequired {
			return sumNone
		}
	}
	return sumUnknown
}

func (s *S3) stepDown(from, to sumKind) {
	if to == sumNone {
		s.doWithout(from.String() + " refused")
		return
	}
	s.sums.CompareAndSwap(uint32(from), uint32(to))
}

// restart counts what the store has from nothing.
func (p *put) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.done = 0
}

// has counts bytes that the store has.
func (p *put) has(size int64) {
	if p.options.Progress == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.done += size
	p.options.Progress(p.mu.done)
}

// sending gives the options of a request whose body has a checksum of a kind: its CRC or SHA-256 is in a signed header,
// so that the payload need not be in the signature. Where nobody checks the former, it is.
func (p *put) sending(kind sumKind) []func(*s3.Options) {
	if kind == sumNone || kind != p.kind {
		return []func(*s3.Options){patiently}
	}
	return []func(*s3.Options){patiently, unsigned}
}

// whole sends the object in one request.
func (p *put) whole(ctx context.Context) (sent sums, err error) {
	err = p.s3.config.Limits.send(ctx, func() error {
		if sent, err = sumBoth(ctx, p.source, 0, p.size, p.kind); err != nil {
			return err
		}
		return p.conditional(func(condition *string) error { return p.sendWhole(ctx, condition, sent) })
	})
	if err == nil {
		p.has(p.size)
	}
	return sent, err
}

func (p *put) sendWhole(ctx context.Context, condition *string, sent sums) error {
	kind := contentType(p.key, p.options)
	in := &s3.PutObjectInput{
		Bucket: &p.s3.config.Bucket, Key: p.name, ContentLength: &p.size, IfNoneMatch: condition, ContentType: &kind,
		Body: io.NewSectionReader(p.source, 0, p.size),
	}
	in.ChecksumCRC64NVME, in.ChecksumSHA256 = p.kind.headers(sent)
	out, err := p.s3.client.PutObject(ctx, in, p.sending(p.kind)...)
	if err != nil {
		return err
	}
	return p.answered(out.ChecksumCRC64NVME, out.ChecksumSHA256, sent)
}

// headers gives what goes with a request.
func (k sumKind) headers(s sums) (crc, digest *string) {
	switch k {
	case sumCRC64NVME:
		return aws.String(encodeSum(s.crc)), nil
	case sumSHA256:
		return nil, &s.sha256
	}
	return nil, nil
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
func (p *put) same(ctx context.Context, exists error) (sums, error) {
	object, err := p.s3.Stat(ctx, p.key)
	if err != nil {
		return sums{}, err
	}
	if object.Size != p.size {
		return sums{}, exists
	}
	same, err := p.s3.Same(ctx, object, p.source)
	if err != nil {
		return sums{}, err
	}
	if !same {
		return sums{}, exists
	}
	crc, err := sumRange(ctx, p.source, 0, p.size)
	p.has(p.size)
	return sums{crc: crc, sha256: object.SHA256}, err
}

// confirm asks the store for the checksum it keeps.
func (p *put) confirm(ctx context.Context, sent sums) error {
	object, err := p.s3.Stat(ctx, p.key)
	if err != nil {
		return err
	}
	if !object.HasChecksum && object.SHA256 == "" {
		return unfit("the store keeps none")
	}
	if object.HasChecksum {
		return checkSum(aws.String(encodeSum(object.Checksum)), sent.crc)
	}
	return checkDigest(&object.SHA256, sent.sha256)
}

// answered compares the whole object's checksum with that of the store's answer.
func (p *put) answered(crc, digest *string, sent sums) error {
	if p.unsummed {
		return nil
	}
	if crc != nil {
		_, p.confirmed = decodeSum(*crc)
	}
	if digest != nil && sent.sha256 != "" {
		p.confirmed = true
	}
	return errors.Join(checkSum(crc, sent.crc), checkDigest(digest, sent.sha256))
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

// checkDigest compares a SHA-256 that an answer may carry, if one was sent. Some stores leave the number of parts out.
func checkDigest(answer *string, sent string) error {
	if answer == nil || *answer == "" || sent == "" {
		return nil
	}
	have, _, _ := strings.Cut(*answer, "-")
	if want, _, _ := strings.Cut(sent, "-"); have != want {
		return fmt.Errorf("%w: the store has %s, sent was %s", errBadChecksum, *answer, sent)
	}
	return nil
}

// unsigned leaves the payload out of the signature: its CRC is in a signed header instead, at a tenth of the cost.
func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}
