package archiver

import (
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
	if err := attached(r.root); err != nil {
		return err // without its volume the directory has none of them
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
		r.ended(rec, rec.History(r.config.Cluster))
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
	if owned, err := r.owned(ctx, reclog.Ref{Path: row.Path, ID: row.ID}); err != nil || owned {
		return nil, false, err
	}
	if lost {
		return nil, true, nil
	}
	rec, err = reclog.Load(ctx, files, row.Path, row.ID)
	return rec, false, err
}

// finishedBatch bounds the questions for rows of one look.
const finishedBatch = 500

// checkFinished saves rows of recordings that ended on storage and never had one, because the catalog was away for as
// long as their process lived. Without a row nothing would ever become of them.
func (r *Recovery) checkFinished(ctx context.Context, now time.Time) error {
	listed, rowless := make(map[media.RecordingID]bool), make(map[media.RecordingID]time.Time)
	var errs []error
	asks := finishedBatch
	for _, ref := range r.orphans.Finished() {
		since, before := r.rowless[ref.ID]
		switch {
		case r.listed[ref.ID]:
			listed[ref.ID] = true
			continue
		case asks == 0 || now.Before(since): // a later look's
			if before {
				rowless[ref.ID] = since
			}
			continue
		}
		asks--
		has, err := r.hasRow(ctx, ref)
		switch {
		case err != nil: // the next one's would be the same
			errs, asks = append(errs, err), 0
		case has:
			listed[ref.ID] = true
			continue
		case !before:
			since = now
		case now.Sub(since) >= r.config.Patience:
			if err := r.adoptRow(ctx, ref); err != nil {
				errs = append(errs, err)
				since = now.Add(r.config.Retry) // until then nobody asks
			}
		}
		if before || err == nil {
			rowless[ref.ID] = since
		}
	}
	r.listed, r.rowless = listed, rowless
	return errors.Join(errs...)
}

func (r *Recovery) hasRow(ctx context.Context, ref reclog.Ref) (bool, error) {
	_, err := r.rows.Recording(ctx, ref.ID)
	if errors.Is(err, media.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// adoptRow notes the row of a recording that has none.
func (r *Recovery) adoptRow(ctx context.Context, ref reclog.Ref) error {
	rec, err := reclog.Load(ctx, r.root.Files(), ref.Path, ref.ID)
	if errors.Is(err, media.ErrNotFound) || err == nil && rec.State.Growing() {
		return nil // removed meanwhile, or reopened
	}
	if err != nil {
		return fmt.Errorf("recording %s has no row: %w", ref, err)
	}
	r.metrics.closed.WithLabelValues("unlisted").Inc()
	r.logger.Warn("recording had no row: saving it", "publisher", ref.Path.Publisher, "stream", ref.Path.Stream,
		"recording", ref.ID, "ended_at", rec.EndedAt)
	r.ended(rec, rec.History(r.config.Cluster))
	return nil
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
