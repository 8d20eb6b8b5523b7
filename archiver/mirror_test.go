package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// newMirrorWorld is newDirWorld whose recordings have a copy in the store "eu".
func newMirrorWorld(tb testing.TB) (w *world, mirror objstoretest.Store) {
	tb.Helper()
	w = newDirWorld(tb)
	mirror, err := objstore.OpenDir(tb.TempDir())
	must(tb, err)
	w.more = map[string]objstoretest.Store{"eu": mirror}
	w.settings(media.SettingsPatch{Mirror: new("eu")})
	return w, mirror
}

func (w *world) settings(p media.SettingsPatch) {
	w.tb.Helper()
	_, err := w.catalog.UpdatePublisher(w.tb.Context(), "acme", p)
	must(w.tb, err)
}

// checkArchiveIn is checkArchive of another store.
func (w *world) checkArchiveIn(store objstoretest.Store, original map[string][]byte) {
	w.tb.Helper()
	before := w.objects
	w.objects = store
	w.checkArchive(original)
	w.objects = before
}

func TestMirroredRecordingIsArchivedWhenBothStoresHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mirror := newMirrorWorld(t)
		defer w.close()
		w.record(1000)
		original := w.localFiles()
		f := deadFaults()
		w.more["eu"] = &faultyObjects{mirror, f}
		a := w.archiver(Config{})
		if _, err := a.Step(t.Context()); !errors.Is(err, errFault) {
			t.Fatalf("step: %v", err)
		}
		row := w.row()
		if row.State != media.Ended || !strings.Contains(row.LastError, "archive eu") || len(w.localFiles()) != len(original) {
			t.Errorf("row %+v", row)
		}
		w.checkArchive(original) // the first store is not held up
		f.restart()
		time.Sleep(time.Hour)
		mustStep(t, a)
		w.checkArchiveIn(mirror, original)
		if row := w.row(); row.State != media.Archived {
			t.Errorf("row %+v", row)
		}

		f.mu.dead = true
		time.Sleep(time.Hour)
		if _, err := a.Step(t.Context()); err == nil || !w.row().Local {
			t.Errorf("dropped while the mirror is away: %v", err)
		}
		f.restart()
		must(t, mirror.Delete(t.Context(), w.prefix()+"2/video.mp4"))
		time.Sleep(time.Hour)
		mustStep(t, a)
		w.checkArchive(original)
		w.checkArchiveIn(mirror, original) // made whole first
		if row := w.row(); row.Local || len(w.localFiles()) > 0 {
			t.Errorf("row %+v", row)
		}

		time.Sleep(24 * time.Hour)
		mustStep(t, a)
		left := append(objstoretest.MustKeys(t, mirror, ""), objstoretest.MustKeys(t, w.objects, "")...)
		if row := w.row(); row.State != media.Deleted || len(left) > 0 {
			t.Errorf("row %+v, left %v", row, left)
		}
	})
}

func TestRecordingGoesToTheArchiveThatItsSettingsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, eu := newMirrorWorld(t)
		defer w.close()
		w.settings(media.SettingsPatch{Archive: new("eu"), Mirror: new("")})
		w.record(100)
		original := w.localFiles()
		mustStep(t, w.archiver(Config{}))
		w.checkArchiveIn(eu, original)
		if keys := objstoretest.MustKeys(t, w.objects, ""); len(keys) > 0 {
			t.Errorf("the default store has %v", keys)
		}
	})
}

func TestArchiveThatIsNotConfiguredIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newMirrorWorld(t)
		defer w.close()
		w.settings(media.SettingsPatch{Mirror: new("mars")})
		w.record(100)
		a := w.archiver(Config{})
		if _, err := a.Step(t.Context()); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("step: %v", err)
		}
		const want = `archive "mars" is not configured on this archiver: add --archives mars=URL`
		if row := w.row(); row.State != media.Ended || !strings.Contains(row.LastError, want) {
			t.Errorf("row %+v", row)
		}
		// It may have some of it, for all that this archiver knows.
		_, err := w.catalog.RequestDelete(t.Context(), w.id)
		must(t, err)
		if _, err := a.Step(t.Context()); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("deleted: %v", err)
		}
		// Of another nothing was sent anywhere yet.
		w.id = otherID
		w.record(100)
		_, err = w.catalog.RequestDelete(t.Context(), w.id)
		must(t, err)
		mustStep(t, a)
		if row := w.row(); row.State != media.Deleted {
			t.Errorf("row %+v", row)
		}
	})
}

func TestEveryFaultIsSurvivedWithAMirror(t *testing.T) {
	for _, mode := range []string{failBefore, crashAfter} {
		t.Run("one operation "+mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, mirror := newMirrorWorld(t)
				defer w.close()
				w.takes = 1
				at := 1
				for ; ; at += 3 * stride {
					w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", at))
					f := &faults{mode: mode, at: at}
					w.more["eu"] = &faultyObjects{mirror, f}
					if fired := w.live(f); fired == "" {
						break
					}
					if left := objstoretest.MustKeys(t, mirror, ""); len(left) > 0 {
						t.Fatalf("fault %d, at %s: the mirror still has %v", at, f.fired(), left)
					}
				}
				if at < 80 {
					t.Errorf("a life of only %d operations", at)
				}
			})
		})
	}
}

// sumless is a store that keeps no checksums, and counts how often media is read back.
type sumless struct {
	objstoretest.Store
	read atomic.Int64
}

func (s *sumless) Stat(ctx context.Context, key string) (media.Object, error) {
	object, err := s.Store.Stat(ctx, key)
	object.HasChecksum, object.Checksum = false, 0
	return object, err
}

func (s *sumless) OpenRange(ctx context.Context, key string, offset, size int64) (io.ReadCloser, error) {
	if strings.HasSuffix(key, ".mp4") {
		s.read.Add(1)
	}
	return s.Store.OpenRange(ctx, key, offset, size)
}

func (s *sumless) Same(ctx context.Context, object media.Object, r io.ReaderAt) (bool, error) {
	if strings.HasSuffix(object.Key, ".mp4") {
		s.read.Add(1)
	}
	return s.Store.Same(ctx, object, r)
}

func TestMediaThatWasJustVerifiedIsNotSummedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mirror := newMirrorWorld(t)
		defer w.close()
		w.record(1000)
		first, f := &sumless{Store: w.objects}, deadFaults()
		w.more["eu"] = &faultyObjects{mirror, f}
		a := w.archiver(Config{}, first)
		if _, err := a.Step(t.Context()); !errors.Is(err, errFault) {
			t.Fatalf("step: %v", err)
		}
		if n := first.read.Swap(0); n != 4 { // the tracks of two takes
			t.Errorf("verified by %d reads", n)
		}
		f.restart()
		time.Sleep(time.Hour)
		mustStep(t, a)
		if n := first.read.Load(); n != 0 {
			t.Errorf("the retry read %d files back", n)
		}
		if n := len(a.verified.mu.objects); n != 0 {
			t.Errorf("%d objects are remembered of a finished recording", n)
		}
		// Another process knows nothing.
		again := newJob(w.archiver(Config{}, first), media.Claim{Recording: w.row(), Action: media.ActArchive})
		must(t, again.archive(t.Context()))
		if n := first.read.Load(); n != 4 {
			t.Errorf("another process verified by %d reads", n)
		}
	})
}

func TestDeletionIsToldBeforeTheBytesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		_, err := w.catalog.RequestDelete(t.Context(), w.id)
		must(t, err)
		f := deadFaults()
		a := w.archiver(Config{}, &faultyObjects{w.objects, f})
		if _, err := a.Step(t.Context()); !errors.Is(err, errFault) {
			t.Errorf("step: %v", err)
		}
		if row := w.row(); row.State != media.Deleting || !w.events.has(media.EventDeleted) || w.events.has(media.EventFailed) {
			t.Errorf("row %+v, events %v", row, w.events.types)
		}
	})
}

// stuckPuts is a store that takes nothing, and never says so.
type stuckPuts struct{ objstoretest.Store }

func (stuckPuts) Put(ctx context.Context, _ string, _ io.ReaderAt, _ int64, _ media.PutOptions) (media.Object, error) {
	<-ctx.Done()
	return media.Object{}, ctx.Err()
}

func TestRemovalsDoNotWaitForArchiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		for i := range 5 {
			w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", i))
			w.record(100)
		}
		a := w.archiver(Config{Parallel: 2, Removals: 1}, stuckPuts{w.objects})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		time.Sleep(10 * time.Second)
		_, err := w.catalog.RequestDelete(t.Context(), w.id) // of the one that came last
		must(t, err)
		time.Sleep(2 * a.config.Poll)
		synctest.Wait()
		if row := w.row(); row.State != media.Deleted {
			t.Errorf("row %+v", row)
		}
		cancel()
		must(t, <-done)
	})
}
