package origin

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Errors of waiting.
var (
	errTimeout = errors.New("not there in time")       // three target durations are over (BLK-10)
	errBusy    = errors.New("too many waiting")        // the limit of waiters is reached
	errMoved   = errors.New("another node's by now")   // the show left this process while it grew
	errNotYet  = errors.New("not announced")           // it may come later: never cache that it is missing
	errLeft    = errors.New("client gone")             // nobody reads the answer
	errMethod  = errors.New("method not allowed here") // neither GET, HEAD nor OPTIONS
)

// statuses is the one table of errors and answers; the first that matches counts.
var statuses = []struct {
	err    error
	status int
	cache  string
}{
	{errLeft, 499, "no-store"}, // is not sent; for the metrics
	{errMoved, http.StatusMisdirectedRequest, "no-store"},
	{errNotYet, http.StatusNotFound, "no-store"},
	{errGrowing, http.StatusConflict, "no-store"},
	{errMethod, http.StatusMethodNotAllowed, "no-store"},
	{errTimeout, http.StatusServiceUnavailable, "public, max-age=1"},
	{errBusy, http.StatusServiceUnavailable, "no-store"},
	{media.ErrGone, http.StatusGone, "public, max-age=3600"},
	{media.ErrNotFound, http.StatusNotFound, "public, max-age=1"},
	{media.ErrBadName, http.StatusNotFound, "public, max-age=1"},
	{fs.ErrNotExist, http.StatusNotFound, "public, max-age=1"},
	{media.ErrInvalid, http.StatusBadRequest, "public, max-age=1"},
	{media.ErrDenied, http.StatusForbidden, "no-store"},
	{media.ErrUnavailable, http.StatusServiceUnavailable, "no-store"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "no-store"},
	{media.ErrCorrupt, http.StatusInternalServerError, "no-store"},
}

// statusOf gives the status and the Cache-Control of an error.
func statusOf(err error) (status int, cache string) {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status, s.cache
		}
	}
	return http.StatusInternalServerError, "no-store"
}
