package archiver

import (
	"context"
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// storeSamples puts the sample table of each track's file, so that a download from the archive finds its samples
// without a look at the media. One that the archive has is left: it follows from the track file alone. A file whose
// samples do not read is archived without: playing it needs no table.
func (t *target) storeSamples(ctx context.Context, rec *reclog.Recording, uploads map[string][]string) error {
	for _, take := range rec.Takes {
		for i, track := range take.Tracks {
			key := progressive.SamplesName(t.path, t.id, take.Number, track.Name)
			_, err := t.objects.Stat(ctx, key)
			if err == nil {
				continue
			}
			if !errors.Is(err, media.ErrNotFound) {
				return err
			}
			name := reclog.TrackName(t.path, t.id, take.Number, track.Name)
			table, err := progressive.Scan(ctx, t.local.Files(), name, take.Number, rec.Tracks[i].Segments)
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
