package archiver

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func (c *faultyCatalog) FinishClip(ctx context.Context, claim media.Claim, r media.Recording, own bool) error {
	return c.f.do("finish clip", func() error { return c.Catalog.FinishClip(ctx, claim, r, own) })
}

func (c *faultyCatalog) PostponeClaim(ctx context.Context, claim media.Claim, why string, until time.Time) error {
	return c.f.do("postpone", func() error { return c.Catalog.PostponeClaim(ctx, claim, why, until) })
}

func (c *faultyCatalog) ReleaseClips(ctx context.Context, id media.RecordingID, now time.Time) (n int, err error) {
	return n, c.f.do("release clips", func() error { n, err = c.Catalog.ReleaseClips(ctx, id, now); return err })
}

func (c *faultyCatalog) ReleaseLocalClips(ctx context.Context, id media.RecordingID, now time.Time) (n int, err error) {
	return n, c.f.do("release local clips", func() error { n, err = c.Catalog.ReleaseLocalClips(ctx, id, now); return err })
}

func (l *faultyLocal) WriteClip(ctx context.Context, rec *reclog.Recording) error {
	return l.f.do("write clip", func() error { return l.Local.WriteClip(ctx, rec) })
}

func (l *faultyLocal) OwnMedia(ctx context.Context, path media.StreamPath, id media.RecordingID) error {
	return l.f.do("own media", func() error { return l.Local.OwnMedia(ctx, path, id) })
}

func (l *faultyLocal) Pictures(ctx context.Context, path media.StreamPath, id media.RecordingID) (names []string, err error) {
	return names, l.f.do("pictures", func() error { names, err = l.Local.Pictures(ctx, path, id); return err })
}

// clipLife is a recording and a clip of it in an archive with a mirror, from the clip's making to the end of both.
type clipLife struct {
	*world
	mirror objstoretest.Store
	f      *faults
	clip   media.RecordingID
	want   map[string][]byte // of the source
	pieces int               // of the clip, once it is known
}

// TestEveryFaultInAClipsLifeIsSurvived is TestEveryFaultIsSurvived for a clip whose source is deleted before it: wherever
// the archiver stops, a clip that is made plays from each storage that has it, and nothing is left in the end.
func TestEveryFaultInAClipsLifeIsSurvived(t *testing.T) {
	const every = 13 // the modes take turns
	modes := []string{failBefore, failAfter, crashBefore, crashAfter}
	for name, archived := range map[string]bool{"of local media": false, "of archived media": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lives := 0
			for at := 1; ; at += every * stride {
				fired := ""
				synctest.Test(t, func(t *testing.T) { fired = liveClip(t, archived, modes[lives%len(modes)], at) })
				if lives++; fired == "" || t.Failed() {
					break
				}
			}
			if lives < 10/stride {
				t.Errorf("only %d lives", lives)
			}
		})
	}
}

func liveClip(t *testing.T, archived bool, mode string, at int) (fired string) {
	mirror, err := objstore.OpenDir(t.TempDir())
	must(t, err)
	w := newDirWorld(t)
	defer w.close()
	f := &faults{mode: mode, at: at}
	l := &clipLife{world: w, mirror: mirror, f: f}
	w.settings(media.SettingsPatch{Mirror: new("eu"), Retention: new(media.Span(1000 * time.Hour))})
	w.takes = 1
	w.datedSource(50)
	must(t, w.root.ReplacePicture(t.Context(), testPath(), w.id, reclog.ThumbnailFile, []byte("picture")))
	l.want = segmentsOf(t, w.root.Files(), w.id)
	w.more = map[string]objstoretest.Store{"eu": mirror}
	if archived {
		for begun := time.Now(); w.row().Local && time.Since(begun) < 24*time.Hour; time.Sleep(time.Hour) {
			_, err := w.archiver(Config{}).Step(t.Context())
			must(t, err)
		}
	}
	l.clip = w.clipOf(time.Second, 5*time.Second).ID
	w.more = map[string]objstoretest.Store{"eu": &faultyObjects{mirror, f}}
	a := w.archiver(Config{}, &faultyObjects{w.objects, f}, &faultyCatalog{w.catalog, w.catalog, f}, &faultyLocal{w.root, f})
	for round := range 120 {
		l.step(a, round)
		clip := l.look()
		switch {
		case clip.State == media.Deleted:
			keys := append(objstoretest.MustKeys(t, w.objects, ""), objstoretest.MustKeys(t, mirror, "")...)
			uploads, err := w.catalog.Uploads(t.Context(), l.clip)
			must(t, err)
			if len(keys) > 0 || w.localDirs() != "" || len(uploads)+len(w.uploads()) > 0 {
				t.Errorf("fault %d, at %s: left %v, %s", at, f.fired(), keys, w.localDirs())
			}
			return f.fired()
		case w.row().State == media.Deleted && clip.State == media.Archived && !clip.Local:
			_, err := w.catalog.RequestDelete(t.Context(), l.clip)
			must(t, unless(err, media.ErrConflict)) // it is being archived
		case w.row().State != media.Deleting && w.row().State != media.Deleted && (clip.Local || clip.State == media.Archived) &&
			round >= at%7: // now and then the source goes before it is archived
			_, err := w.catalog.RequestDelete(t.Context(), w.id)
			must(t, unless(err, media.ErrConflict)) // it is being archived
		}
	}
	t.Errorf("fault %d, at %s: no end: source %+v\nclip %+v", at, f.fired(), w.row(), l.look())
	return ""
}

// step lets the archiver do one of each that is due.
func (l *clipLife) step(a *Archiver, round int) {
	l.tb.Helper()
	for _, do := range []func() (bool, error){
		func() (bool, error) { return a.StepClip(l.tb.Context(), false) },
		func() (bool, error) { return a.StepClip(l.tb.Context(), true) },
		func() (bool, error) { return a.Step(l.tb.Context()) },
	} {
		if _, err := do(); err != nil && !errors.Is(err, errFault) {
			l.tb.Fatalf("fault %d, at %s, round %d: %v", l.f.at, l.f.fired(), round, err)
		}
		l.f.restart()
		l.look()
	}
	time.Sleep(time.Hour) // more than any lease, delay or grace
}

// look reads the clip from each storage that its row says has it.
func (l *clipLife) look() media.Recording {
	l.tb.Helper()
	row, err := l.catalog.Recording(l.tb.Context(), l.clip)
	must(l.tb, err)
	if row.State != media.Ended && row.State != media.Archiving && row.State != media.Archived {
		return row
	}
	storages := map[string]reclog.Files{}
	if row.Local && row.State != media.Archived { // else it may be on its way out
		storages["the directory"] = l.root.Files()
	}
	if row.State == media.Archived {
		storages["the archive"], storages["the mirror"] = l.objects, l.mirror
	}
	for name, files := range storages {
		have := segmentsOf(l.tb, files, l.clip)
		if l.pieces == 0 {
			l.pieces = len(have)
		}
		if len(have) != l.pieces || l.pieces < 4 {
			l.tb.Fatalf("fault %d, at %s: %s has %d pieces of the clip", l.f.at, l.f.fired(), name, len(have))
		}
		for piece, data := range have {
			if !bytes.Equal(data, l.want[piece]) {
				l.tb.Fatalf("fault %d, at %s: %s has other bytes of %s", l.f.at, l.f.fired(), name, piece)
			}
		}
	}
	return row
}

// unless is err, but for one that may be.
func unless(err, may error) error {
	if errors.Is(err, may) {
		return nil
	}
	return err
}
