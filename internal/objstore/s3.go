package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What an S3 store does about checksums.
const (
	ChecksumsAuto     = "auto"     // send them, and do without when the store refuses them
	ChecksumsRequired = "required" // a put fails unless the store confirms its checksum
	ChecksumsOff      = "off"      // the payload's signature guards the way in; readers sum what they read
)

const (
	minPartSize     = 5 << 20
	maxParts        = 10_000
	defaultPartSize = 16 << 20
	defaultParallel = 4
)

// S3Config says where a bucket is and how to talk to it.
type S3Config struct {
	// Endpoint is the base URL of an S3-compatible server; empty means Amazon's own for the region.
	Endpoint string
	// Region is that of the bucket; empty means what the SDK's default chain finds, else "us-east-1".
	Region string
	Bucket string
	// Prefix is put before every key; empty or without slashes at its ends.
	Prefix string
	// AccessKey and SecretKey, with SessionToken if they are temporary; empty means the SDK's default chain
	// (environment, shared files, roles).
	AccessKey    string
	SecretKey    string
	SessionToken string
	// VirtualHost addresses the bucket as a host name; the zero value as the first path element, which works with
	// every server of one's own.
	VirtualHost bool
	// Checksums is one of the Checksums constants; empty means auto.
	Checksums string
	// PartSize is the size of an upload's parts, and of the largest object that is sent as a whole; zero means 16 MiB.
	// It is raised for objects that would need more than 10,000 parts.
	PartSize int64
	// Parallel is how many parts of one object are sent at a time; zero means 4.
	Parallel int
}

// S3 is an object store in a bucket.
type S3 struct {
	client *s3.Client
	http   *http.Client
	config S3Config
	prefix string // Prefix and a slash, or nothing
	// pageSize is how many objects List asks for at a time.
	pageSize int32
	// What a store turned out not to know is not asked of it again until the next start.
	noChecksums  atomic.Bool
	noConditions atomic.Bool
}

// OpenS3 prepares a store. It does not talk to the server, which may be away.
func OpenS3(ctx context.Context, c S3Config) (*S3, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	client := newHTTPClient()
	options := s3.Options{
		Region:                     c.Region,
		UsePathStyle:               !c.VirtualHost,
		HTTPClient:                 client,
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
		options.Credentials = found.Credentials
		if options.Region == "" {
			options.Region = found.Region
		}
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	store := &S3{client: s3.New(options), http: client, config: c, pageSize: 1000}
	if c.Prefix != "" {
		store.prefix = c.Prefix + "/"
	}
	if c.Checksums == ChecksumsOff {
		store.noChecksums.Store(true)
	}
	return store, nil
}

// Close closes idle connections.
func (s *S3) Close() { s.http.CloseIdleConnections() }

func (c *S3Config) check() error {
	if c.Bucket == "" {
		return fmt.Errorf("%w: no bucket is named", media.ErrInvalid)
	}
	if c.Endpoint != "" {
		if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("%w: endpoint %.200q: use http(s)://host[:port]", media.ErrInvalid, c.Endpoint)
		}
	}
	if c.Prefix != "" {
		if err := checkKey(c.Prefix); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return fmt.Errorf("%w: access key and secret key go together", media.ErrInvalid)
	}
	switch c.Checksums {
	case "":
		c.Checksums = ChecksumsAuto
	case ChecksumsAuto, ChecksumsRequired, ChecksumsOff:
	default:
		return fmt.Errorf("%w: checksums %.40q: use auto, required or off", media.ErrInvalid, c.Checksums)
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPartSize
	}
	if c.PartSize < minPartSize {
		return fmt.Errorf("%w: part size %d: S3 wants at least %d", media.ErrInvalid, c.PartSize, minPartSize)
	}
	if c.Parallel <= 0 {
		c.Parallel = defaultParallel
	}
	return nil
}

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

// Stat tells an object's size, time and, if the store keeps it, checksum.
func (s *S3) Stat(ctx context.Context, key string) (media.Object, error) {
	name, err := s.key(key)
	if err != nil {
		return media.Object{}, err
	}
	in := &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: name}
	if !s.noChecksums.Load() {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		return media.Object{}, s.wrap("stat", key, err)
	}
	object := media.Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ModifiedAt: aws.ToTime(out.LastModified),
	}
	if out.ChecksumCRC64NVME != nil {
		object.Checksum, object.HasChecksum = decodeSum(*out.ChecksumCRC64NVME)
	}
	return object, nil
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
	if out.ContentRange == nil || aws.ToInt64(out.ContentLength) != size {
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
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(media.Object{}, s.wrap("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.prefix)
				if checkKey(key) != nil {
					continue // a folder's marker, or another program's
				}
				object := media.Object{Key: key, Size: aws.ToInt64(o.Size), ModifiedAt: aws.ToTime(o.LastModified)}
				if !yield(object, nil) {
					return
				}
			}
		}
	}
}
