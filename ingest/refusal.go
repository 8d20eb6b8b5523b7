package ingest

import (
	"context"
	"errors"
	"os"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Ends of a connection that are no errors of the packager or the services.
var (
	errNoKey   = errors.New("no stream key")
	errPlay    = errors.New("playback over RTMP is not served")
	errKicked  = errors.New("closed by the administrator")
	errClosing = errors.New("server is stopping")
	errSilent  = errors.New("no media came in time")
	errTwice   = errors.New("a second publish on one connection")
)

// refusal is why a publish was not accepted or does not go on.
type refusal struct {
	err    error
	reason string // for logs and the metric: one of a few
	code   string // NetStream status code
	say    string // what the publisher's user reads in the encoder
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// OBS shows the description of Denied and Rejected only; with BadName it waits without a word.
const (
	reasonInternal = "internal"

	codeDenied     = "NetStream.Publish.Denied"
	codePlayFailed = "NetStream.Play.Failed"
)

// refuse is the one table from errors to what clients are told.
func refuse(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	for _, row := range []struct {
		err         error
		reason, say string
	}{
		{errNoKey, "no key", "no stream key: publish to rtmp://HOST/live/KEY or rtmp://HOST/PUBLISHER/STREAM?key=KEY"},
		{errPlay, "play", "playback over RTMP is not served: open http://HOST/PUBLISHER/STREAM/index.m3u8"},
		{errKicked, "kicked", "the administrator closed this connection"},
		{errClosing, "stopping", "the server is stopping: connect again"},
		{errSilent, "silent", "no audio or video came in time"},
		{errTwice, "twice", "this connection publishes already: use one connection for each stream"},
		{media.ErrDenied, "wrong key", "wrong stream key: copy the key of your stream into the encoder again"},
		{media.ErrNotFound, "wrong key", "wrong stream key: copy the key of your stream into the encoder again"},
		{media.ErrGone, "wrong key", "wrong stream key: copy the key of your stream into the encoder again"},
		{media.ErrBadName, "bad name", ""},
		{media.ErrUnsupported, "unsupported", ""},
		{media.ErrTooLarge, "too large", ""},
		{media.ErrInvalid, "invalid", ""},
		{media.ErrTakenOver, "taken over", "taken over: the same stream was published again from elsewhere"},
		{media.ErrFenced, "lease lost", "taken over: another server owns the stream now"},
		{media.ErrUnavailable, "unavailable", "the server cannot take streams right now: try again in a moment"},
		{context.DeadlineExceeded, "unavailable", "the server cannot take streams right now: try again in a moment"},
		{os.ErrDeadlineExceeded, "timeout", "the encoder was silent for too long"},
	} {
		if errors.Is(err, row.err) {
			if row.say == "" {
				row.say = err.Error() // made here or in media's name rules, from checked values
			}
			code := codeDenied
			if errors.Is(row.err, errPlay) {
				code = codePlayFailed
			}
			return &refusal{err: err, reason: row.reason, code: code, say: row.say}
		}
	}
	return &refusal{err: err, reason: reasonInternal, code: codeDenied, say: "the server has a fault: its log tells more"}
}
