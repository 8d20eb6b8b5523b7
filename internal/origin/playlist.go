package origin

import (
	"context"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// multivariant answers for a stream or a recording.
func (x *exchange) multivariant(t target) error {
	if t.kind == kindRecording {
		x.h.watched(t.ref)
	} else {
		wanted := x.h.wanted(t.path)
		id, err := x.h.resolve(x.r.Context(), t.path, wanted)
		if err != nil {
			return err
		}
		t.id = id
	}
	got, err := x.h.await(x.r.Context(), t.ref, begun)
	if err != nil {
		return err
	}
	key := bodyKey{list: hls.Playlist{Rendition: -1, Kind: hls.Whole}}
	base, cache := "", got.plain
	if t.kind == kindStream {
		// Another show may begin at any moment.
		key.list.Kind, cache = hls.Sliding, maxAge(1)
		base = string(t.id) + "/"
		if got.snap.State.Growing() {
			base += "live/"
		}
	}
	if got.released {
		cache = "no-store"
	}
	body := x.h.body(got.version, key, func() *hls.Body {
		return hls.NewBody(hls.AppendMultivariant(nil, got.snap, base), &x.h.compressor)
	})
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

// wanted tells the stream's source, if it has one, that somebody watches; it says whether it is about to be live.
func (h *Handler) wanted(path media.StreamPath) bool {
	return h.cfg.Wanted != nil && h.cfg.Wanted(path)
}

// watched tells the stream's source, if it has one, that somebody watches, unless it is a show of the past.
func (h *Handler) watched(r ref) {
	if h.cfg.Wanted == nil || h.live == nil {
		return
	}
	if id, ok := h.live.Current(r.path); ok && id == r.id {
		h.cfg.Wanted(r.path)
	}
}

// resolve gives the recording that a stream's URL leads to. While a source is about to bring the stream it waits:
// players hold on to a slow answer, few come back after a 404, and the latest recording would be the wrong show.
func (h *Handler) resolve(ctx context.Context, path media.StreamPath, wanted bool) (media.RecordingID, error) {
	if h.live == nil {
		return h.latest.get(ctx, path)
	}
	if id, ok := h.live.Current(path); ok {
		return id, nil
	}
	if wanted {
		id, err := h.awaitLive(ctx, path)
		if id != "" || err != nil {
			return id, err
		}
	}
	return h.latest.get(ctx, path)
}

// awaitLive waits until the stream is live, or its source gives up, which is no id.
func (h *Handler) awaitLive(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
	if !h.enter() {
		return "", errBusy
	}
	defer h.exit()
	timer := time.NewTimer(h.cfg.DemandTimeout)
	defer timer.Stop()
	const often = 50 * time.Millisecond
	poll := time.NewTicker(often) // a source comes once in a while, and Live tells nobody
	defer poll.Stop()
	for h.wanted(path) {
		select {
		case <-poll.C:
		case <-timer.C:
			h.metrics.waits.WithLabelValues("timeout").Inc()
			return "", errTimeout
		case <-ctx.Done():
			h.metrics.waits.WithLabelValues("left").Inc()
			return "", errLeft
		}
		if id, ok := h.live.Current(path); ok {
			h.metrics.waits.WithLabelValues("served").Inc()
			return id, nil
		}
	}
	return "", nil
}

// playlist answers for one rendition, obeying delivery directives.
func (x *exchange) playlist(t target, kind hls.Kind) error {
	x.h.watched(t.ref)
	directives, badDirectives := hls.ParseDirectives(x.r.URL.RawQuery)
	list := hls.Playlist{Kind: kind}
	got, err := x.h.await(x.r.Context(), t.ref, func(v *version) (hls.Decision, error) {
		if v == nil {
			return hls.Wait, nil
		}
		i, ok := v.rendition(t.track)
		if !ok {
			return hls.Serve, fmt.Errorf("%w: no such track", media.ErrNotFound)
		}
		list.Rendition = i
		if badDirectives != nil && v.snap.State.Growing() { // they are ignored with ENDLIST (BLK-9)
			return hls.Serve, badDirectives
		}
		if d := hls.Decide(v.snap, list, directives, v.cache); d != hls.Serve {
			return d, nil
		}
		return begun(v)
	})
	if err != nil {
		return err
	}
	key := bodyKey{list: list, skip: directives.Skip}
	if key.skip != hls.SkipNone && !hls.Skippable(got.snap, list, got.cache) {
		key.skip = hls.SkipNone
	}
	body := x.h.body(got.version, key, func() *hls.Body { return hls.Render(got.snap, list, key.skip, got.cache) })
	return x.sendPlaylist(body, playlistCache(got, list, directives))
}

// playlistCache gives the Cache-Control of a media playlist.
func playlistCache(got awaited, list hls.Playlist, d hls.Directives) string {
	switch {
	case got.released:
		return "no-store" // it lacks what its URL asks for
	case !got.snap.State.Growing() || !d.Blocking:
		return got.plain
	case d.MSN < got.snap.Last(list, got.cache)-1:
		return got.plain // long past: this URL's answer is still changing
	}
	return got.blocking
}

// body renders a playlist of a version, once.
func (h *Handler) body(v *version, key bodyKey, render func() *hls.Body) *lazyBody {
	b := v.cached(key)
	b.once.Do(func() {
		h.metrics.renders.Inc()
		b.body = render()
		b.size = textLength(b.body.Plain())
		if key.clip() {
			v.keepClip(key, b.size)
		}
	})
	return b
}

// gzip compresses a body, once.
func (h *Handler) gzip(b *lazyBody) [][]byte {
	b.packed.Do(h.metrics.packs.Inc)
	return b.body.Gzip()
}
