package archiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// dropLocal removes the cluster's copy, once the archive, and the mirror, have been looked at again. One that has lost
// something is made whole first.
func (j *job) dropLocal(ctx context.Context) error {
	targets, err := j.targets()
	if err != nil {
		return err
	}
	rec, err := reclog.Load(ctx, j.local.Files(), j.path, j.id)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err
	}
	if rec != nil && rec.State.Growing() {
		return fmt.Errorf("%w: the recording on storage is %s", media.ErrConflict, rec.State)
	}
	if n, err := j.catalog.ReleaseLocalClips(ctx, j.id, time.Now()); err != nil {
		return err
	} else if n > 0 {
		return fmt.Errorf("%w: %d clips need the local media still", errWaits, n)
	}
	archiveErr := checkAll(ctx, targets, rec)
	if archiveErr == nil && rec != nil {
		archiveErr = j.checkPictures(ctx, targets)
	}
	if archiveErr != nil && (rec == nil || errors.Is(archiveErr, media.ErrUnavailable) || ctx.Err() != nil) {
		return archiveErr
	}
	if archiveErr != nil {
		j.metrics.repaired.Inc()
		j.logger.Error("archive is incomplete, storing the recording again", "err", archiveErr)
		if _, err := j.storeAll(ctx, targets, rec); err != nil {
			return err
		}
		if err := checkAll(ctx, targets, rec); err != nil {
			return err
		}
	}
	if err := j.removeLocal(ctx); err != nil {
		return err
	}
	j.logger.Info("local copy dropped")
	return nil
}

// checkPictures looks whether the stores have the pictures that nothing but the local copy has beside them. Sample
// tables are not looked for: they follow from the media.
func (j *job) checkPictures(ctx context.Context, targets []*target) error {
	pictures, err := j.local.Pictures(ctx, j.path, j.id)
	if err != nil {
		return err
	}
	for _, t := range targets {
		for _, name := range pictures {
			if _, err := t.objects.Stat(ctx, name); err != nil {
				return t.failed(fmt.Errorf("archive: %w", err))
			}
		}
	}
	return nil
}

// delete removes the recording everywhere.
func (j *job) delete(ctx context.Context) error {
	start := time.Now()
	targets, err := j.having()
	if err != nil {
		return err
	}
	if n, err := j.catalog.ReleaseClips(ctx, j.id, start); err != nil {
		return err
	} else if n > 0 {
		return fmt.Errorf("%w: %d clips are to get copies of the media first", errWaits, n)
	}
	uploads, err := j.uploads.Uploads(ctx, j.id)
	if err != nil {
		return err
	}
	for _, u := range uploads {
		t, err := j.in(u.Store)
		if err != nil {
			return err
		}
		if err := t.forget(ctx, u.Object, []string{u.UploadID}); err != nil {
			return t.failed(err)
		}
	}
	for _, t := range targets {
		if err := t.objects.Delete(ctx, j.manifestKey()); err != nil {
			return t.failed(err)
		}
	}
	for _, t := range targets {
		if err := t.empty(ctx); err != nil {
			return t.failed(err)
		}
	}
	if err := j.removeLocal(ctx); err != nil {
		return err
	}
	j.logger.Info("recording deleted", "dur", time.Since(start))
	return nil
}

// having gives the stores that may have something of the recording. One that this archiver does not have, and that
// nothing was ever sent to, is in nobody's way.
func (j *job) having() ([]*target, error) {
	var targets []*target
	for _, name := range j.names() {
		t, err := j.in(name)
		switch {
		case err == nil:
			targets = append(targets, t)
		case j.claim.Begun, j.claim.Recording.Uploaded:
			return nil, err
		}
	}
	return targets, nil
}

// empty deletes all objects of the recording, after the uploads that may still become some: one that was begun by a
// process which died at once is noted nowhere.
func (t *target) empty(ctx context.Context) error {
	if n, err := t.objects.AbortUploads(ctx, t.dir()); err != nil { // keys need not allow it
		t.logger.Debug("uploads could not be listed", "archive", t.objects.name, "err", err)
	} else if n > 0 {
		t.logger.Info("aborted uploads that nobody had noted", "archive", t.objects.name, "uploads", n)
	}
	n, err := t.deleteObjects(ctx, "")
	t.metrics.deleted.Add(float64(n))
	return err
}

// deleteObjects deletes the recording's objects whose keys end so, and gives the number of those that went.
func (t *target) deleteObjects(ctx context.Context, suffix string) (n int, err error) {
	for object, err := range t.objects.List(ctx, t.dir()) {
		if err == nil && !strings.HasSuffix(object.Key, suffix) {
			continue
		}
		if err == nil {
			err = t.objects.Delete(ctx, object.Key)
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// removeLocal removes the cluster's copy. That there is none is believed of a directory that has its volume: from
// another, mounted again later, nobody would remove it any more.
func (j *job) removeLocal(ctx context.Context) error {
	err := j.local.Remove(ctx, j.path, j.id)
	if !errors.Is(err, media.ErrNotFound) {
		return err
	}
	return attached(j.local)
}

// attached is nil while the recordings directory is the one of the start, else media.ErrUnavailable.
func attached(local interface{ Attached() (bool, error) }) error {
	same, err := local.Attached()
	if err == nil && !same {
		err = fmt.Errorf("%w: the recordings directory is another than at the start: mount its volume again",
			media.ErrUnavailable)
	}
	return err
}
