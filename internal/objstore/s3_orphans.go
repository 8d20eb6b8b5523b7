package objstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// AbortUploads aborts the multipart uploads that the store lists below a prefix, and says how many. Nobody knows the id
// of an upload whose beginning was answered to a process that died, or to nobody: this is for them, when a recording
// is deleted. A store that lists nothing (some do) keeps them until its own lifecycle rule.
func (s *S3) AbortUploads(ctx context.Context, prefix string) (int, error) {
	if err := checkPrefix(prefix); err != nil {
		return 0, err
	}
	n, err := s.abortListed(ctx, s.prefix+prefix, func(_, _ string) bool { return true })
	return n, s.wrap("abort uploads of", prefix, err)
}

// abortListed aborts what the store lists whose name begins with prefix, and that is to go by its name and id.
func (s *S3) abortListed(ctx context.Context, prefix string, want func(name, id string) bool) (int, error) {
	n := 0
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
		Bucket: &s.config.Bucket, Prefix: &prefix,
	})
	for at := (paging{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if status, code := reply(err); status == 404 && code != "NoSuchBucket" {
			return n, nil
		}
		if err == nil {
			marker := aws.ToString(page.NextKeyMarker) + "\n" + aws.ToString(page.NextUploadIdMarker)
			err = at.next(aws.ToBool(page.IsTruncated), marker)
		}
		if err != nil {
			return n, fmt.Errorf("list uploads: %w", err)
		}
		for _, u := range page.Uploads {
			if !strings.HasPrefix(aws.ToString(u.Key), prefix) || !want(aws.ToString(u.Key), aws.ToString(u.UploadId)) {
				continue
			}
			_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
				Bucket: &s.config.Bucket, Key: u.Key, UploadId: u.UploadId,
			})
			if err != nil && !noSuchUpload(err) {
				return n, fmt.Errorf("abort upload: %w", err)
			}
			n++
		}
	}
	return n, nil
}

// abortStrangers makes way for a new upload: nobody goes on with another one of this object, but for the one that the
// caller knows. Its failure is no reason
// to put nothing, and keys need not allow it.
func (p *put) abortStrangers(ctx context.Context) {
	n, err := p.s3.abortListed(ctx, *p.name, func(name, id string) bool {
		return name == *p.name && id != p.options.UploadID
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		p.s3.config.Logger.Debug("uploads could not be listed", "object", *p.name, "err", err)
	}
	if n > 0 {
		p.s3.config.Logger.Info("aborted uploads that nobody had noted", "object", *p.name, "uploads", n)
	}
}

// AbortUploads does nothing: a directory knows no multipart uploads.
func (d *Dir) AbortUploads(_ context.Context, prefix string) (int, error) {
	return 0, checkPrefix(prefix)
}
