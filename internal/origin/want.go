package origin

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// want is what the query of a request for a playlist asks for, and what a version has of it.
type want struct {
	clip          hls.Clip
	media         bool // it is a media playlist, and not the multivariant one
	directives    hls.Directives
	badDirectives error

	extent hls.Extent
	list   hls.Playlist
}

// resolve holds a request until the show has begun and the clip is there.
func (w *want) resolve(v *version) (hls.Decision, error) {
	if d, err := begun(v); d != hls.Serve || err != nil {
		return d, err
	}
	if w.media && w.clip.Relative() && v.snap.State.Growing() {
		// Each reload would be another playlist.
		return hls.Serve, fmt.Errorf("%w: the live edge moves: ask index.m3u8 with this start and end, which names "+
			"playlists that stay", media.ErrInvalid)
	}
	var d hls.Decision
	var err error
	w.extent, d, err = v.snap.Resolve(w.clip)
	return d, err
}

// judge holds a request for a media playlist until a version has what it asks for.
func (w *want) judge(v *version, t *target) (hls.Decision, error) {
	if v == nil {
		return hls.Wait, nil
	}
	rendition, form, err := t.playlist(v)
	if err != nil {
		return hls.Serve, err
	}
	if v.snap.State.Growing() && !w.clip.Ends() { // directives are ignored with ENDLIST (BLK-9)
		if w.badDirectives != nil {
			return hls.Serve, w.badDirectives
		}
		list := hls.Playlist{Rendition: rendition, Kind: t.list, Form: form}
		if d := hls.Decide(v.snap, list, w.directives, v.cache); d != hls.Serve {
			return d, nil
		}
	}
	return w.resolve(v)
}

// find takes the clip out of the version that the answer is made of. It fails if the request was let go without it,
// because the publisher was lost (BLK-11).
func (w *want) find(v *version) error {
	d, err := w.resolve(v)
	if err == nil && d != hls.Serve {
		err = fmt.Errorf("%w: the publisher was lost", errTimeout)
	}
	return err
}

// cache gives the Cache-Control of a media playlist.
func (w *want) cache(got awaited) string {
	switch {
	case w.list.To > 0:
		return maxAge(60) // it stays as it is, but may be deleted
	case got.released:
		return "no-store" // it lacks what its URL asks for
	case !got.snap.State.Growing() || !w.directives.Blocking:
		return got.plain
	case w.directives.MSN < got.snap.Last(w.list, got.cache)-1:
		return got.plain // long past: this URL's answer is still changing
	}
	return got.blocking
}

// playlist gives what a media playlist's URL names in a version.
func (t *target) playlist(v *version) (rendition int, form hls.Form, err error) {
	ok := true
	switch t.kind {
	case kindSubtitles:
		form = hls.Subtitles
	case kindIFrames:
		form = hls.IFrames
		rendition, ok = v.rendition(t.track)
	default:
		rendition, ok = v.rendition(t.track)
	}
	ok = ok && v.snap.Has(hls.Playlist{Rendition: rendition, Kind: t.list, Form: form})
	if !ok {
		return 0, 0, fmt.Errorf("%w: no such track", media.ErrNotFound)
	}
	return rendition, form, nil
}
