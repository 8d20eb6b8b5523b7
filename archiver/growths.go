package archiver

import (
	"context"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// GrowingObjects uploads objects while they grow. What the store does not know is media.ErrNotFound.
type GrowingObjects interface {
	// BeginUpload has the upload's id noted (options.NoteUpload) before anything is sent.
	BeginUpload(ctx context.Context, key string, size int64, options media.PutOptions) (*media.OpenUpload, error)
	// FindUpload: a part size of zero is not known.
	FindUpload(ctx context.Context, key, id string, partSize int64) (*media.OpenUpload, error)
	// ExtendUpload gives media.ErrTooLarge when another upload, of larger parts, is to be begun.
	ExtendUpload(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error
	CompleteUpload(ctx context.Context, u *media.OpenUpload, exclusive bool) (media.Object, error)
}

// BeginUpload implements GrowingObjects.
func (s *archive) BeginUpload(
	ctx context.Context, key string, size int64, options media.PutOptions,
) (*media.OpenUpload, error) {
	u, err := s.Objects.BeginUpload(ctx, key, size, options)
	s.learn(err, true)
	return u, err
}

// ExtendUpload implements GrowingObjects.
func (s *archive) ExtendUpload(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error {
	err := s.Objects.ExtendUpload(ctx, u, r, size)
	s.learn(err, true)
	return err
}

// CompleteUpload implements GrowingObjects.
func (s *archive) CompleteUpload(ctx context.Context, u *media.OpenUpload, exclusive bool) (media.Object, error) {
	object, err := s.Objects.CompleteUpload(ctx, u, exclusive)
	s.learn(err, true)
	return object, err
}

// growths are the growing recordings that this process uploads or has uploaded. Whoever archives one takes it over,
// with the sums of what was read for it, so that nothing is read again.
type growths struct {
	mu    sync.Mutex
	shows map[media.RecordingID]*grown
}

// grown is what a process knows of a recording's uploads.
type grown struct {
	// mu is held while the uploads are extended. It is locked before growths.mu is not: neither is held to get the other.
	mu       sync.Mutex
	open     map[string]*media.OpenUpload // by object
	complete map[string]media.Object      // verified

	// Guarded by growths.mu.
	stop  context.CancelFunc // of what extends them just now
	taken bool
	left  time.Time // when the show was given up; zero while it grows
}

// keepGrown is how long what is known of a show stays when it was given up: it is archived within seconds, here or
// elsewhere.
const keepGrown = 10 * time.Minute

// leave says that nobody extends a recording's uploads any more, and forgets those that were left long ago.
func (g *growths) leave(s *grown) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.left = time.Now()
	maps.DeleteFunc(g.shows, func(_ media.RecordingID, s *grown) bool {
		return !s.left.IsZero() && time.Since(s.left) > keepGrown
	})
}

func (g *growths) add(id media.RecordingID) *grown {
	s := &grown{open: make(map[string]*media.OpenUpload), complete: make(map[string]media.Object)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shows == nil {
		g.shows = make(map[media.RecordingID]*grown)
	}
	g.shows[id] = s
	return s
}

// begin says whether the uploads may be extended, and is told how to stop that.
func (g *growths) begin(s *grown, stop context.CancelFunc) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.stop = stop
	return !s.taken
}

// take ends the extending of a recording's uploads and gives them over; nil when this process has none.
func (g *growths) take(id media.RecordingID) *grown {
	g.mu.Lock()
	s := g.shows[id]
	delete(g.shows, id)
	if s != nil {
		s.taken = true
		if s.stop != nil {
			s.stop()
		}
	}
	g.mu.Unlock()
	if s != nil {
		s.mu.Lock() // whoever extends them has noticed
		defer s.mu.Unlock()
	}
	return s
}

// sum gives the checksum of an object that was completed while the recording grew.
func (s *grown) sum(object media.Object) (uint64, bool) {
	if s == nil {
		return 0, false
	}
	known, ok := s.complete[object.Key]
	return known.Checksum, ok && known.HasChecksum && known.Size == object.Size
}

// finishGrown completes an upload that was extended while the recording grew. False: it has to be put.
func (t *target) finishGrown(
	ctx context.Context, key string, source io.ReaderAt, size int64, exclusive bool,
) (media.Object, bool) {
	grown := t.uploadedHere()
	if grown == nil || grown.open[key] == nil {
		return media.Object{}, false
	}
	u := grown.open[key]
	delete(grown.open, key)
	err := t.objects.ExtendUpload(ctx, u, source, size)
	if err == nil && u.Size() != size {
		return media.Object{}, false
	}
	var object media.Object
	if err == nil {
		object, err = t.objects.CompleteUpload(ctx, u, exclusive)
	}
	if err != nil {
		t.logger.Debug("growing upload is not of use", "object", key, "err", err)
		return media.Object{}, false
	}
	return object, object.HasChecksum
}

// uploadedHere is what this process uploaded to the store while the recording grew; nil is nothing. Only the archive
// gets that, not its mirror.
func (t *target) uploadedHere() *grown {
	if t.objects.name != t.names()[0] {
		return nil
	}
	return t.grown
}

// tidy removes what is only of use while a recording grows: what the archive says of it as it was, and uploads of what
// is no longer in it.
func (t *target) tidy(ctx context.Context) error {
	if !t.claim.Recording.Uploaded {
		return nil
	}
	if err := t.forgetAll(ctx); err != nil {
		return err
	}
	return t.objects.Delete(ctx, t.growingKey())
}
