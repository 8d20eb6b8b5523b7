package registry

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Node is an ingest node that serves its cluster's recordings.
type Node struct {
	ID  string
	URL string // base URL for edges, without a slash at the end
}

// LostError tells a reader of events that some it has not read are gone. It is a media.ErrGone. What to do: note Tail,
// look at the state of things anew, and read on from there.
type LostError struct {
	After int64 // where the reader stood
	First int64 // the id to read after, to get the oldest event that is still there
}

func (e *LostError) Error() string {
	return fmt.Sprintf("events after %d are gone: read on after %d", e.After, e.First)
}

// Unwrap makes errors.Is(err, media.ErrGone) true.
func (e *LostError) Unwrap() error { return media.ErrGone }
