package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Ends of a connection that are no errors of the packager or the services.
var (
	errNoKey  = errors.New("no stream key")
	errPlay   = errors.New("playback over RTMP or SRT is not served")
	errKicked = errors.New("closed by the administrator")
	// errKeyRevoked ends a session whose key was taken from the stream.
	errKeyRevoked = errors.New("the stream key was revoked")
	errClosing    = errors.New("server is stopping")
	// errDraining ends a connection since the server takes no more publishers.
	errDraining = errors.New("this server is stopping: publish to another")
	errSilent   = errors.New("no media came in time")
	errTwice    = errors.New("a second publish on one connection")
)

// refusal is why a publish was not accepted or does not go on.
type refusal struct {
	err    error
	reason string // for logs and the metric: one of a few
	code   string // NetStream status code
	srt    int    // SRT rejection code, which is all that an SRT client is told
	say    string // what the publisher's user reads in the encoder
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// OBS shows the description of Denied and Rejected only; with BadName it waits without a word.
const (
	reasonInternal = "internal"

	codeDenied      = "NetStream.Publish.Denied"
	codeUnpublished = "NetStream.Unpublish.Success"
	codePlayFailed  = "NetStream.Play.Failed"
)

// SRT rejection codes: those of the protocol (srt.h) and of its access control guidelines (access_control.h).
const (
	srtBadSecret    = 1010
	srtUnsecure     = 1011
	srtBadRequest   = 1400
	srtUnauthorized = 1401
	srtOverload     = 1402
	srtForbidden    = 1403
	srtNotFound     = 1404
	srtBadMode      = 1405
	srtUnacceptable = 1406
	srtConflict     = 1409
	srtInternal     = 1500
	srtDown         = 1503
)

// refuse is the one table from errors to what clients are told.
func refuse(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	const wrongKey = "wrong stream key: copy the key of your stream into the encoder again"
	for _, row := range []struct {
		err    error
		reason string
		srt    int
		say    string
	}{
		{errNoKey, "no key", srtUnauthorized,
			"no stream key: publish to rtmp://HOST/live/KEY or rtmp://HOST/PUBLISHER/STREAM?key=KEY"},
		{errPlay, "play", srtBadMode,
			"playback over RTMP is not served: open http://HOST/PUBLISHER/STREAM/index.m3u8"},
		{errStreamID, "stream id", srtBadRequest, ""},
		{errMode, "mode", srtBadMode, ""},
		{errSRTPlain, "encryption", srtUnsecure, ""},
		{errSRTEncrypted, "encryption", srtUnsecure, ""},
		{errSRTPassphrase, "passphrase", srtBadSecret, ""},
		{errKicked, "kicked", srtForbidden, "the administrator closed this connection"},
		{errCrowded, "crowded", srtOverload, ""},
		{errClosing, "stopping", srtDown, "the server is stopping: connect again"},
		{errDraining, "stopping", srtDown, "this server is stopping: publish to another"},
		{errReconnect, "reconnect", srtDown, "the server asked to connect again"},
		{errSilent, "silent", srtUnacceptable, "no audio or video came in time"},
		{errTwice, "twice", srtConflict, "this connection publishes already: use one connection for each stream"},
		{errKeyRevoked, "key revoked", srtUnauthorized,
			"this stream key was revoked: copy a new key of your stream into the encoder"},
		{media.ErrKeyExpired, "key expired", srtUnauthorized,
			"this stream key has expired: copy a new key of your stream into the encoder"},
		{media.ErrDenied, "wrong key", srtUnauthorized, wrongKey},
		{media.ErrNotFound, "wrong key", srtNotFound, wrongKey},
		{media.ErrGone, "wrong key", srtNotFound, wrongKey},
		{media.ErrBadName, "bad name", srtBadRequest, ""},
		{media.ErrUnsupported, "unsupported", srtUnacceptable, ""},
		{media.ErrLimit, "limit", srtForbidden, ""},
		{media.ErrTooLarge, "too large", srtUnacceptable, ""},
		{media.ErrInvalid, "invalid", srtBadRequest, ""},
		{media.ErrConflict, "conflict", srtConflict, ""},
		{media.ErrTakenOver, "taken over", srtConflict,
			"taken over: the same stream was published again from elsewhere"},
		{media.ErrFenced, "lease lost", srtConflict, "taken over: another server owns the stream now"},
		{media.ErrFull, "full", srtOverload, "the server's recording volume is full: tell its operator"},
		{media.ErrUnavailable, "unavailable", srtOverload,
			"the server cannot take streams right now: try again in a moment"},
		{context.DeadlineExceeded, "unavailable", srtOverload,
			"the server cannot take streams right now: try again in a moment"},
		{os.ErrDeadlineExceeded, "timeout", srtUnacceptable, "the encoder was silent for too long"},
		{errSourceChanged, "source changed", srtConflict, ""},
		{errSource, "source", srtDown, ""}, // the last: what it wraps may be known
	} {
		if errors.Is(err, row.err) {
			if row.say == "" {
				row.say = err.Error() // made here or in media's name rules, from checked values
			}
			code := codeDenied
			if errors.Is(row.err, errPlay) {
				code = codePlayFailed
			}
			return &refusal{err: err, reason: row.reason, code: code, srt: row.srt, say: row.say}
		}
	}
	return &refusal{
		err: err, reason: reasonInternal, code: codeDenied, srt: srtInternal,
		say: "the server has a fault: its log tells more",
	}
}

// isRefusal says that a publish ended for what the publisher sends, which is as much as a late refusal.
func isRefusal(err error) bool {
	return errors.Is(err, media.ErrUnsupported) || errors.Is(err, media.ErrTooLarge) || errors.Is(err, media.ErrLimit)
}

// logRefusal logs and counts a publish that was refused.
func (s *Server) logRefusal(logger *slog.Logger, remote string, r *refusal, asked target) {
	s.metrics.refuse(r.reason)
	attrs := []any{"reason", r.reason}
	if asked.path.Publisher != "" {
		attrs = append(attrs, "publisher", asked.path.Publisher, "stream", asked.path.Stream)
	} else {
		attrs = append(attrs, "key", redact(asked.key))
	}
	if !errors.Is(r.err, media.ErrDenied) { // it says no more than the reason, and must not repeat the key
		attrs = append(attrs, "err", r.err)
	}
	s.complain(logger, slog.LevelWarn, remote, "publish refused", attrs...)
}
