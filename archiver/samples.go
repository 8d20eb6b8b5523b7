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
func (j *job) storeSamples(ctx context.Context, rec *reclog.Recording, uploads map[string][]string) (int64, error) {
	var total int64
	for _, take := range rec.Takes {
		for i, track := range take.Tracks {
			key := progressive.SamplesName(j.path, j.id, take.Number, track.Name)
			have, err := j.objects.Stat(ctx, key)
			if err == nil {
				total += have.Size
				continue
			}
			if !errors.Is(err, media.ErrNotFound) {
				return 0, err
			}
			name := reclog.TrackName(j.path, j.id, take.Number, track.Name)
			table, err := progressive.Scan(ctx, j.local.Files(), name, take.Number, rec.Tracks[i].Segments)
			if errors.Is(err, media.ErrCorrupt) || errors.Is(err, media.ErrTooLarge) {
				j.logger.Warn("no sample table for downloads", "take", take.Number, "track", track.Name, "err", err)
				continue
			}
			if err != nil {
				return 0, err
			}
			data := table.Object()
			if err := j.storeText(ctx, file{key: key, uploads: uploads[key]}, data); err != nil {
				return 0, err
			}
			total += int64(len(data))
		}
	}
	return total, nil
}
