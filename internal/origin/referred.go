package origin

import (
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// file is the name in Files of the file that has the media of a URL's take and track: of a clip that of its source, as
// long as it has none of its own.
func (rec *recording) file(t target) string {
	id := t.id
	if rec.source != "" {
		id = rec.source
	}
	return reclog.TrackName(t.path, id, t.take, t.track)
}

// media answers for media. What is not there is looked for again where a clip may have got media of its own since its
// index was read, and its source has gone: the bytes are the same.
func (x *exchange) media(t target, serve func(target) error) error {
	err := x.late(t, serve)
	if !errors.Is(err, media.ErrNotFound) {
		return err
	}
	if rec, ok := x.h.stored.peek(t.ref); !ok || rec == nil || rec.source == "" {
		return err
	}
	x.h.stored.expire(t.ref)
	return x.late(t, serve)
}
