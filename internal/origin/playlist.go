package origin

import (
	"context"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// multivariant answers for a stream or a recording.
func (x *exchange) multivariant(t target) error {
	if t.kind == kindStream {
		id, err := x.h.resolve(x.r.Context(), t.path)
		if err != nil {
			return err
		}
		t.id = id
	}
	got, err := x.h.await(x.r.Context(), t.ref, begun)
	if err != nil {
		return err
	}
	key := bodyKey{rendition: -1, kind: hls.Whole}
	base, cache := "", got.plain
	if t.kind == kindStream {
		// Another show may begin at any moment.
		key.kind, cache = hls.Sliding, maxAge(1)
		base = string(t.id) + "/"
		if got.snap.State.Growing() {
			base += "live/"
		}
	}
	if got.released {
		cache = "no-store"
	}
	body := x.h.body(got.version, key, func() []byte { return hls.AppendMultivariant(nil, got.snap, base) })
	return x.sendPlaylist(body, cache)
}

// begun holds requests for a show until its first segments are listed.
func begun(v *version) (hls.Decision, error) {
	switch {
	case v == nil:
		return hls.Wait, nil
	case v.begun():
		return hls.Serve, nil
	case v.snap.State.Growing():
		return hls.Wait, nil
	}
	return hls.Serve, fmt.Errorf("%w: nothing was recorded", media.ErrNotFound)
}

// resolve gives the recording that a stream's URL leads to.
func (h *Handler) resolve(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
	if h.live != nil {
		if id, ok := h.live.Current(path); ok {
			return id, nil
		}
	}
	return h.latest.get(ctx, path)
}

// playlist answers for one rendition, obeying delivery directives.
func (x *exchange) playlist(t target, kind hls.Kind) error {
	directives, badDirectives := hls.ParseDirectives(x.r.URL.RawQuery)
	rendition := 0
	got, err := x.h.await(x.r.Context(), t.ref, func(v *version) (hls.Decision, error) {
		if v == nil {
			return hls.Wait, nil
		}
		i, ok := v.rendition(t.track)
		if !ok {
			return hls.Serve, fmt.Errorf("%w: no such track", media.ErrNotFound)
		}
		rendition = i
		if badDirectives != nil && v.snap.State.Growing() { // they are ignored with ENDLIST (BLK-9)
			return hls.Serve, badDirectives
		}
		if d := hls.Decide(v.snap, i, directives); d != hls.Serve {
			return d, nil
		}
		return begun(v)
	})
	if err != nil {
		return err
	}
	lines := got.rec.lines(rendition, kind)
	key := bodyKey{rendition: rendition, kind: kind, skip: directives.Skip}
	if key.skip != hls.SkipNone && (!got.snap.State.Growing() || !hls.Skippable(got.snap, rendition, kind, lines)) {
		key.skip = hls.SkipNone
	}
	body := x.h.body(got.version, key, func() []byte {
		return hls.AppendMedia(nil, got.snap, rendition, kind, key.skip, lines)
	})
	return x.sendPlaylist(body, playlistCache(got, rendition, directives))
}

// playlistCache gives the Cache-Control of a media playlist.
func playlistCache(got awaited, rendition int, d hls.Directives) string {
	switch {
	case got.released:
		return "no-store" // it lacks what its URL asks for
	case !got.snap.State.Growing() || !d.Blocking:
		return got.plain
	case d.MSN < got.snap.Renditions[rendition].Last()-1:
		return got.plain // long past: this URL's answer is still changing
	}
	return got.blocking
}

// body renders a playlist of a version, once.
func (h *Handler) body(v *version, key bodyKey, render func() []byte) *lazyBody {
	b := v.cached(key)
	b.once.Do(func() {
		h.metrics.renders.Inc()
		b.body = hls.NewBody(render(), &h.compressor)
	})
	return b
}

// gzip compresses a body, once.
func (h *Handler) gzip(b *lazyBody) []byte {
	b.packed.Do(h.metrics.packs.Inc)
	return b.body.Gzip()
}
