package archiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// liar is a store that keeps other bytes than it was given, and says that all is well.
type liar struct {
	objstoretest.Store
	spoil func(key string, b []byte) []byte
}

func (l *liar) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return media.Object{}, err
	}
	object := media.Object{Key: key, Size: size, Checksum: objstoretest.Sum(b), HasChecksum: true}
	b = l.spoil(key, b)
	_, err := l.Store.Put(ctx, key, bytes.NewReader(b), int64(len(b)), options)
	return object, err
}

func TestStoreThatKeepsOtherBytesIsFoundOut(t *testing.T) {
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2]++
		return b
	}
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	for _, name := range []string{"1/video.mp4", "2/audio.idx", "1/metadata.jsonl", "video.m3u8", "recording.json"} {
		for act, spoil := range map[string]func([]byte) []byte{"flips": flip, "cuts": cut} {
			t.Run(act+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newDirWorld(t)
					defer w.close()
					w.record(100)
					original := w.localFiles()
					a := w.archiver(Config{}, &liar{w.objects, func(key string, b []byte) []byte {
						if key == w.prefix()+name {
							return spoil(b)
						}
						return b
					}})
					if _, err := a.Step(t.Context()); !errors.Is(err, errDiffers) {
						t.Fatalf("step: %v, want errDiffers", err)
					}
					if row := w.row(); row.State != media.Ended || row.LastError == "" {
						t.Errorf("row %+v", row)
					}
					if name != "recording.json" {
						objstoretest.MustLack(t, w.objects, w.prefix()+"recording.json")
					}
					time.Sleep(time.Hour)
					mustStep(t, w.archiver(Config{})) // the store was repaired
					w.checkOrder(original)
					w.checkArchive(original)
				})
			})
		}
	}
}

func TestMediaUnderAManifestIsNotOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		a := w.archiver(Config{})
		mustStep(t, a)
		key := w.prefix() + "1/video.mp4"
		objstoretest.MustPut(t, w.objects, key, []byte("something else"), media.PutOptions{})
		again := newJob(a, media.Claim{Recording: w.row(), Action: media.ActArchive})
		if err := again.archive(t.Context()); !errors.Is(err, media.ErrConflict) {
			t.Errorf("archived again: %v, want ErrConflict", err)
		}
		objstoretest.MustHave(t, w.objects, key, []byte("something else"))
		time.Sleep(time.Hour)
		if _, err := a.Step(t.Context()); !errors.Is(err, media.ErrConflict) { // drop_local
			t.Errorf("dropped: %v, want ErrConflict", err)
		}
		if row := w.row(); !row.Local || len(w.localFiles()) == 0 || row.LastError == "" {
			t.Errorf("row %+v, %d local files", row, len(w.localFiles()))
		}
	})
}

func TestArchiveThatLostObjectsIsMadeWholeBeforeTheDrop(t *testing.T) {
	for _, name := range []string{"1/video.mp4", "2/audio.idx", "1/metadata.jsonl", "recording.json"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDirWorld(t)
				defer w.close()
				w.record(100)
				original := w.localFiles()
				a := w.archiver(Config{})
				mustStep(t, a)
				must(t, w.objects.Delete(t.Context(), w.prefix()+name))
				time.Sleep(time.Hour)
				mustStep(t, a)
				w.checkArchive(original)
				if row := w.row(); row.Local || len(w.localFiles()) != 0 {
					t.Errorf("row %+v, %d local files", row, len(w.localFiles()))
				}
			})
		})
	}
}

func TestDropWaitsForAnArchiveThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		original := w.localFiles()
		mustStep(t, w.archiver(Config{}))
		time.Sleep(time.Hour)
		away := w.archiver(Config{}, &faultyObjects{w.objects, deadFaults()})
		if _, err := away.Step(t.Context()); !errors.Is(err, errFault) {
			t.Error(err)
		}
		if len(w.localFiles()) != len(original) {
			t.Error("local files are gone")
		}
	})
}

func deadFaults() *faults {
	f := &faults{}
	f.mu.dead = true
	return f
}

func TestBytesOfAFencedWriterDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		original := w.localFiles()
		a := w.archiver(Config{})
		mustStep(t, a)
		f, err := os.OpenFile(filepath.Join(w.dir, w.prefix(), "1/video.mp4"), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString("from a zombie")
		must(t, errors.Join(err, f.Close()))
		again := newJob(a, media.Claim{Recording: w.row(), Action: media.ActArchive})
		must(t, again.archive(t.Context()))
		w.checkArchive(original)
		time.Sleep(time.Hour)
		mustStep(t, a)
		w.checkArchive(original)
	})
}

func TestTakeThatIsNotSealedIsRecoveredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		w.edit(`"sealed": true`, `"sealed": false`)
		original := w.localFiles()
		a := w.archiver(Config{})
		if _, err := a.Step(t.Context()); !errors.Is(err, media.ErrConflict) {
			t.Errorf("archived at once: %v", err)
		}
		time.Sleep(sealTimeout)
		mustStep(t, a)
		w.checkArchive(original)
	})
}

// A take that its volume did not let be sealed, with others after it, is recovered at once.
func TestEarlierTakeThatIsNotSealedHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		original := w.localFiles()
		w.editTimes(`"sealed": true`, `"sealed": false`, 1)
		mustStep(t, w.archiver(Config{}))
		w.checkArchive(original)
	})
}

// edit replaces text in the local manifest.
func (w *world) edit(old, text string) {
	w.tb.Helper()
	w.editTimes(old, text, -1)
}

func (w *world) editTimes(old, text string, times int) {
	w.tb.Helper()
	name := filepath.Join(w.dir, w.prefix(), "recording.json")
	b, err := os.ReadFile(name)
	must(w.tb, err)
	changed := bytes.Replace(b, []byte(old), []byte(text), times)
	if bytes.Equal(b, changed) {
		w.tb.Fatalf("manifest has no %s:\n%s", old, b)
	}
	must(w.tb, os.WriteFile(name, changed, 0o644))
}

func TestLostIndexIsRebuiltBeforeArchiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		must(t, os.Remove(filepath.Join(w.dir, w.prefix(), "2/video.idx")))
		mustStep(t, w.archiver(Config{}))
		rec, err := reclog.Load(t.Context(), w.objects, testPath(), w.id)
		must(t, err)
		for _, seg := range rec.Tracks[0].Segments {
			if seg.Gap != seg.Filler {
				t.Errorf("segment %+v", seg)
			}
		}
		objstoretest.MustHave(t, w.objects, w.prefix()+"2/video.mp4", w.localFiles()[w.prefix()+"2/video.mp4"])
	})
}

func TestLostMediaStopsArchiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		must(t, os.Truncate(filepath.Join(w.dir, w.prefix(), "2/video.mp4"), 50))
		must(t, os.Chmod(filepath.Join(w.dir, w.prefix(), "2"), 0o755))
		if _, err := w.archiver(Config{}).Step(t.Context()); err == nil {
			t.Error("archived")
		}
		if row := w.row(); row.State != media.Ended || row.LastError == "" {
			t.Errorf("row %+v", row)
		}
		objstoretest.MustLack(t, w.objects, w.prefix()+"recording.json")
	})
}

func TestRecordingThatOnlyTheArchiveHasIsArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		a := w.archiver(Config{})
		mustStep(t, a)
		must(t, w.root.Remove(t.Context(), testPath(), w.id))
		again := newJob(a, media.Claim{Recording: w.row(), Action: media.ActArchive})
		must(t, again.archive(t.Context()))
		must(t, w.objects.Delete(t.Context(), w.prefix()+"1/video.mp4"))
		if err := again.archive(t.Context()); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("archived without a copy anywhere: %v", err)
		}
	})
}
