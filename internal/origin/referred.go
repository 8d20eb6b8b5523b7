package origin

import (
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// file is the name in Files of the file that has the media of a URL's take and track: of a clip that of its source, as
// long as it has none of its own.
func (rec *recording) file(t target) string {
	return reclog.TrackName(t.path, rec.mediaID(), t.take, t.track)
}

// mediaID names the recording whose track files have the media.
func (rec *recording) mediaID() media.RecordingID {
	if rec.source != "" {
		return rec.source
	}
	return rec.id
}

// media answers for media. What is not there is looked for again where a clip may have got media of its own since its
// index was read, and its source has gone: the bytes are the same.
func (x *exchange) media(t target, serve func(target) error) error {
	err := x.late(t, serve)
	if !errors.Is(err, media.ErrNotFound) || !x.reread(t) {
		return err
	}
	return x.late(t, serve)
}

// reread has a clip that refers to its source's media read anew; false if it does not.
func (x *exchange) reread(t target) bool {
	rec, ok := x.h.stored.peek(t.ref)
	if !ok || rec == nil || rec.source == "" {
		return false
	}
	x.h.stored.expire(t.ref)
	return true
}
