package playback

import "github.com/oxbow-video/oxbow/internal/media"

// The reasons of refusals: few, and the same for ever, for metrics.
const (
	ReasonMissing   = "missing"   // no token
	ReasonTooLong   = "too_long"  // longer than MaxToken
	ReasonMalformed = "malformed" // no token by its form, or its claims are not of ours
	ReasonAlgorithm = "algorithm" // not that of the key
	ReasonCritical  = "critical"  // the header has parameters that must be understood
	ReasonKey       = "key"       // no kid, an unknown or revoked one, or an expired key
	ReasonSignature = "signature" // not made with the key
	ReasonExpired   = "expired"
	ReasonNotYet    = "not_yet"
	ReasonPublisher = "publisher" // for another one
	ReasonStream    = "stream"
	ReasonRecording = "recording"
	ReasonIP        = "ip"
	ReasonOrigin    = "origin"
)

// Reasons lists every reason.
func Reasons() []string {
	return []string{
		ReasonMissing, ReasonTooLong, ReasonMalformed, ReasonAlgorithm, ReasonCritical, ReasonKey, ReasonSignature,
		ReasonExpired, ReasonNotYet, ReasonPublisher, ReasonStream, ReasonRecording, ReasonIP, ReasonOrigin,
	}
}

// RefusalError says why a viewer is not let in, in words for whoever made the token. It is a media.ErrDenied.
type RefusalError struct {
	Reason string
	Detail string
}

func (r *RefusalError) Error() string { return r.Detail }

// Unwrap makes errors.Is(err, media.ErrDenied) true.
func (*RefusalError) Unwrap() error { return media.ErrDenied }

func refuse(reason, detail string) *RefusalError {
	return &RefusalError{Reason: reason, Detail: detail}
}

// Missing refuses who brings no token.
func Missing() *RefusalError {
	return refuse(ReasonMissing, "this stream is played with a playback token only: put it in front of the path, "+
		"/t/TOKEN/publisher/stream/index.m3u8, or behind it, ?token=TOKEN")
}
