package origin

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// subtitle answers with the subtitles of a segment (SUB-1): there are some, if only a header, for every segment of the
// first rendition, gaps too, as soon as it is listed. They are written anew for each request, since caches keep them.
func (x *exchange) subtitle(t target) error {
	_, v, err := x.lookup(t)
	if err != nil {
		return err
	}
	if v.snap.Subtitles == "" || len(v.snap.Renditions) == 0 {
		return fmt.Errorf("%w: no subtitles", media.ErrNotFound)
	}
	seg, ok := v.snap.Renditions[0].Segment(t.msn)
	switch {
	case !ok && v.snap.State.Growing() && t.msn > 0:
		return fmt.Errorf("%w: subtitles of segment %d", errNotYet, t.msn)
	case !ok || seg.Take != t.take:
		return fmt.Errorf("%w: subtitles of segment %d", media.ErrNotFound, t.msn)
	}
	t.track = media.SubtitlesName // for the tag
	text := hls.AppendSubtitles(nil, v.snap, t.msn, t.msn)
	return x.sendMedia(t, media.Track{}, &resource{size: int64(len(text)), chunks: [][]byte{text}})
}
