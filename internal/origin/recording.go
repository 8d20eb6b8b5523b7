package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// recording is what the handler keeps of one recording: a show of this process, or one read from storage.
type recording struct {
	ref
	show     Show   // nil if stored
	manifest []byte // of a stored one, to see whether it changed
	tag      string // the manifest's, where storage has tags
	read     time.Time
	cache    *hls.Cache
	// source is the recording whose files have a clip's media; empty is its own.
	source media.RecordingID

	mu struct {
		sync.Mutex
		version *version
		inits   map[initKey][]byte
	}
}

type initKey struct {
	take  int
	track string
}

func (h *Handler) newRecording(r ref, show Show) *recording {
	rec := &recording{ref: r, show: show, cache: hls.NewCache(&h.compressor)}
	rec.mu.inits = make(map[initKey][]byte)
	return rec
}

// initSections gives a copy of those that were read.
func (rec *recording) initSections() map[initKey][]byte {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return maps.Clone(rec.mu.inits)
}

// now gives the newest version, nil if there is none yet, and the channel that tells of a newer one, nil if stored.
// The lock makes versions come in the show's order, so that no answer goes back behind an earlier one. Lock order: mu,
// then what the show locks.
func (rec *recording) now() (*version, <-chan struct{}) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.show == nil {
		return rec.mu.version, nil
	}
	snap, changed := rec.show.Snapshot()
	if snap != nil && (rec.mu.version == nil || rec.mu.version.snap != snap) {
		rec.mu.version = newVersion(snap, rec.cache)
	}
	return rec.mu.version, changed
}

// find gives a recording: a show of this process if it is one, else what storage has.
func (h *Handler) find(ctx context.Context, r ref) (*recording, error) {
	if h.live != nil {
		show, ok := h.live.Show(r.path, r.id)
		if rec := h.keepShow(r, show, ok); rec != nil {
			return rec, h.checkGone(ctx, rec)
		}
	}
	return h.stored.get(ctx, r)
}

// keepShow keeps what belongs to a show for as long as Live has it.
func (h *Handler) keepShow(r ref, show Show, ok bool) *recording {
	h.mu.Lock()
	rec := h.mu.shows[r]
	if !ok {
		delete(h.mu.shows, r)
		h.mu.Unlock()
		if rec != nil { // what was read before the show came is behind what it was served with
			h.stored.expire(r)
		}
		return nil
	}
	if rec != nil && rec.show == show {
		h.mu.Unlock()
		return rec
	}
	rec = h.newRecording(r, show)
	h.mu.shows[r] = rec
	others := make([]*recording, 0, len(h.mu.shows))
	for _, other := range h.mu.shows {
		others = append(others, other)
	}
	h.mu.Unlock()
	h.sweep(others)
	return rec
}

// sweep forgets the shows that Live no longer has: nobody may ask for them again. It asks without holding mu.
func (h *Handler) sweep(recs []*recording) {
	for _, rec := range recs {
		show, ok := h.live.Show(rec.path, rec.id)
		if ok && show == rec.show {
			continue
		}
		h.mu.Lock()
		if h.mu.shows[rec.ref] == rec {
			delete(h.mu.shows, rec.ref)
		}
		h.mu.Unlock()
		h.stored.expire(rec.ref)
	}
}

// checkGone says whether a show that ended, and is served from memory still, was deleted meanwhile.
func (h *Handler) checkGone(ctx context.Context, rec *recording) error {
	if h.cfg.Gone == nil {
		return nil
	}
	v, _ := rec.now()
	if v == nil || v.snap.State.Growing() {
		return nil
	}
	// Trouble with the lookup does not stop what can be served.
	if gone, err := h.gone.get(ctx, rec.ref); err == nil && gone {
		return fmt.Errorf("%s/%s: %w", rec.path, rec.id, media.ErrGone)
	}
	return nil
}

func (h *Handler) isGone(ctx context.Context, r ref, _, _ bool) fetched[bool] {
	gone, err := h.cfg.Gone(ctx, r.path, r.id)
	return fetched[bool]{value: gone, err: err, cost: smallCost, ttl: h.cfg.Revalidate}
}

// load reads a recording from storage, or looks whether the one known has changed.
func (h *Handler) load(ctx context.Context, r ref, old *recording, had bool) fetched[*recording] {
	rec, err := h.readBounded(ctx, r, old, had)
	missing := errors.Is(err, media.ErrNotFound)
	if h.cfg.Gone != nil && (missing || err == nil) {
		if gone, goneErr := h.cfg.Gone(ctx, r.path, r.id); goneErr == nil && gone {
			rec, err = nil, fmt.Errorf("%s/%s: %w", r.path, r.id, media.ErrGone)
		}
	}
	switch {
	case err == nil:
		h.metrics.loads.WithLabelValues("ok").Inc()
		return fetched[*recording]{value: rec, cost: rec.cost(), ttl: h.believe(rec)}
	case missing || errors.Is(err, media.ErrGone):
		h.metrics.loads.WithLabelValues("missing").Inc()
		return fetched[*recording]{err: err, cost: smallCost, ttl: time.Second}
	}
	h.metrics.loads.WithLabelValues("error").Inc()
	h.logger.Warn("recording not readable",
		"publisher", r.path.Publisher, "stream", r.path.Stream, "recording", r.id, "err", err)
	if had {
		// What was read before still holds: a recording changes only to be archived or deleted.
		return fetched[*recording]{value: old, cost: old.cost(), ttl: h.cfg.Revalidate}
	}
	return fetched[*recording]{err: err, cost: smallCost, ttl: time.Second}
}

// believe is how long a stored recording is not looked at again.
func (h *Handler) believe(rec *recording) time.Duration {
	if rec.mu.version.snap.State == media.Archived {
		return 15 * h.cfg.Revalidate
	}
	return h.cfg.Revalidate
}

// readBounded is read in bounded time. Of a store each file has the time that a whole recording of a volume has, for
// each costs a round trip, and all of them together may take Config.LoadTimeout.
func (h *Handler) readBounded(ctx context.Context, r ref, old *recording, had bool) (*recording, error) {
	if h.remote() {
		return h.read(ctx, r, old, had)
	}
	return reading(ctx, h.readings, func(ctx context.Context) (*recording, error) {
		return h.read(ctx, r, old, had)
	}, nil)
}

func (h *Handler) read(ctx context.Context, r ref, old *recording, had bool) (*recording, error) {
	begun := time.Now()
	known := old
	if had && old.mu.version.snap.State.Growing() {
		known = nil
	}
	manifest, tag, err := h.readManifest(ctx, r, known)
	if err != nil {
		return nil, err
	}
	if had && bytes.Equal(manifest, old.manifest) && !old.mu.version.snap.State.Growing() {
		return old, nil
	}
	files := h.files
	if h.live == nil { // nothing grows there
		if h.remote() {
			files = newAhead(files, manifest, h.readFile)
		}
		files = &given{Files: files, name: reclog.ManifestName(r.path, r.id), manifest: manifest}
	}
	stored, err := reclog.Load(ctx, files, r.path, r.id)
	if err != nil {
		return nil, err
	}
	if stored.State == media.Deleting || stored.State == media.Deleted {
		return nil, fmt.Errorf("%s/%s: %w", r.path, r.id, media.ErrGone)
	}
	snap := snapshotOf(stored)
	if err := snap.Check(); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", r.path, r.id, err)
	}
	rec := h.newRecording(r, nil)
	rec.manifest, rec.tag, rec.read, rec.source = manifest, tag, begun, stored.Source
	if had && snap.State != media.Archived && snap.Extends(old.mu.version.snap) {
		// One that another process writes: what was listed stays as it is, and costs nothing again.
		rec.cache, rec.mu.inits = old.cache, old.initSections()
	}
	rec.mu.version = newVersion(snap, rec.cache)
	return rec, nil
}

// snapshotOf gives the snapshot of a stored recording: all its segments, listed whole.
func snapshotOf(rec *reclog.Recording) *hls.Snapshot {
	renditions := make([]hls.Rendition, len(rec.Tracks))
	for i := range rec.Tracks {
		renditions[i] = hls.Rendition{Name: rec.Tracks[i].Name, Segments: rec.Tracks[i].Segments}
	}
	snap := hls.Stored(rec.State, rec.Constants, rec.Settings.DVRWindow.D(), rec.Takes, renditions)
	snap.Metadata, snap.First = rec.Metadata, rec.WindowFrom
	snap.Declare(&rec.Settings, rec.Captions)
	return snap
}

// What a stored recording takes in memory: a segment, a random access point, and the text of either in a playlist,
// plain and compressed, with the mark of its place there.
const (
	segmentCost = 200
	iframeCost  = 16
	listedCost  = 112 + 48 + 48
)

// minClipBytes is what clips of the shortest recording may take.
const minClipBytes = 64 << 10

// cost is about what a stored recording takes in memory with its playlists, a sliding one, a whole one and clips for
// each rendition, sliding and whole ones of I-frames and subtitles, and its date ranges.
func (rec *recording) cost() int64 {
	cost := int64(smallCost + len(rec.manifest) + minClipBytes)
	snap := rec.mu.version.snap
	for i := range snap.Renditions {
		segments := snap.Renditions[i].Segments
		cost += (segmentCost + 3*listedCost) * int64(len(segments))
		if i == 0 && snap.HasSubtitles() {
			cost += 2 * listedCost * int64(len(segments))
		}
		for j := range segments {
			cost += (iframeCost + 2*listedCost) * int64(len(segments[j].IFrames))
		}
	}
	for i := range snap.Metadata {
		cost += 512 + int64(len(snap.Metadata[i].Payload))
	}
	return cost
}
