package catalog

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// testRevisions changes each kind of thing on a condition that holds, and on one that does not.
func (s suite) testRevisions(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	id := save(t, db, ended(0)).ID
	listed := media.SettingsPatch{Listed: new(true)}
	for _, c := range []struct {
		name     string
		revision func() int64
		change   func(revisions ...int64) (int64, error)
		preview  func(revisions ...int64) error
	}{
		{
			"publisher", func() int64 { p, err := db.Publisher(ctx, "acme"); noError(t, err); return p.Revision },
			func(r ...int64) (int64, error) {
				p, err := db.UpdatePublisher(ctx, "acme", listed, r...)
				return p.Revision, err
			},
			func(r ...int64) error { _, _, err := db.PreviewPublisher(ctx, "acme", listed, r...); return err },
		},
		{
			"stream", func() int64 { st, err := db.Stream(ctx, show); noError(t, err); return st.Revision },
			func(r ...int64) (int64, error) {
				st, err := db.UpdateStream(ctx, show, listed, r...)
				return st.Revision, err
			},
			func(r ...int64) error { _, _, err := db.PreviewStream(ctx, show, listed, r...); return err },
		},
		{
			"recording", func() int64 { return read(t, db, id).Revision },
			func(r ...int64) (int64, error) {
				rec, err := db.SetKeep(ctx, id, false, r...)
				return rec.Revision, err
			},
			func(r ...int64) error { _, err := db.PreviewDelete(ctx, id, r...); return err },
		},
	} {
		first := c.revision()
		now, err := c.change()
		noError(t, err)
		if now <= first || c.revision() != now {
			t.Errorf("%s went from revision %d to %d, and is at %d", c.name, first, now, c.revision())
		}
		_, err = c.change(first)
		wantError(t, err, media.ErrPrecondition)
		wantError(t, c.preview(first, -1), media.ErrPrecondition)
		noError(t, c.preview(first, now))
		same(t, c.name+" after what was refused or a preview", now, c.revision())
		_, err = c.change(first, now)
		noError(t, err)
	}
	_, err := db.RequestDelete(ctx, id, 1)
	wantError(t, err, media.ErrPrecondition)
	same(t, "state", media.Ended, read(t, db, id).State)
	_, err = db.RequestDelete(ctx, id, read(t, db, id).Revision)
	noError(t, err)
	_, err = db.RequestDelete(ctx, id, 1) // it may be repeated
	noError(t, err)

	stream, err := db.Stream(ctx, show)
	noError(t, err)
	wantError(t, db.DeleteStream(ctx, show, stream.Revision+1), media.ErrPrecondition)
	wantError(t, db.DeletePublisher(ctx, "acme", 0), media.ErrPrecondition)
	noError(t, db.DeleteStream(ctx, show, stream.Revision))
	db.now = func() time.Time { return start.Add(time.Second) }
	again, err := db.CreateStream(ctx, show, media.SettingsPatch{})
	noError(t, err)
	if again.Revision <= stream.Revision {
		t.Errorf("made again, the stream is at %d, and was at %d", again.Revision, stream.Revision)
	}
}

// testRevisionRace has many change one thing on the same condition: one does.
func (s suite) testRevisionRace(t *testing.T) {
	db := s.furnished(t)
	id := save(t, db, ended(0)).ID
	stream, err := db.Stream(t.Context(), show)
	noError(t, err)
	var wg sync.WaitGroup
	results := make(chan error, 16)
	for range cap(results) / 2 {
		wg.Go(func() {
			_, err := db.UpdateStream(t.Context(), show, media.SettingsPatch{Listed: new(true)}, stream.Revision)
			results <- err
			_, err = db.SetKeep(t.Context(), id, true, 1)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, media.ErrPrecondition) {
			t.Error(err)
		}
	}
	same(t, "changes that were made, one of each", 2, won)
}
