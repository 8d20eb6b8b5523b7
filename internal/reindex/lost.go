package reindex

import (
	"cmp"
	"context"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// lost lists the rows of recordings that no storage has: those that were deleted after the backup that the catalog is
// from, or whose files are gone. They are left: only a person knows which of both it is.
func (r *run) lost(ctx context.Context, found []*found, begun time.Time) error {
	have := make(map[media.RecordingID]bool, len(found))
	for _, f := range found {
		have[f.ref.ID] = true
	}
	filter := media.RecordingFilter{
		Cluster: r.Cluster, States: []media.State{media.Ended, media.Archived}, Limit: 1000,
	}
	for {
		rows, next, err := r.Catalog.Recordings(ctx, filter)
		if err != nil {
			return err
		}
		for _, row := range rows {
			_, looked := r.Archives[cmp.Or(row.Archive, media.DefaultArchive)]
			switch {
			case have[row.ID], !row.EndedAt.Before(begun):
			case row.State == media.Archived && !looked: // another store has it
			default:
				r.report.Lost = append(r.report.Lost, Item{
					Recording: row.Path.String() + "/" + string(row.ID),
					Reason:    "the catalog says " + string(row.State) + ", and no storage has it",
				})
			}
		}
		if filter.Cursor = next; next == "" {
			return nil
		}
	}
}
