package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oxbow-video/oxbow/internal/media"
)

// errBadChecksum is a store's verdict that bytes and checksum differ.
var errBadChecksum = errors.New("checksum differs")

// wrap names act and object, and sorts what went wrong into the sentinels that callers tell apart.
func (s *S3) wrap(act, key string, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	status, code := reply(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, media.ErrUnavailable), errors.Is(err, media.ErrExists), errors.Is(err, media.ErrNotFound),
		errors.Is(err, media.ErrTooLarge):
	case code == "NoSuchBucket":
		kind = media.ErrUnavailable
	case status == http.StatusNotFound:
		kind = media.ErrNotFound
	case status == http.StatusRequestedRangeNotSatisfiable:
		kind = io.ErrUnexpectedEOF
	case status == http.StatusPreconditionFailed:
		kind = media.ErrExists
	case code == "BadDigest", code == "XAmzContentChecksumMismatch", code == "InvalidDigest":
		kind = errBadChecksum
	default:
		kind = media.ErrUnavailable
	}
	if kind != nil {
		err = fmt.Errorf("%w: %w", kind, err)
	}
	return fmt.Errorf("%s object %s in %s: %w", act, s.prefix+key, s.config.Bucket, err)
}

// reply gives the status and the code of a server's refusal.
func reply(err error) (status int, code string) {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = r.HTTPStatusCode()
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	return status, code
}

// unknownToStore says that a server refused a request for a feature that it does not have.
func unknownToStore(err error) bool {
	status, code := reply(err)
	if status == http.StatusNotImplemented {
		return true
	}
	switch code {
	case "NotImplemented", "InvalidRequest", "InvalidArgument", "UnsupportedArgument", "MalformedXML":
		return true
	}
	return false
}

func noSuchUpload(err error) bool {
	status, code := reply(err)
	return code == "NoSuchUpload" || (status == http.StatusNotFound && code != "NoSuchBucket")
}
