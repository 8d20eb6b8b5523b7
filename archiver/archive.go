package archiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// sealTimeout is how long a recording that ended may have a last take that is not sealed, before it counts as left
// behind by a crash and is recovered here. Sealing writes out what a stalled volume kept waiting.
const sealTimeout = time.Minute

// archive copies the recording to its archive, and then to the mirror if it has one.
func (j *job) archive(ctx context.Context) error {
	start := time.Now()
	j.grown = j.growths.take(j.id)
	targets, err := j.targets()
	if err != nil {
		return err
	}
	if !j.claim.Recording.Local {
		return targets[0].salvage(ctx)
	}
	rec, err := reclog.Load(ctx, j.local.Files(), j.path, j.id)
	if errors.Is(err, media.ErrNotFound) {
		// A catalog restored from a backup may ask for what was archived and dropped.
		archiveErr := checkAll(ctx, targets, nil)
		if archiveErr == nil {
			return targets[0].tidy(ctx)
		}
		if j.claim.Recording.Uploaded && attached(j.local) == nil {
			return targets[0].salvage(ctx)
		}
		if j.claim.Recording.ClipOf != "" && attached(j.local) == nil {
			return j.remakeClip(ctx, targets)
		}
		return fmt.Errorf("the cluster's storage: %w; %w", err, archiveErr)
	}
	if err != nil {
		return err
	}
	if rec, err = j.recover(ctx, rec); err != nil {
		return err
	}
	if rec, err = j.withSource(ctx, rec); err != nil {
		return err
	}
	j.awaitPictures(ctx, rec)
	size, err := j.storeAll(ctx, targets, rec)
	if err != nil {
		return err
	}
	if err := targets[0].tidy(ctx); err != nil {
		return err
	}
	if rec.State != media.Archived {
		j.mark(ctx)
	}
	j.logger.Info("recording archived", "archives", j.names(), "bytes", size, "dur", time.Since(start))
	return nil
}

// recover makes sure that the recording is complete on local storage. It writes there only if something is wrong: a
// full volume must not keep a recording from leaving it.
func (j *job) recover(ctx context.Context, rec *reclog.Recording) (*reclog.Recording, error) {
	switch {
	case rec.State.Growing():
		return nil, fmt.Errorf("%w: the recording on storage is %s", media.ErrConflict, rec.State)
	case rec.Recovered() && len(rec.Damage) == 0:
		return rec, nil
	case !sealedAtEnd(rec) && time.Since(rec.EndedAt) < sealTimeout:
		return nil, fmt.Errorf("%w: the last take is not sealed yet", media.ErrConflict)
	}
	rec, _, err := j.local.Reopen(ctx, j.path, j.id)
	if err != nil {
		return nil, err
	}
	if len(rec.Damage) > 0 {
		j.metrics.damaged.Inc()
		j.logger.Error("recording has damage", "places", len(rec.Damage), "err", rec.Damage[0])
	}
	return rec, nil
}

// sealedAtEnd says that nobody writes the recording any more. An earlier take that is not sealed could not be, when its
// volume failed, and nobody will seal it.
func sealedAtEnd(rec *reclog.Recording) bool {
	n := len(rec.Takes)
	return n == 0 || rec.Takes[n-1].Sealed
}

// mark sets the state on local storage, so that a catalog made anew from it knows. The archive's manifest says the
// same, so that a volume which can't be written to holds nothing up.
func (j *job) mark(ctx context.Context) {
	_, writer, err := j.local.Reopen(ctx, j.path, j.id)
	if err == nil {
		err = writer.Update(func(m *reclog.Manifest) { m.State = media.Archived })
	}
	if err != nil {
		j.logger.Warn("local manifest does not say archived", "err", err)
	}
}

// storeAll brings each target to have all of the recording, one after the other. It gives the number of bytes that each
// then has of it.
func (j *job) storeAll(ctx context.Context, targets []*target, rec *reclog.Recording) (size int64, err error) {
	pictures, err := j.local.Pictures(ctx, j.path, j.id)
	if err != nil {
		return 0, err
	}
	p := &parcel{rec: rec, sizes: make(map[string]int64), ends: j.mediaEnds(rec)}
	for _, name := range slices.Concat(pictures, rec.FileNames()) {
		if name == j.manifestKey() {
			continue
		}
		if p.sizes[name], err = j.localSize(ctx, name); err != nil {
			return 0, err
		}
		size += p.sizes[name]
	}
	if p.manifest, p.playlists, err = texts(rec); err != nil {
		return 0, err
	}
	size += int64(len(p.manifest))
	for _, text := range p.playlists {
		size += int64(len(text))
	}
	j.progress.expect(size * int64(len(targets)))
	for _, t := range targets {
		if err := t.store(ctx, p); err != nil {
			return 0, t.failed(err)
		}
	}
	return size, j.forgetElsewhere(ctx, targets)
}

// localSize gives the length of a file on the cluster's storage.
func (j *job) localSize(ctx context.Context, name string) (int64, error) {
	source, err := j.local.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	return source.Size(), source.Close()
}

// parcel is what a store is to get of a recording.
type parcel struct {
	rec *reclog.Recording
	// sizes are those of the local files but the manifest, ends those of the media that the indexes name.
	sizes, ends map[string]int64
	manifest    []byte
	playlists   map[string][]byte
}

// store brings the store to have all of the recording, the manifest last.
func (t *target) store(ctx context.Context, p *parcel) error {
	finished, err := t.objects.ReadFile(ctx, t.manifestKey())
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err
	}
	uploads, err := t.noted(ctx)
	if err != nil {
		return err
	}
	if p.rec.Source != "" {
		if err := t.checkMedia(ctx, p.rec); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.sizes)) {
		f := file{key: name, uploads: uploads[name], frozen: finished != nil}
		f.least, f.media = p.ends[name]
		if err := t.storeFile(ctx, f); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.playlists)) {
		key := t.dir() + name
		if err := t.storeText(ctx, file{key: key, uploads: uploads[key]}, p.playlists[name]); err != nil {
			return err
		}
	}
	if p.rec.Source == "" {
		if err := t.storeSamples(ctx, p.rec, uploads, t.localSamples(p.rec)); err != nil {
			return err
		}
	}
	if err := t.storeEvents(ctx, uploads[t.dir()+reclog.EventsFile]); err != nil {
		return err
	}
	if bytes.Equal(finished, p.manifest) {
		t.progress.present(int64(len(p.manifest)))
		return nil
	}
	return t.storeText(ctx, file{key: t.manifestKey(), uploads: uploads[t.manifestKey()]}, p.manifest)
}

// mediaEnds gives, for each track's file, where the media that the indexes name ends.
func (j *job) mediaEnds(rec *reclog.Recording) map[string]int64 {
	ends := make(map[string]int64)
	for _, take := range rec.Takes {
		for _, track := range take.Tracks {
			ends[rec.TrackName(take.Number, track.Name)] = rec.MediaEnd(take.Number, track.Name)
		}
	}
	return ends
}

// texts gives what the archive has beside the recording's files: its manifest, which says archived, and playlists for
// any player.
func texts(rec *reclog.Recording) (manifest []byte, playlists map[string][]byte, err error) {
	m := rec.Manifest
	m.State = media.Archived
	manifest, err = json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("encode manifest: %w", err)
	}
	manifest = append(manifest, '\n')
	if _, err := reclog.ParseManifest(manifest); err != nil {
		return nil, nil, err
	}
	s := &hls.Snapshot{
		State: m.State, Constants: m.Constants, Window: m.Settings.DVRWindow.D(), Takes: m.Takes, Independent: true,
		Metadata: rec.Metadata,
	}
	s.Declare(&m.Settings, m.Captions)
	shows := false
	for _, track := range rec.Tracks {
		s.Renditions = append(s.Renditions, hls.Rendition{Name: track.Name, Segments: track.Segments})
		for i := range track.Segments {
			s.Independent = s.Independent && (track.Segments[i].Sync || track.Segments[i].Gap)
			shows = shows || !track.Segments[i].Gap
		}
	}
	if !shows {
		return manifest, nil, nil // a show without a segment plays nowhere
	}
	s.Measure()
	if err := s.Check(); err != nil {
		return nil, nil, fmt.Errorf("playlists: %w", err)
	}
	return manifest, hls.Static(s, mediaBase(rec)), nil
}

// checkAll is checkArchive of each target.
func checkAll(ctx context.Context, targets []*target, local *reclog.Recording) error {
	for _, t := range targets {
		if err := t.checkArchive(ctx, local); err != nil {
			return t.failed(err)
		}
	}
	return nil
}

// checkArchive looks, at the price of the indexes, whether the store has all of the recording; of local, if that is
// known.
func (t *target) checkArchive(ctx context.Context, local *reclog.Recording) error {
	rec, err := reclog.Load(ctx, t.objects, t.path, t.id)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if rec.State != media.Archived {
		return fmt.Errorf("archive: %w: its manifest says %s", media.ErrConflict, rec.State)
	}
	if local != nil && !slices.EqualFunc(rec.Tracks, local.Tracks, sameTrack) {
		return fmt.Errorf("archive: %w: its segments are not those of the local recording", media.ErrCorrupt)
	}
	if local != nil && !slices.EqualFunc(rec.Metadata, local.Metadata, samePiece) {
		return fmt.Errorf("archive: %w: its metadata is not that of the local recording", media.ErrCorrupt)
	}
	ends := t.mediaEnds(rec)
	for _, name := range rec.FileNames() {
		object, err := t.objects.Stat(ctx, name)
		if err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		if object.Size < ends[name] {
			return fmt.Errorf("archive: %w: object %s has %d bytes", media.ErrCorrupt, name, object.Size)
		}
	}
	if rec.Source != "" {
		return t.checkMedia(ctx, rec)
	}
	return nil
}

func sameTrack(a, b reclog.Track) bool {
	return a.Name == b.Name && slices.EqualFunc(a.Segments, b.Segments, func(a, b media.Segment) bool {
		return a.MSN == b.MSN && a.Take == b.Take && a.Offset == b.Offset && a.Size == b.Size && a.Gap == b.Gap &&
			slices.Equal(a.IFrames, b.IFrames)
	})
}

func samePiece(a, b media.Metadata) bool {
	return a.Number == b.Number && a.Take == b.Take && a.Kind == b.Kind && a.Time == b.Time && a.Date.Equal(b.Date) &&
		bytes.Equal(a.Payload, b.Payload)
}
