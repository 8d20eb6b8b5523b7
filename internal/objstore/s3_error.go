package objstore

import (
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

// errUnfit: the store lacks what the settings require.
var errUnfit = errors.New("required feature is missing")

// wrap names act and object, and sorts what went wrong into the sentinels that callers tell apart, with the store's
// state where it is one.
func (s *S3) wrap(act, key string, err error) error {
	if err == nil {
		return nil
	}
	status, code := reply(err)
	_, source := errors.AsType[sourceError](err)
	_, sorted := errors.AsType[*stateError](err)
	switch {
	case callerLeft(err), sorted, errors.Is(err, media.ErrUnavailable), errors.Is(err, media.ErrExists),
		errors.Is(err, media.ErrNotFound), errors.Is(err, media.ErrTooLarge):
	case source:
		err = fmt.Errorf("%w: %w", media.ErrUnavailable, err)
	case status == http.StatusRequestedRangeNotSatisfiable:
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	case status == http.StatusPreconditionFailed:
		err = fmt.Errorf("%w: %w", media.ErrExists, err)
	default:
		switch state := classify(err); {
		case state == StateDamaged && !errors.Is(err, errBadChecksum):
			err = fmt.Errorf("%w: %w", errBadChecksum, &stateError{state: state, err: err})
		case state == StateDamaged:
			err = &stateError{state: state, err: err}
		case state == StateFailing && absentCode(code):
			err = fmt.Errorf("%w: %w", media.ErrNotFound, err)
		default:
			err = fmt.Errorf("%w: %w", media.ErrUnavailable, &stateError{state: state, err: err})
		}
	}
	return fmt.Errorf("%s object %s in %s: %w", act, s.prefix+key, s.config.Bucket, err)
}

// absentCode says that a code is of an object or an upload that is not there. HEAD has no body, and the SDK makes
// NotFound of it; a 404 of any other kind is no answer about an object.
func absentCode(code string) bool {
	switch code {
	case "NoSuchKey", "NotFound", "NoSuchUpload", "NoSuchVersion":
		return true
	}
	return false
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
	_, code := reply(err)
	return absentCode(code)
}
