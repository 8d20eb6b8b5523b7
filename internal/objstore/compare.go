package objstore

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Same says whether an object, as Stat gave it, has the first bytes of r. It believes a checksum that the store
// verified; only without one is the object read.
func (s *S3) Same(ctx context.Context, object media.Object, r io.ReaderAt) (bool, error) {
	same, err := s.same(ctx, object, source{r})
	return same, s.wrap("compare", object.Key, err)
}

func (s *S3) same(ctx context.Context, object media.Object, r io.ReaderAt) (bool, error) {
	kind, err := s.settle(ctx)
	if err != nil {
		return false, err
	}
	if object.SHA256 != "" && !object.HasChecksum && kind != sumNone {
		digest, err := s.digest(ctx, r, object)
		if err != nil || digest == object.SHA256 {
			return err == nil, err
		}
		if digestParts(object.SHA256) == 0 {
			return false, nil
		}
		// Another size of parts gives another digest of the same bytes.
	}
	sum, err := sumRange(ctx, r, 0, object.Size)
	if err != nil {
		return false, err
	}
	if !object.HasChecksum || kind == sumNone {
		if object.Checksum, err = s.readSum(ctx, object.Key, object.Size); err != nil {
			return false, err
		}
	}
	return sum == object.Checksum, nil
}

// digest gives the SHA-256 that an object of these bytes would have, empty if its parts are not those of our layout.
func (s *S3) digest(ctx context.Context, r io.ReaderAt, object media.Object) (string, error) {
	count := digestParts(object.SHA256)
	if count == 0 {
		sum, err := sumBoth(ctx, r, 0, object.Size, sumSHA256)
		return sum.sha256, err
	}
	size := s.partSize(object.Size)
	if int64(count) != (object.Size+size-1)/size {
		return "", nil
	}
	parts := make([]types.CompletedPart, count)
	for i := range parts {
		offset := int64(i) * size
		sum, err := sumBoth(ctx, r, offset, min(size, object.Size-offset), sumSHA256)
		if err != nil {
			return "", err
		}
		parts[i].ChecksumSHA256 = aws.String(sum.sha256)
	}
	return combineDigests(parts)
}

// readSum sums an object whose store keeps no checksum.
func (s *S3) readSum(ctx context.Context, key string, size int64) (uint64, error) {
	r, err := s.OpenRange(ctx, key, 0, size)
	if err != nil {
		return 0, err
	}
	sum := media.NewChecksum()
	n, err := io.CopyBuffer(sum, r, make([]byte, media.ChecksumBuffer))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return sum.Sum64(), errors.Join(err, r.Close())
}

// Same says whether an object, as Stat gave it, has the first bytes of r.
func (d *Dir) Same(ctx context.Context, object media.Object, r io.ReaderAt) (bool, error) {
	f, size, err := d.open(object.Key)
	if err != nil {
		return false, dirError("compare", object.Key, err)
	}
	defer f.Close()
	if size < object.Size {
		return false, nil
	}
	want, err := sumRange(ctx, source{r}, 0, object.Size)
	if err != nil {
		return false, dirError("compare", object.Key, err)
	}
	have, err := sumRange(ctx, f, 0, object.Size)
	if err != nil {
		return false, dirError("compare", object.Key, err)
	}
	return have == want, nil
}
