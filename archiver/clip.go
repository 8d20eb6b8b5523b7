package archiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Clips is what the catalog knows of clips: recordings whose media is another's, until that is to go.
type Clips interface {
	Recording(ctx context.Context, id media.RecordingID) (media.Recording, error)
	// ClaimClip gives a clip that is to be made, or, made, one that has to get a copy of its media; media.ErrNotFound.
	ClaimClip(ctx context.Context, owner, cluster string, made bool, now time.Time, lease time.Duration) (
		media.Claim, error)
	FinishClip(ctx context.Context, c media.Claim, r media.Recording, own bool) error
	// PostponeClaim gives a claim up that waits for another, and says in the row what for.
	PostponeClaim(ctx context.Context, c media.Claim, why string, until time.Time) error
	// ReleaseClips and ReleaseLocalClips count the clips that need a recording's media, or its local copy, and have them
	// get on.
	ReleaseClips(ctx context.Context, id media.RecordingID, now time.Time) (int, error)
	ReleaseLocalClips(ctx context.Context, id media.RecordingID, now time.Time) (int, error)
}

const (
	// clipPoll is how often the catalog is asked for clips to be made: somebody waits for them.
	clipPoll = 500 * time.Millisecond
	// waitRetry is how soon a removal that waits for clips is tried again, and sourceRetry the archiving of a clip that
	// waits for its source's, which may be live for long.
	waitRetry   = time.Second
	sourceRetry = 15 * time.Second
)

// errWaits: something else is to be done first, and is on its way.
var errWaits = errors.New("waits")

// clipDone is what became of a clip.
type clipDone struct {
	row   media.Recording
	own   bool
	event string
}

func (a *Archiver) clipLoop(ctx context.Context, made bool) {
	asking := outage{logger: a.logger, message: "archiver does not know which clips are due"}
	a.repeat(ctx, &asking, clipPoll, func(ctx context.Context) (bool, error) { return a.StepClip(ctx, made) })
}

// StepClip is Step for clips alone: it makes one, or, for made, copies the media of one.
func (a *Archiver) StepClip(ctx context.Context, made bool) (did bool, err error) {
	claim, err := a.catalog.ClaimClip(ctx, a.config.Owner, a.config.Cluster, made, time.Now(), a.config.Lease)
	if errors.Is(err, media.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask which clips are due: %w", err)
	}
	return true, a.do(ctx, claim, nil)
}

// postpone gives a claim up until what it waits for may be done.
func (j *job) postpone(ctx context.Context, why error) error {
	j.logger.Debug("action waits", "action", j.claim.Action, "err", why)
	after := waitRetry
	if j.claim.Action == media.ActArchive {
		after = sourceRetry
	}
	err := j.catalog.PostponeClaim(ctx, j.claim, why.Error(), time.Now().Add(after))
	if err != nil && !errors.Is(err, media.ErrFenced) {
		return errors.Join(why, fmt.Errorf("tell the catalog: %w", err))
	}
	return nil
}

// makeClip makes a clip, or gives one that is made a copy of its media.
func (j *job) makeClip(ctx context.Context) error {
	row := j.claim.Recording
	if row.Local || row.State == media.Archived {
		return j.copyClip(ctx)
	}
	source, err := j.catalog.Recording(ctx, row.ClipOf)
	if err != nil {
		return err
	}
	// One that the archive has is cut there: the local copy may go at any moment.
	files := j.local.Files()
	archived := source.State == media.Archived || !source.Local && !source.State.Growing()
	var targets []*target
	if archived { // it refers to the media there, so it is to be wherever that is
		row.Archive, row.Mirror = source.Archive, source.Mirror
		if targets, err = j.all(storesOf(row)); err != nil {
			return err
		}
		files = targets[0].objects
	}
	rec, err := reclog.Load(ctx, files, j.path, row.ClipOf)
	if errors.Is(err, media.ErrNotFound) && source.State == media.Deleting {
		return j.loseClip("the recording was deleted before the clip was made")
	}
	if err != nil {
		return err
	}
	if rec.Source != "" { // a clip, whose source is being deleted
		return fmt.Errorf("%w: recording %s is to get media of its own first", errWaits, rec.ID)
	}
	clip, err := cut(rec, source, row)
	if errors.Is(err, media.ErrInvalid) {
		return j.loseClip(err.Error())
	}
	if err != nil {
		return err
	}
	done := clip.Row()
	row.StartedAt, row.Duration, row.Bytes, row.LastError = done.StartedAt, done.Duration, done.Bytes, ""
	if archived {
		for _, t := range targets {
			if err := t.storeClip(ctx, clip); err != nil {
				return t.failed(err)
			}
		}
		row.State, row.ArchivedAt = media.Archived, time.Now()
	} else {
		if err := j.local.WriteClip(ctx, clip); err != nil {
			return err
		}
		row.Local = true
	}
	j.clip = clipDone{row: row, event: media.EventEnded}
	j.logger.Info("clip made", "source", row.ClipOf, "dur", row.Duration, "local", row.Local)
	return nil
}

// storeClip stores a clip that no storage has yet in the archive. One that is there already, from a try before, and has
// its own media, stays.
func (t *target) storeClip(ctx context.Context, clip *reclog.Recording) error {
	on, err := reclog.Load(ctx, t.objects, t.path, t.id)
	if err == nil && on.Source == "" {
		return nil
	}
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err
	}
	if err := t.checkMedia(ctx, clip); err != nil {
		return err
	}
	return t.storeTexts(ctx, clip)
}

// storeTexts stores all of a recording but its media, the manifest last.
func (t *target) storeTexts(ctx context.Context, rec *reclog.Recording) error {
	uploads, err := t.noted(ctx)
	if err != nil {
		return err
	}
	manifest, playlists, err := texts(rec)
	if err != nil {
		return err
	}
	files := rec.Indexes()
	for name, text := range playlists {
		files[t.dir()+name] = text
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.storeText(ctx, file{key: name, uploads: uploads[name]}, files[name]); err != nil {
			return err
		}
	}
	if err := t.storeEvents(ctx, uploads[t.dir()+reclog.EventsFile]); err != nil {
		return err
	}
	return t.storeText(ctx, file{key: t.manifestKey(), uploads: uploads[t.manifestKey()]}, manifest)
}

// loseClip gives a clip up that can't be made: its row says why.
func (j *job) loseClip(why string) error {
	row := j.claim.Recording
	row.LastError = why
	j.clip = clipDone{row: row, event: media.EventFailed}
	j.logger.Warn("clip can't be made", "source", row.ClipOf, "err", why)
	return nil
}

// cut makes the clip that a row asks for of its source.
func cut(rec *reclog.Recording, source, row media.Recording) (*reclog.Recording, error) {
	clip, err := rec.Cut(row.ID, reclog.Clip{Of: row.ClipOf, Start: row.ClipStart, End: row.ClipEnd},
		source.StartedAt.Add(row.ClipStart), source.StartedAt.Add(row.ClipEnd), row.EndedAt)
	if err != nil {
		return nil, err
	}
	lead := clip.Tracks[0].Segments
	snap := hls.Snapshot{Takes: rec.Takes, Metadata: rec.Metadata}
	clip.SetMetadata(snap.Within(lead[0].Date, clip.LastMedia()))
	return clip, nil
}

// mediaBase leads from a recording's folder to the one of its media's files.
func mediaBase(rec *reclog.Recording) string {
	if rec.Source == "" {
		return ""
	}
	return "../" + string(rec.Source) + "/"
}

// withSource makes sure that what a clip refers to is in the archive before the clip is. A clip whose source does not
// get there has its media copied first.
func (j *job) withSource(ctx context.Context, rec *reclog.Recording) (*reclog.Recording, error) {
	if rec.Source == "" {
		return rec, nil
	}
	source, err := j.catalog.Recording(ctx, rec.Source)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return nil, err
	}
	switch {
	case err == nil && source.State == media.Archived && j.beside(source):
		return rec, nil
	case err == nil && (source.State.Growing() || source.State == media.Archiving ||
		source.State == media.Ended && source.Local && !source.ArchiveDue.IsZero()):
		return nil, fmt.Errorf("%w: recording %s, which it is a clip of, is to be archived first", errWaits, source.ID)
	}
	if err := j.local.OwnMedia(ctx, j.path, j.id); err != nil {
		return nil, err
	}
	return reclog.Load(ctx, j.local.Files(), j.path, j.id)
}

// beside says that the clip is to be in no store but those that its source is in.
func (j *job) beside(source media.Recording) bool {
	has := storesOf(source)
	return !slices.ContainsFunc(j.names(), func(name string) bool { return !slices.Contains(has, name) })
}

// checkMedia looks whether the archive has the files that a clip refers to.
func (t *target) checkMedia(ctx context.Context, rec *reclog.Recording) error {
	for name, end := range t.mediaEnds(rec) {
		object, err := t.objects.Stat(ctx, name)
		if err != nil {
			return fmt.Errorf("archive: media of the clip: %w", err)
		}
		if object.Size < end {
			return fmt.Errorf("archive: %w: object %s has %d bytes, the clip needs %d", media.ErrCorrupt, name, object.Size, end)
		}
	}
	return nil
}
