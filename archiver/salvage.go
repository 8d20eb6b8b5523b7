package archiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// rescue is what became of a recording whose local copy is gone.
type rescue struct {
	saved  *media.Recording // its end, duration and bytes; nil: nothing was of use
	notice string
}

// salvage archives what was uploaded of a recording while it grew, without the cluster's storage.
func (t *target) salvage(ctx context.Context) error {
	start := time.Now()
	data, err := t.objects.ReadFile(ctx, t.growingKey())
	if errors.Is(err, media.ErrNotFound) {
		if err := t.checkArchive(ctx, nil); err == nil { // it was salvaged, and the catalog not told
			t.rescue = &rescue{saved: &media.Recording{}, notice: "the cluster's copy was lost: archived what had been uploaded"}
			return t.tidy(ctx)
		} else if !errors.Is(err, media.ErrNotFound) {
			return err
		}
		return t.abandon(ctx)
	}
	if err != nil {
		return err
	}
	doc, err := parseGrowing(data)
	if err != nil {
		return err
	}
	if doc.Manifest.ID != t.id || doc.Manifest.Path() != t.path {
		return fmt.Errorf("%s: %w: it is of %s/%s", growingName, media.ErrCorrupt, doc.Manifest.Path(), doc.Manifest.ID)
	}
	s := &salvaging{target: t, doc: doc, sizes: make(map[string]int64), uploads: make(map[string]*media.OpenUpload)}
	if err := s.find(ctx); err != nil {
		return err
	}
	saved, err := reclog.Salvage(ctx, &doc.Manifest, s, func(take int, track string) int64 {
		return s.sizes[reclog.TrackName(t.path, t.id, take, track)]
	})
	if err != nil {
		return err
	}
	if len(saved.Manifest.Takes) == 0 {
		return t.abandon(ctx)
	}
	if err := s.store(ctx, saved); err != nil {
		return err
	}
	if err := t.tidy(ctx); err != nil {
		return err
	}
	t.metrics.salvaged.Inc()
	t.rescue = &rescue{notice: t.lost(saved), saved: &media.Recording{
		EndedAt: saved.Manifest.EndedAt, Duration: saved.Until.Sub(saved.Manifest.StartedAt), Bytes: s.bytes(saved),
	}}
	t.logger.Error("recording was lost by the cluster: archived what had been uploaded", "until", saved.Until,
		"damage", len(saved.Manifest.Damage), "dur", time.Since(start))
	return nil
}

// bytes is what the archive has of the recording's media.
func (s *salvaging) bytes(saved *reclog.Salvaged) int64 {
	var sum int64
	for _, take := range saved.Manifest.Takes {
		for _, track := range take.Tracks {
			sum += s.sizes[reclog.TrackName(s.path, s.id, take.Number, track.Name)]
		}
	}
	return sum
}

// lost tells what is missing.
func (t *target) lost(saved *reclog.Salvaged) string {
	text := fmt.Sprintf("the cluster's copy was lost: archived what had been uploaded, up to %s",
		saved.Until.Format(time.RFC3339))
	if missing := t.claim.Recording.EndedAt.Sub(saved.Until); missing > time.Second {
		text += fmt.Sprintf("; the last %v are missing", missing.Round(time.Second))
	}
	if n := len(saved.Manifest.Damage); n > 0 {
		text += fmt.Sprintf("; media is missing in %d places", n)
	}
	return text
}

// abandon forgets uploads that nothing can be made of.
func (t *target) abandon(ctx context.Context) error {
	if err := t.forgetAll(ctx); err != nil {
		return err
	}
	if _, err := t.deleteObjects(ctx, ""); err != nil {
		return err
	}
	t.logger.Error("recording is lost: the cluster's copy is gone, and what was uploaded shows no segment")
	t.rescue = &rescue{notice: "the cluster's copy was lost before a segment of it was uploaded"}
	return nil
}

// salvaging is one salvage under way. As reclog.Files it gives the files of lines as they were described.
type salvaging struct {
	*target
	doc     *growing
	sizes   map[string]int64 // of the tracks' files in the archive, completed or not
	uploads map[string]*media.OpenUpload
}

// find asks the archive what it has of each track's file.
func (s *salvaging) find(ctx context.Context) error {
	noted, err := s.noted(ctx)
	if err != nil {
		return err
	}
	for _, take := range s.doc.Manifest.Takes {
		for _, track := range take.Tracks {
			key := reclog.TrackName(s.path, s.id, take.Number, track.Name)
			have, err := s.objects.Stat(ctx, key)
			if err == nil {
				s.sizes[key] = have.Size
				continue
			}
			if !errors.Is(err, media.ErrNotFound) {
				return err
			}
			for _, id := range noted[key] {
				u, err := s.objects.FindUpload(ctx, key, id, s.doc.partSize(key[len(s.dir()):]))
				if errors.Is(err, media.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				if size := u.Size(); size > s.sizes[key] {
					s.sizes[key], s.uploads[key] = size, u
				}
			}
		}
	}
	return nil
}

// ReadFile gives a file of lines.
func (s *salvaging) ReadFile(ctx context.Context, name string) ([]byte, error) {
	for _, l := range s.doc.Lines {
		if s.dir()+l.Object != name {
			continue
		}
		if l.Base == 0 {
			return []byte(l.Tail), nil
		}
		data, err := s.objects.ReadFile(ctx, name)
		if err != nil {
			return nil, err
		}
		if int64(len(data)) < l.Base {
			return data, nil // an older one: its lines are those that are left
		}
		return append(data[:l.Base:l.Base], l.Tail...), nil
	}
	return s.objects.ReadFile(ctx, name)
}

// OpenRange is here for reclog.Files: nobody reads media to salvage it.
func (s *salvaging) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	return s.objects.OpenRange(ctx, name, offset, size)
}

// store completes the uploads and stores what was made of the rest, the manifest last. It may be cut off at any point:
// until the manifest is there, the description has all that it needs to be done again.
func (s *salvaging) store(ctx context.Context, saved *reclog.Salvaged) error {
	if !s.doc.Whole {
		if err := s.describeWhole(ctx); err != nil {
			return err
		}
	}
	for _, take := range saved.Manifest.Takes {
		for _, track := range take.Tracks {
			key := reclog.TrackName(s.path, s.id, take.Number, track.Name)
			if u := s.uploads[key]; u != nil {
				if _, err := s.objects.CompleteUpload(ctx, u, true); err != nil {
					return err
				}
				s.metrics.stored.Inc()
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(saved.Files)) {
		if err := s.storeText(ctx, file{key: name}, saved.Files[name]); err != nil {
			return err
		}
	}
	text, err := json.Marshal(saved.Manifest)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	files := maps.Clone(saved.Files)
	files[s.manifestKey()] = text
	rec, err := reclog.Load(ctx, texted{files}, s.path, s.id)
	if err != nil {
		return err
	}
	manifest, playlists, err := texts(rec)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(playlists)) {
		if err := s.storeText(ctx, file{key: s.dir() + name}, playlists[name]); err != nil {
			return err
		}
	}
	if err := s.storeEvents(ctx, nil); err != nil {
		return err
	}
	return s.storeText(ctx, file{key: s.manifestKey()}, manifest)
}

// describeWhole stores the description anew with all files of lines in it, whose objects are about to be replaced.
func (s *salvaging) describeWhole(ctx context.Context) error {
	whole := *s.doc
	whole.Lines, whole.Whole = nil, true
	add := func(name string) error {
		text, err := s.ReadFile(ctx, name)
		if errors.Is(err, media.ErrNotFound) {
			return nil
		}
		whole.Lines = append(whole.Lines, growingLines{Object: name[len(s.dir()):], Tail: string(text)})
		return err
	}
	for _, take := range s.doc.Manifest.Takes {
		for _, track := range take.Tracks {
			if err := add(reclog.IndexName(s.path, s.id, take.Number, track.Name)); err != nil {
				return err
			}
		}
		if err := add(reclog.MetadataName(s.path, s.id, take.Number)); err != nil {
			return err
		}
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return fmt.Errorf("encode %s: %w", growingName, err)
	}
	return s.storeText(ctx, file{key: s.growingKey()}, append(text, '\n'))
}

// texted is a storage of files in memory.
type texted struct{ files map[string][]byte }

func (t texted) ReadFile(_ context.Context, name string) ([]byte, error) {
	data, ok := t.files[name]
	if !ok {
		return nil, fmt.Errorf("file %s: %w", name, media.ErrNotFound)
	}
	return data, nil
}

func (t texted) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	data, err := t.ReadFile(ctx, name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(data), offset, size)), nil
}
