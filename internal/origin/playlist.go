package origin

import (
	"context"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// multivariant answers for a stream or a recording, or for a clip of one.
func (x *exchange) multivariant(t target) error {
	clip, err := hls.ParseClip(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
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
	w := want{clip: clip}
	got, err := x.h.await(x.r.Context(), t.ref, w.resolve)
	if err == nil {
		err = w.find(got.version)
	}
	if err != nil {
		return err
	}
	key := bodyKey{list: hls.Playlist{Rendition: -1, Kind: hls.Whole, Query: w.extent.Clip.Query()}}
	base, cache := "", got.plain
	if t.kind == kindStream {
		// Another show may begin at any moment.
		key.list.Kind, cache = hls.Sliding, maxAge(1)
		base = string(t.id) + "/"
		if got.snap.State.Growing() && clip == (hls.Clip{}) {
			base += "live/"
		}
	}
	switch {
	case got.released:
		cache = "no-store"
	case clip.Relative() && got.snap.State.Growing():
		cache = maxAge(1) // soon it is another clip
	}
	body := x.h.body(got.version, key, func() *hls.Body {
		return hls.NewBody(hls.AppendClip(nil, got.snap, base, w.extent), &x.h.compressor)
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

// playlist answers for one rendition, or the subtitles, obeying delivery directives.
func (x *exchange) playlist(t target) error {
	x.h.watched(t.ref)
	clip, err := hls.ParseClip(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	if clip != (hls.Clip{}) && t.list == hls.Sliding {
		return fmt.Errorf("%w: start and end are not for a playlist that slides: ask the recording's", media.ErrInvalid)
	}
	w := want{clip: clip, media: true}
	w.directives, w.badDirectives = hls.ParseDirectives(x.r.URL.RawQuery)
	got, err := x.h.await(x.r.Context(), t.ref, func(v *version) (hls.Decision, error) { return w.judge(v, &t) })
	if err == nil {
		err = w.find(got.version)
	}
	if err != nil {
		return err
	}
	rendition, form, err := t.playlist(got.version)
	if err != nil {
		return err
	}
	w.list = w.extent.Playlist(rendition, t.list, form)
	key := bodyKey{list: w.list, skip: w.directives.Skip}
	if key.skip != hls.SkipNone && !hls.Skippable(got.snap, w.list, got.cache) {
		key.skip = hls.SkipNone
	}
	body := x.h.body(got.version, key, func() *hls.Body { return hls.Render(got.snap, w.list, key.skip, got.cache) })
	return x.sendPlaylist(body, w.cache(got))
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
