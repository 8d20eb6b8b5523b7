package archiver

import (
	"context"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// remakeClip makes a clip anew in the archive, out of its source there: its local copy was lost, and took no media with
// it but what the source has.
func (j *job) remakeClip(ctx context.Context, targets []*target) error {
	row := j.claim.Recording
	source, err := j.catalog.Recording(ctx, row.ClipOf)
	if err != nil {
		return fmt.Errorf("the clip's files are lost: %w", err)
	}
	switch {
	case source.State.Growing(), source.State == media.Ended, source.State == media.Archiving:
		return fmt.Errorf("%w: the clip's files are lost: recording %s, of which it is made again, is to be archived",
			errWaits, source.ID)
	case source.State != media.Archived || !j.beside(source):
		return fmt.Errorf("the clip's files are lost: %w: recording %s, which they could be made of, is not in the archive",
			media.ErrNotFound, source.ID)
	}
	rec, err := reclog.Load(ctx, targets[0].objects, j.path, source.ID)
	if err != nil {
		return err
	}
	clip, err := cut(rec, source, row)
	if err != nil {
		return err
	}
	if rec.Source != "" {
		return fmt.Errorf("the clip's files are lost: %w: %s is a clip itself", media.ErrConflict, source.ID)
	}
	for _, t := range targets {
		if err := t.storeClip(ctx, clip); err != nil {
			return t.failed(err)
		}
	}
	j.logger.Warn("clip was lost by the cluster, and made again in the archive", "source", source.ID)
	return nil
}
