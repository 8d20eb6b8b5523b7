package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ReadChanged is ReadFile of an object whose ETag is not the given one; of one that has that, it is not changed and
// nothing is sent. Now is the ETag that comes with data. An empty tag reads in any case.
func (s *S3) ReadChanged(ctx context.Context, key, tag string) (data []byte, now string, changed bool, err error) {
	name, err := s.key(key)
	if err != nil {
		return nil, "", false, err
	}
	in := &s3.GetObjectInput{Bucket: &s.config.Bucket, Key: name}
	if tag != "" {
		in.IfNoneMatch = &tag
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		if status, _ := reply(err); status == http.StatusNotModified && tag != "" {
			return nil, tag, false, nil
		}
		return nil, "", false, s.wrap("read", key, err)
	}
	size := aws.ToInt64(out.ContentLength)
	if size > MaxFile || out.ContentLength == nil {
		err := fmt.Errorf("read object %s: %w: %d bytes", key, media.ErrTooLarge, size)
		return nil, "", false, errors.Join(err, out.Body.Close())
	}
	data, err = readSized(out.Body, size)
	if err := errors.Join(err, out.Body.Close()); err != nil {
		return nil, "", false, s.wrap("read", key, err)
	}
	return data, aws.ToString(out.ETag), true, nil
}

// readSized reads size bytes. It takes memory as they come: a server may tell of more than it sends.
func readSized(r io.Reader, size int64) ([]byte, error) {
	const first = 4 << 20
	buf := bytes.NewBuffer(make([]byte, 0, min(size, first)))
	if n, err := io.CopyN(buf, r, size); errors.Is(err, io.EOF) && n < size {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
