package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oxbow-video/oxbow/internal/media"
)

// OpenVersion reads up to size bytes from offset on, fewer if the object ends before, and says of which version of the
// object they are and how many bytes that has in all. Two readings of one version are of the same bytes. No bytes are
// asked for to learn the version alone; an object that ends before offset is an io.ErrUnexpectedEOF.
func (d *Dir) OpenVersion(
	_ context.Context, key string, offset, size int64,
) (in io.ReadCloser, version string, total int64, err error) {
	if offset < 0 || size < 0 {
		return nil, "", 0, badRange(key, offset, size)
	}
	f, total, err := d.open(key)
	if err != nil {
		return nil, "", 0, dirError("read", key, err)
	}
	var info os.FileInfo
	if total < offset || total == offset && size > 0 {
		err = fmt.Errorf("range %d+%d of %d: %w", offset, size, total, io.ErrUnexpectedEOF)
	} else if info, err = f.Stat(); err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, "", 0, dirError("read", key, errors.Join(err, f.Close()))
	}
	total = info.Size()
	version = strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(total, 36)
	in = &fileRange{file: f, rest: io.LimitedReader{R: f, N: min(size, total-offset)}}
	return in, version, total, nil
}

func badRange(key string, offset, size int64) error {
	return fmt.Errorf("read object %s: %w: range %d+%d", key, media.ErrInvalid, offset, size)
}

// OpenVersion is Dir's OpenVersion of a bucket. The version is the object's ETag, or, of a store that has none, its
// time.
func (s *S3) OpenVersion(
	ctx context.Context, key string, offset, size int64,
) (in io.ReadCloser, version string, total int64, err error) {
	if offset < 0 || size < 0 {
		return nil, "", 0, badRange(key, offset, size)
	}
	name, err := s.key(key)
	if err != nil {
		return nil, "", 0, err
	}
	if size == 0 { // HTTP has no empty ranges
		return s.headVersion(ctx, key, offset, name)
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.config.Bucket, Key: name,
		Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+size-1)),
	})
	if err != nil {
		return nil, "", 0, s.wrap("read", key, err)
	}
	told := aws.ToString(out.ContentRange)
	total, ok := totalOf(told, offset)
	if !ok || aws.ToInt64(out.ContentLength) != min(size, total-offset) {
		err := fmt.Errorf("read object %s: range %d+%d gave %d bytes (%s): %w", key, offset, size,
			aws.ToInt64(out.ContentLength), told, io.ErrUnexpectedEOF)
		return nil, "", 0, errors.Join(err, out.Body.Close())
	}
	return out.Body, versionOf(out.ETag, out.LastModified), total, nil
}

func (s *S3) headVersion(
	ctx context.Context, key string, offset int64, name *string,
) (in io.ReadCloser, version string, total int64, err error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: name})
	if err != nil {
		err = s.wrap("stat", key, err)
		if errors.Is(err, media.ErrNotFound) {
			if away := s.bucketThere(ctx, key); away != nil {
				err = away
			}
		}
		return nil, "", 0, err
	}
	s.seen.Store(time.Now().UnixNano())
	if total = aws.ToInt64(out.ContentLength); total < offset {
		return nil, "", 0, fmt.Errorf("read object %s: range %d+0 of %d: %w", key, offset, total, io.ErrUnexpectedEOF)
	}
	return http.NoBody, versionOf(out.ETag, out.LastModified), total, nil
}

func versionOf(etag *string, modified *time.Time) string {
	if tag := aws.ToString(etag); tag != "" {
		return tag
	}
	return strconv.FormatInt(aws.ToTime(modified).Unix(), 36)
}

// totalOf reads the size of the whole out of a Content-Range that begins at offset (RFC 9110 section 14.4).
func totalOf(field string, offset int64) (total int64, ok bool) {
	span, whole, _ := strings.Cut(strings.TrimPrefix(field, "bytes "), "/")
	first, last, _ := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(whole, 10, 64)
	return total, errors.Join(err1, err2, err3) == nil && from == offset && from <= to && to < total
}
