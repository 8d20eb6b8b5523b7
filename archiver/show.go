package archiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// show is one growing recording that this process uploads.
type show struct {
	*target   // the archive; its mirror gets the recording once it has ended
	component *Continuous
	follower  *reclog.Follower
	trouble   outage

	// Of the goroutine that ticks.
	uploads   map[string][]string // noted before, by object; nil: not asked for
	writer    string
	base      map[string]int64 // of the files of lines: how much of them is stored as an object
	described uint64           // the checksum of the last description
	uploaded  bool
	problem   string
	toldAt    time.Time
	busy      chan struct{} // holds one while it ticks

	// Guarded by Continuous.mu.
	lagBytes int64
	edges    map[string]time.Time // of the newest take, by object: until when it is uploaded
}

// extend brings the archive to have what the recording has by now.
func (s *show) extend(ctx context.Context) error {
	g, err := s.follower.Look(ctx)
	if err != nil {
		return err
	}
	if s.uploads == nil {
		if s.uploads, err = s.noted(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for i := range g.Files {
		if f := &g.Files[i]; f.Media {
			if err := s.media(ctx, f); err != nil {
				errs = append(errs, err)
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	s.measure(g)
	if err := errors.Join(errs...); err != nil || len(g.Files) == 0 {
		return err
	}
	doc, err := s.lines(ctx, g)
	if err != nil {
		return err
	}
	return s.describe(ctx, doc)
}

// media extends the upload of a track's file to where its listed media ends, and completes that of a sealed take.
func (s *show) media(ctx context.Context, f *reclog.GrowingFile) (err error) {
	if _, ok := s.grown.complete[f.Name]; ok {
		return nil
	}
	u, err := s.upload(ctx, f)
	if err != nil || u == nil {
		return err
	}
	if !s.worth(u, f) {
		return nil
	}
	source, err := s.local.Open(ctx, f.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if source.Size() < f.Size {
		return fmt.Errorf("%w: %s has %d bytes, its index tells of %d", media.ErrCorrupt, f.Name, source.Size(), f.Size)
	}
	if !s.uploaded {
		if err := s.component.rows.SaveUploaded(ctx, s.claim, true, s.problem); err != nil {
			return err
		}
		s.uploaded = true
	}
	before := u.Size()
	err = s.objects.ExtendUpload(ctx, u, source, f.Size)
	s.component.metrics.sent.Add(float64(sentBytes(u, before)))
	switch {
	case errors.Is(err, media.ErrTooLarge):
		return s.replace(ctx, f, u)
	case errors.Is(err, media.ErrNotFound): // begun anew with the next tick
		delete(s.grown.open, f.Name)
		return errors.Join(err, s.forget(ctx, f.Name, []string{u.ID}))
	case err != nil || !f.Final:
		return err
	}
	return s.complete(ctx, f, u)
}

// sentBytes is what an extension cost.
func sentBytes(u *media.OpenUpload, before int64) int64 {
	after := u.Size()
	if after <= before {
		return 0
	}
	if !u.Appends {
		before -= before % u.PartSize
	}
	return after - before
}

// worth says whether an upload is to be extended now. A last part that is not full is sent again whenever it has grown,
// which for a track of few bits would cost many times its bytes: it waits until it has grown by an eighth, but never
// for longer than the bound.
func (s *show) worth(u *media.OpenUpload, f *reclog.GrowingFile) bool {
	more := f.Size - u.Size()
	switch {
	case f.Final || u.Appends && more > 0 || u.SentAt.IsZero():
		return true
	case more <= 0:
		return false
	}
	c := &s.component.settings
	return more >= u.Size()%u.PartSize/8 || time.Since(u.SentAt)+c.Interval > c.Bound
}

// upload gives the upload of a track's file: the one at hand, the one that was noted before and has most, or a new one.
// Nil: the archive has the object.
func (s *show) upload(ctx context.Context, f *reclog.GrowingFile) (*media.OpenUpload, error) {
	if u := s.grown.open[f.Name]; u != nil {
		return u, nil
	}
	if f.Final {
		have, err := s.objects.Stat(ctx, f.Name)
		if err == nil && have.Size >= f.Size {
			s.grown.complete[f.Name] = media.Object{Key: f.Name} // whoever archives it compares the bytes
			return nil, s.forget(ctx, f.Name, s.uploads[f.Name])
		}
		if err != nil && !errors.Is(err, media.ErrNotFound) {
			return nil, err
		}
	}
	var best *media.OpenUpload
	for _, id := range s.uploads[f.Name] {
		u, err := s.objects.FindUpload(ctx, f.Name, id, 0)
		switch {
		case errors.Is(err, media.ErrNotFound):
		case err != nil:
			return nil, err
		case best == nil || u.Size() > best.Size():
			best = u
		}
	}
	if best == nil {
		var err error
		if best, err = s.begin(ctx, f.Name, f.Size, ""); err != nil {
			return nil, err
		}
	}
	s.grown.open[f.Name] = best
	return best, nil
}

// begin begins an upload. Beside old, if there is one, the store is to have no other of that object.
func (s *show) begin(ctx context.Context, key string, size int64, old string) (*media.OpenUpload, error) {
	return s.objects.BeginUpload(ctx, key, size, media.PutOptions{
		UploadID: old,
		NoteUpload: func(ctx context.Context, uploadID string) error {
			if err := s.job.uploads.SaveUpload(ctx, s.target.upload(key, uploadID)); err != nil {
				return err
			}
			s.uploads[key] = append(s.uploads[key], uploadID)
			return nil
		},
	})
}

// replace goes on in an upload of larger parts, and forgets the old one when the new one has as much.
func (s *show) replace(ctx context.Context, f *reclog.GrowingFile, old *media.OpenUpload) (err error) {
	next, err := s.begin(ctx, f.Name, f.Size, old.ID)
	if err != nil {
		return err
	}
	source, err := s.local.Open(ctx, f.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := s.objects.ExtendUpload(ctx, next, source, f.Size); err != nil {
		return errors.Join(err, s.forget(ctx, f.Name, []string{next.ID}))
	}
	s.grown.open[f.Name] = next
	return s.forget(ctx, f.Name, []string{old.ID})
}

func (s *show) complete(ctx context.Context, f *reclog.GrowingFile, u *media.OpenUpload) error {
	object, err := s.objects.CompleteUpload(ctx, u, true)
	if err != nil {
		// Whatever is at fault, the store is asked anew with the next tick.
		delete(s.grown.open, f.Name)
		return err
	}
	if err := s.verify(ctx, object); err != nil {
		return err
	}
	delete(s.grown.open, f.Name)
	s.grown.complete[f.Name] = object
	return s.forget(ctx, f.Name, s.uploads[f.Name])
}

// measure notes how far the uploads are behind.
func (s *show) measure(g *reclog.Growth) {
	var lag int64
	edges := make(map[string]time.Time)
	newest := 0
	for i := range g.Files {
		newest = max(newest, g.Files[i].Take)
	}
	s.component.mu.Lock()
	defer s.component.mu.Unlock()
	for i := range g.Files {
		f := &g.Files[i]
		if !f.Media {
			continue
		}
		var have int64
		if _, ok := s.grown.complete[f.Name]; ok {
			have = f.Size
		} else if u := s.grown.open[f.Name]; u != nil {
			have = u.Size()
		}
		lag += max(0, f.Size-have)
		if f.Take != newest {
			continue
		}
		edges[f.Name] = s.edges[f.Name]
		if have >= f.Size {
			edges[f.Name] = f.Edge
		}
	}
	s.lagBytes, s.edges = lag, edges
}

// lagLocked is how much older than now what the archive has of the show is.
func (s *show) lagLocked(now time.Time) time.Duration {
	var lag time.Duration
	for _, edge := range s.edges {
		if edge.IsZero() {
			edge = s.claim.Recording.StartedAt
		}
		lag = max(lag, now.Sub(edge))
	}
	return lag
}

// drop removes all that was uploaded: the recording is not to be archived any more.
func (s *show) drop(ctx context.Context) error {
	if err := s.forgetAll(ctx); err != nil {
		return err
	}
	if err := s.objects.Delete(ctx, s.growingKey()); err != nil {
		return err
	}
	if _, err := s.deleteObjects(ctx, ""); err != nil {
		return err
	}
	s.uploaded = false
	return nil
}
