package archiver

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func TestLifeOfARecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		a := w.archiver(Config{})
		if did, err := a.Step(t.Context()); did || err != nil {
			t.Fatalf("step without anything due: %v, %v", did, err)
		}
		w.record(1000)
		original := w.localFiles()

		mustStep(t, a)
		w.checkOrder(original)
		w.checkArchive(original)
		if row := w.row(); row.State != media.Archived || !row.Local || row.Attempts != 0 || !w.events.has(media.EventArchived) {
			t.Errorf("after archiving: %+v, %v", row, w.events.types)
		}
		rec, err := reclog.Load(t.Context(), w.root.Files(), testPath(), testID)
		if err != nil || rec.State != media.Archived {
			t.Errorf("local manifest: %v, %v", rec, err)
		}
		if did, err := a.Step(t.Context()); did || err != nil {
			t.Fatalf("something is due within the grace: %v, %v", did, err)
		}

		time.Sleep(a.config.Grace + time.Second)
		mustStep(t, a)
		w.checkArchive(original)
		if row := w.row(); row.Local || row.State != media.Archived || len(w.localFiles()) != 0 {
			t.Errorf("after the grace: %+v, %d local files", row, len(w.localFiles()))
		}

		time.Sleep(24 * time.Hour)
		mustStep(t, a)
		w.checkOrder(original)
		if row := w.row(); row.State != media.Deleted || !w.events.has(media.EventDeleted) {
			t.Errorf("after retention: %+v, %v", row, w.events.types)
		}
		if did, err := a.Step(t.Context()); did || err != nil {
			t.Fatalf("something is due after deletion: %v, %v", did, err)
		}
	})
}

func TestDeleteWithoutArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		// Objects of a neighbour whose name begins alike.
		objstoretest.MustPut(t, w.objects, "acme/show2/x", []byte("mine"), media.PutOptions{})
		_, err := w.catalog.RequestDelete(t.Context(), testID)
		must(t, err)
		mustStep(t, w.archiver(Config{}))
		if row := w.row(); row.State != media.Deleted || len(w.localFiles()) != 0 {
			t.Errorf("%+v, %d local files", row, len(w.localFiles()))
		}
		objstoretest.MustHave(t, w.objects, "acme/show2/x", []byte("mine"))
	})
}

func TestGrowingRecordingIsNotArchived(t *testing.T) {
	for _, state := range []media.State{media.Live, media.Interrupted} {
		synctest.Test(t, func(t *testing.T) {
			w := newDirWorld(t)
			defer w.close()
			w.record(100)
			_, writer, err := w.root.Reopen(t.Context(), testPath(), testID)
			must(t, err)
			must(t, writer.Update(func(m *reclog.Manifest) { m.State = state }))
			if _, err := w.archiver(Config{}).Step(t.Context()); !errors.Is(err, media.ErrConflict) {
				t.Errorf("archived while %s: %v", state, err)
			}
			if keys := objstoretest.MustKeys(t, w.objects, ""); len(keys) > 0 {
				t.Errorf("stored %v", keys)
			}
			if row := w.row(); row.State != media.Ended || row.LastError == "" || row.Attempts != 1 {
				t.Errorf("row %+v", row)
			}
		})
	}
}

func TestRecordingWithoutMediaIsArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		writer, err := w.root.Create(reclog.Manifest{
			ID: testID, Publisher: "acme", Stream: "show", StartedAt: time.Now(), Settings: media.DefaultSettings(),
			Constants: media.Constants{TargetDuration: 2 * time.Second},
		})
		must(t, err)
		must(t, writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, time.Now() }))
		must(t, w.catalog.SaveRecording(t.Context(), media.Recording{
			ID: testID, Path: testPath(), State: media.Ended, StartedAt: time.Now(), EndedAt: time.Now(),
		}))
		mustStep(t, w.archiver(Config{}))
		if row := w.row(); row.State != media.Archived {
			t.Errorf("row %+v", row)
		}
	})
}

func TestKeptLocalCopyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		a := w.archiver(Config{KeepLocal: true})
		mustStep(t, a)
		time.Sleep(12 * time.Hour)
		if did, err := a.Step(t.Context()); did || err != nil {
			t.Errorf("something is due: %v, %v", did, err)
		}
	})
}
