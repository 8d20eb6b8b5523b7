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

// mediaID is whose media a recording has.
func (rec *recording) mediaID() media.RecordingID {
	if rec.source != "" {
		return rec.source
	}
	return rec.id
}

// media answers for media.
func (x *exchange) media(t target, serve func(target) error) error {
	err := x.late(t, serve)
	if x.referElsewhere(t, err) {
		err = x.late(t, serve)
	}
	return err
}

// referElsewhere says after an error whether to look again for media that is not there: a clip may have got some of its
// own since its index was read, and its source has gone. The bytes are the same.
func (x *exchange) referElsewhere(t target, err error) bool {
	if !errors.Is(err, media.ErrNotFound) {
		return false
	}
	rec, ok := x.h.stored.peek(t.ref)
	if !ok || rec == nil || rec.source == "" {
		return false
	}
	x.h.stored.expire(t.ref)
	return true
}
