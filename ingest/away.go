package ingest

import (
	"context"
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Away is an error of a service without which nobody can publish, with what the publisher's user reads of it in the
// encoder: the error's own text may name hosts, and is for the log.
func Away(err error, say string) error {
	return &refusal{err: err, reason: "unavailable", code: codeDenied, srt: srtOverload, say: say}
}

// blame is Away for an error that says that something is unavailable and not yet what.
func blame(err error, say string) error {
	if _, known := errors.AsType[*refusal](err); known ||
		!errors.Is(err, media.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return Away(err, say)
}
