package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// CheckRows holds the growing rows against storage, and corrects them at once. It is for the start of a process that
// has the directory for itself, once it has taken up what is unfinished there; Step does the same with patience.
func (r *Recovery) CheckRows(ctx context.Context) error {
	return errors.Join(r.checkRows(ctx, 0), r.save(ctx))
}

// checkRows ends the growing rows whose recording has ended on storage (its owner died before it saved the row) or is
// not there (lost with a disk), once that has been so for the given time. An owner's row is its own: an owner may have
// a show in memory that its volume does not take.
func (r *Recovery) checkRows(ctx context.Context, patience time.Duration) error {
	growing, err := r.rows.Growing(ctx, r.config.Cluster)
	if err != nil {
		return err
	}
	if attached, err := r.root.Attached(); err != nil || !attached {
		// Without its volume the directory has none of them.
		return cmp.Or(err, fmt.Errorf("%w: the recordings directory is another than at the start: mount its volume again",
			media.ErrUnavailable))
	}
	now := time.Now()
	var errs []error
	differ := make(map[media.RecordingID]time.Time)
	for _, row := range growing {
		rec, lost, err := r.compare(ctx, row)
		since, before := r.differ[row.ID]
		if err != nil {
			errs = append(errs, err)
			if before {
				differ[row.ID] = since
			}
			continue
		}
		if rec == nil && !lost {
			continue
		}
		if !before {
			since = now
		}
		if now.Sub(since) < patience {
			differ[row.ID] = since
			continue
		}
		if lost {
			errs = append(errs, r.closeLost(ctx, row))
			continue
		}
		r.metrics.closed.WithLabelValues("row").Inc()
		r.logger.Info("recording had ended: saving its row", "publisher", row.Path.Publisher,
			"stream", row.Path.Stream, "recording", row.ID, "ended_at", rec.EndedAt)
		r.ended(rec)
	}
	r.differ = differ
	return errors.Join(errs...)
}

// compare gives the recording of a growing row if it has ended on storage, or says that storage lacks it. Neither is
// the case while both grow, or while the stream's owner shows this recording.
func (r *Recovery) compare(ctx context.Context, row media.Recording) (rec *reclog.Recording, lost bool, err error) {
	files := r.root.Files()
	data, err := files.ReadFile(ctx, reclog.ManifestName(row.Path, row.ID))
	lost = errors.Is(err, media.ErrNotFound)
	if err != nil && !lost {
		return nil, false, err
	}
	if !lost {
		manifest, err := reclog.ParseManifest(data)
		if err != nil {
			return nil, false, fmt.Errorf("recording %s/%s: %w", row.Path, row.ID, err)
		}
		if manifest.State.Growing() {
			return nil, false, nil
		}
	}
	lease, owned, err := r.leases.Owner(ctx, row.Path)
	if err != nil || owned && (lease.Recording == row.ID || lease.Recording == "") {
		return nil, false, err
	}
	if lost {
		return nil, true, nil
	}
	rec, err = reclog.Load(ctx, files, row.Path, row.ID)
	return rec, false, err
}

func (r *Recovery) closeLost(ctx context.Context, row media.Recording) error {
	closed, err := r.rows.CloseLost(ctx, row.ID, "not on the cluster's storage")
	if errors.Is(err, media.ErrConflict) || errors.Is(err, media.ErrNotFound) {
		return nil // it has gone on since it was listed
	}
	if err != nil {
		return err
	}
	r.metrics.closed.WithLabelValues("lost").Inc()
	r.logger.Error("recording is not on storage: its row is closed",
		"publisher", row.Path.Publisher, "stream", row.Path.Stream, "recording", row.ID)
	r.tell(ctx, closed)
	return nil
}
