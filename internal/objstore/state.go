package objstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oxbow-video/oxbow/internal/media"
)

// How a store fares, in a word: media.ArchiveStatus.State.
const (
	StateOK          = "ok"
	StateDenied      = "denied"      // key, signature, token or policy
	StateMissing     = "missing"     // no such bucket
	StateRegion      = "region"      // the bucket is elsewhere
	StateClock       = "clock"       // this machine's clock and the store's differ
	StateFull        = "full"        // no room, or past a quota
	StateSlow        = "slow"        // it asks for fewer requests
	StateUnreachable = "unreachable" // no connection, no answer, or an answer that is no S3's
	StateDamaged     = "damaged"     // bytes changed on the way in
	StateUnfit       = "unfit"       // it lacks what the settings require
	StateFailing     = "failing"     // anything else: the store's own words say what
)

// advice says what is wrong and what to do.
func advice(state string) string {
	switch state {
	case StateDenied:
		return "the store refuses access: check the access key, its secret and what its policy allows"
	case StateMissing:
		return "the bucket does not exist: create it, or correct its name"
	case StateRegion:
		return "the bucket is in another region or at another endpoint: set region= in the archive's URL"
	case StateClock:
		return "this machine's clock is wrong: set it, and keep it by NTP"
	case StateFull:
		return "the store is full: make room or raise its quota"
	case StateSlow:
		return "the store asks for fewer requests: it is asked again; if it stays, allow fewer connections"
	case StateUnreachable:
		return "the store does not answer: check endpoint, network and certificate"
	case StateDamaged:
		return "bytes changed on the way to the store: look for bad memory, disks or proxies if it happens again"
	case StateUnfit:
		return "the store lacks what is required of it"
	}
	return "the store fails"
}

// codeState sorts the codes that S3 servers answer with.
func codeState(code string) string {
	switch code {
	case "AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "Forbidden", "InvalidAccessKeyId",
		"InvalidSecurity", "InvalidToken", "NotSignedUp", "SignatureDoesNotMatch", "TokenRefreshRequired",
		"XAdminUserNotFound":
		return StateDenied
	case "NoSuchBucket":
		return StateMissing
	case "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "IncorrectEndpoint", "PermanentRedirect",
		"TemporaryRedirect":
		return StateRegion
	case "RequestTimeTooSkewed", "RequestExpired":
		return StateClock
	case "InsufficientCapacity", "InsufficientStorage", "NoSpace", "NoSpaceLeft", "QuotaExceeded",
		"XMinioAdminBucketQuotaExceeded", "XMinioStorageFull":
		return StateFull
	case "BandwidthLimitExceeded", "RequestLimitExceeded", "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling",
		"ThrottlingException", "TooManyRequests", "TooManyRequestsException":
		return StateSlow
	case "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "ContentSHA256Mismatch":
		return StateDamaged
	case "IncompleteBody", "RequestTimeout", "ServiceUnavailable":
		return StateUnreachable
	}
	return ""
}

// statusState is for answers whose code says nothing, as to HEAD.
func statusState(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return StateDenied
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return StateRegion
	case http.StatusInsufficientStorage:
		return StateFull
	case http.StatusTooManyRequests:
		return StateSlow
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return StateUnreachable
	}
	return ""
}

// stateError is an error that says how a store fares. Its text begins with that, and with what to do: who shows it may
// cut it off, and the SDK's words are long.
type stateError struct {
	state string
	kind  error // what callers tell it by
	err   error
}

func (e *stateError) Error() string {
	return e.state + ": " + adviceFor(e.state, e.err) + ": " + told(e.err)
}
func (e *stateError) Unwrap() []error { return []error{e.kind, e.err} }

// sourceError is of what was to be put, not of the store.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// StateOf tells from what a store returned, nil too, how it fares. It is empty where that says nothing about the
// store: the caller went away, asked nonsense, or its own bytes could not be read.
func StateOf(err error) string {
	if e, ok := errors.AsType[*stateError](err); ok {
		return e.state
	}
	_, source := errors.AsType[sourceError](err)
	switch {
	case err == nil, errors.Is(err, media.ErrNotFound), errors.Is(err, media.ErrExists),
		errors.Is(err, media.ErrTooLarge):
		return StateOK
	case source, errors.Is(err, media.ErrBadName), errors.Is(err, media.ErrInvalid), callerLeft(err):
		return ""
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return StateFull
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return StateDenied
	case errors.Is(err, io.ErrUnexpectedEOF):
		return StateOK
	case errors.Is(err, errBadChecksum):
		return StateDamaged
	}
	return StateFailing
}

// classify tells from a failed request how the store fares.
func classify(err error) string {
	status, code := reply(err)
	if state := codeState(code); state != "" {
		return state
	}
	if state := statusState(status); state != "" {
		return state
	}
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return StateDenied
	}
	_, network := errors.AsType[net.Error](err)
	_, unsent := errors.AsType[*smithyhttp.RequestSendError](err)
	switch {
	case errors.Is(err, errBadChecksum):
		return StateDamaged
	case errors.Is(err, errUnfit):
		return StateUnfit
	case status == 0 && (network || unsent || errors.Is(err, io.ErrUnexpectedEOF)):
		return StateUnreachable
	case status == 0 && strings.Contains(err.Error(), "get identity"): // the SDK has no type for it
		return StateDenied
	}
	return StateFailing
}

// callerLeft says that a context of the caller's ended. A connection that times out calls itself an exceeded deadline
// too.
func callerLeft(err error) bool {
	if _, network := errors.AsType[*net.OpError](err); network {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
