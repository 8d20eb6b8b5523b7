package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oxbow-video/oxbow/internal/media"
)

// S3 is an object store in a bucket.
type S3 struct {
	client *s3.Client
	http   *http.Client
	config S3Config
	prefix string // Prefix and a slash, or nothing
	// pageSize is how many objects List asks for at a time.
	pageSize int32
	// sums is what settle found out, and settling held while it does.
	sums     atomic.Uint32
	settling chan struct{}
	// A store that turned out to know no conditions is not asked for them again until the next start.
	noConditions atomic.Bool
	// seen is when the bucket was last known to be there, in Unix nanoseconds.
	seen atomic.Int64
}

// OpenS3 prepares a store. It does not talk to the server, which may be away.
func OpenS3(ctx context.Context, c S3Config) (*S3, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	client, err := newHTTPClient(&c)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", c.Bucket, err)
	}
	options := s3.Options{
		Region:                     c.Region,
		UsePathStyle:               !c.VirtualHost,
		HTTPClient:                 client,
		Retryer:                    newRetryer(),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if c.Endpoint != "" {
		options.BaseEndpoint = &c.Endpoint
	}
	if c.AccessKey != "" {
		options.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, c.SessionToken)
	} else {
		found, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: find credentials: %w", c.Bucket, err)
		}
		options.Credentials = withinPatience(found.Credentials)
		if options.Region == "" {
			options.Region = found.Region
		}
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	store := &S3{
		client: s3.New(options), http: client, config: c, pageSize: 1000, settling: make(chan struct{}, 1),
	}
	if c.Prefix != "" {
		store.prefix = c.Prefix + "/"
	}
	if c.Checksums == ChecksumsOff {
		store.sums.Store(uint32(sumNone))
	}
	return store, nil
}

// Close closes idle connections.
func (s *S3) Close() { s.http.CloseIdleConnections() }

// key gives an object's name in the bucket.
func (s *S3) key(key string) (*string, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if len(s.prefix)+len(key) > maxKey {
		return nil, fmt.Errorf("%w: object key of %d bytes with its prefix", media.ErrBadName, len(s.prefix)+len(key))
	}
	return aws.String(s.prefix + key), nil
}

// Stat tells an object's size, time and, if the store keeps them, checksums. Those of a store that was found not to
// check them are left out.
func (s *S3) Stat(ctx context.Context, key string) (media.Object, error) {
	name, err := s.key(key)
	if err != nil {
		return media.Object{}, err
	}
	in := &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: name}
	kind := sumKind(s.sums.Load())
	if kind != sumNone {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		err = s.wrap("stat", key, err)
		if errors.Is(err, media.ErrNotFound) {
			if away := s.bucketThere(ctx, key); away != nil {
				err = away
			}
		}
		return media.Object{}, err
	}
	s.seen.Store(time.Now().UnixNano())
	object := media.Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ModifiedAt: aws.ToTime(out.LastModified),
	}
	if kind != sumNone && out.ChecksumCRC64NVME != nil {
		object.Checksum, object.HasChecksum = decodeSum(*out.ChecksumCRC64NVME)
	}
	if kind != sumNone {
		object.SHA256 = aws.ToString(out.ChecksumSHA256)
	}
	return object, nil
}

// bucketTrust is for how long a bucket that was there is taken to be.
const bucketTrust = 10 * time.Second

// bucketThere is for the answer to HEAD, which says 404 and not of what: bucket, object, or (of versitygw) access key.
func (s *S3) bucketThere(ctx context.Context, key string) error {
	if time.Since(time.Unix(0, s.seen.Load())) < bucketTrust {
		return nil
	}
	one := int32(1)
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.config.Bucket, Prefix: aws.String(s.prefix + key), MaxKeys: &one,
	})
	if status, _ := reply(err); status == http.StatusNotFound {
		return s.wrap("stat", key, err)
	}
	s.seen.Store(time.Now().UnixNano()) // or the keys don't allow the question
	return nil
}

// ReadFile gives all of an object that has no more than MaxFile bytes.
func (s *S3) ReadFile(ctx context.Context, key string) ([]byte, error) {
	data, _, _, err := s.ReadChanged(ctx, key, "")
	return data, err
}

// OpenRange reads exactly size bytes from offset on. An object that has fewer is an io.ErrUnexpectedEOF.
func (s *S3) OpenRange(ctx context.Context, key string, offset, size int64) (io.ReadCloser, error) {
	if offset < 0 || size < 0 {
		return nil, fmt.Errorf("read object %s: %w: range %d+%d", key, media.ErrInvalid, offset, size)
	}
	name, err := s.key(key)
	if err != nil {
		return nil, err
	}
	if size == 0 { // HTTP has no empty ranges
		object, err := s.Stat(ctx, key)
		if err == nil && object.Size < offset {
			err = fmt.Errorf("read object %s: range %d+0 of %d: %w", key, offset, object.Size, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader("")), nil
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.config.Bucket, Key: name,
		Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+size-1)),
	})
	if err != nil {
		return nil, s.wrap("read", key, err)
	}
	if _, ok := totalOf(aws.ToString(out.ContentRange), offset); !ok || aws.ToInt64(out.ContentLength) != size {
		err := fmt.Errorf("read object %s: range %d+%d gave %d bytes (%s): %w", key, offset, size,
			aws.ToInt64(out.ContentLength), aws.ToString(out.ContentRange), io.ErrUnexpectedEOF)
		return nil, errors.Join(err, out.Body.Close())
	}
	return out.Body, nil
}

// Delete removes an object.
func (s *S3) Delete(ctx context.Context, key string) error {
	name, err := s.key(key)
	if err != nil {
		return err
	}
	_, err = s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: name})
	if err = s.wrap("delete", key, err); errors.Is(err, media.ErrNotFound) {
		return nil
	}
	return err
}

// List gives the objects whose keys begin with prefix, in no promised order. It ends at the first error.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[media.Object, error] {
	return func(yield func(media.Object, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(media.Object{}, err)
			return
		}
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
			Bucket: &s.config.Bucket, Prefix: aws.String(s.prefix + prefix), MaxKeys: &s.pageSize,
		})
		var at paging
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err == nil {
				err = at.next(aws.ToBool(page.IsTruncated), aws.ToString(page.NextContinuationToken))
			}
			if err == nil && len(page.Contents) == 0 && page.IsTruncated == nil && page.KeyCount == nil && page.Name == nil {
				// A proxy's page, which the SDK takes for a list of nothing.
				err = fmt.Errorf("%w: the answer is no list", media.ErrUnavailable)
			}
			if err != nil {
				yield(media.Object{}, s.wrap("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key, ours := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
				if !ours || !strings.HasPrefix(key, prefix) || checkKey(key) != nil || aws.ToInt64(o.Size) < 0 {
					continue // a folder's marker, or another program's; who deletes what is listed must get no more
				}
				object := media.Object{Key: key, Size: aws.ToInt64(o.Size), ModifiedAt: aws.ToTime(o.LastModified)}
				if !yield(object, nil) {
					return
				}
			}
		}
	}
}
