package archiver

import (
	"context"
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// sampling gives the samples of a recording's track in one of its takes, by their places.
type sampling func(ctx context.Context, take, track int) (*progressive.Table, error)

// localSamples finds them in the cluster's copy.
func (t *target) localSamples(rec *reclog.Recording) sampling {
	return func(ctx context.Context, take, track int) (*progressive.Table, error) {
		number := rec.Takes[take].Number
		name := rec.TrackName(number, rec.Tracks[track].Name)
		return progressive.Scan(ctx, t.local.Files(), name, number, rec.Tracks[track].Segments)
	}
}

// clipSamples finds those of a clip in the table that the archive has of its source, else in the archive's media.
func (t *target) clipSamples(clip *reclog.Recording) sampling {
	return func(ctx context.Context, take, track int) (*progressive.Table, error) {
		number, name, segments := clip.Takes[take].Number, clip.Tracks[track].Name, clip.Tracks[track].Segments
		data, err := t.objects.ReadFile(ctx, progressive.SamplesName(t.path, clip.MediaID(), number, name))
		if err == nil {
			var table *progressive.Table
			if table, err = progressive.ParseTable(data); err == nil && table.Fits(number, segments) {
				return table.Of(number, segments), nil
			}
			t.logger.Warn("sample table of the clip's source not usable", "take", number, "track", name, "err", err)
			err = nil
		}
		if err != nil && !errors.Is(err, media.ErrNotFound) {
			return nil, err
		}
		return progressive.Scan(ctx, t.objects, clip.TrackName(number, name), number, segments)
	}
}

// storeSamples puts the sample table of each track's file, so that a download from the archive finds its samples
// without a look at the media. One that the archive has is left: it follows from the track file alone. A file whose
// samples do not read is archived without: playing it needs no table.
func (t *target) storeSamples(
	ctx context.Context, rec *reclog.Recording, uploads map[string][]string, samples sampling,
) error {
	for at, take := range rec.Takes {
		for i, track := range take.Tracks {
			key := progressive.SamplesName(t.path, t.id, take.Number, track.Name)
			_, err := t.objects.Stat(ctx, key)
			if err == nil {
				continue
			}
			if !errors.Is(err, media.ErrNotFound) {
				return err
			}
			table, err := samples(ctx, at, i)
			if errors.Is(err, media.ErrCorrupt) || errors.Is(err, media.ErrTooLarge) {
				t.logger.Warn("no sample table for downloads", "take", take.Number, "track", track.Name, "err", err)
				continue
			}
			if err != nil {
				return err
			}
			data := table.Object()
			t.progress.expect(int64(len(data)))
			if err := t.storeText(ctx, file{key: key, uploads: uploads[key]}, data); err != nil {
				return err
			}
		}
	}
	return nil
}
