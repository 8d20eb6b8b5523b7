package media

import "errors"

// Sentinels that cross packages. Each server maps them to its own terms in one table: an HTTP status, an RTMP status
// object.
var (
	ErrBadName      = errors.New("bad name")                // a publisher, stream or recording name out of form
	ErrInvalid      = errors.New("invalid")                 // a value that breaks a rule; the text says which
	ErrNotFound     = errors.New("not found")               // there is no such thing, and maybe never was
	ErrGone         = errors.New("deleted")                 // it was deleted on purpose
	ErrExists       = errors.New("already exists")          // creation of what is there
	ErrConflict     = errors.New("conflict")                // the state of the thing forbids the act
	ErrPrecondition = errors.New("changed meanwhile")       // it is not at the revision that the change was made for
	ErrDenied       = errors.New("denied")                  // wrong or missing key or token
	ErrTakenOver    = errors.New("taken over")              // the same stream was published again; this one must stop
	ErrFenced       = errors.New("lease lost")              // another node owns the stream
	ErrUnsupported  = errors.New("unsupported")             // a codec or feature that we do not take; the text says which
	ErrTooLarge     = errors.New("too large")               // input past a stated limit
	ErrLimit        = errors.New("limit reached")           // past what the publisher is allowed; the text says which
	ErrUnavailable  = errors.New("temporarily unavailable") // a service we need is away; try again
	ErrFull         = errors.New("recording volume full")   // comes with ErrUnavailable
	ErrCorrupt      = errors.New("corrupt")                 // stored bytes that do not parse, and are no torn tail
)
