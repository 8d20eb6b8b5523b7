package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// eachStore runs a test with a directory and with a real S3 server for the archive.
func eachStore(t *testing.T, test func(t *testing.T, w *world, left func() []string)) {
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		d, err := objstore.OpenDir(dir)
		must(t, err)
		w := newWorld(t, d)
		t.Cleanup(w.close)
		test(t, w, func() []string {
			names, err := filepath.Glob(filepath.Join(dir, ".tmp", "*"))
			must(t, err)
			return names
		})
	})
	t.Run("S3", func(t *testing.T) {
		w, gateway := newS3World(t)
		test(t, w, func() []string { return multipart(t, gateway) })
	})
}

const mib = 1 << 20

func TestShowUploadedWhileItIsLiveIsArchivedAtItsEnd(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, left func() []string) {
		l := w.mustGoLive()
		a := w.archiver(Config{Grace: time.Hour})
		c := w.continuous(a)
		must(t, c.Step(t.Context())) // before there is a take
		l.mustTake()
		for range 3 {
			l.mustGrow(2, mib)
			must(t, c.Step(t.Context()))
		}
		if row := w.row(); !row.Uploaded || row.LastError != "" {
			t.Errorf("row %+v", row)
		}
		must(t, l.take.Seal())
		must(t, l.writer.AppendMetadata(testPiece(1, "told")))
		must(t, c.Step(t.Context()))
		objstoretest.MustHave(t, w.objects, reclog.TrackName(testPath(), w.id, 1, "video"),
			w.localFiles()[reclog.TrackName(testPath(), w.id, 1, "video")])
		l.mustTake()
		l.mustGrow(7, mib)
		must(t, c.Step(t.Context()))
		l.mustGrow(1, mib)
		l.mustEnd()
		original := w.localFiles()
		did, err := a.Step(t.Context())
		must(t, err)
		if row := w.row(); !did || row.State != media.Archived || row.LastError != "" {
			t.Fatalf("row %+v", row)
		}
		l.checkWhole(original)
		must(t, c.Step(t.Context()))
		if len(c.list()) > 0 || len(left()) > 0 {
			t.Errorf("%d shows, uploads %v are left", len(c.list()), left())
		}
		l.checkWhole(original)
	})
}

// TestLostShowIsSalvaged removes the cluster's copy after each tick of a show of two takes.
func TestLostShowIsSalvaged(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, left func() []string) {
		const steps = 9
		for lost := range steps {
			if stride > 1 && lost%4 != 0 && lost != 3 { // with the race detector: the ends, and about the second take
				continue
			}
			w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr0%03d", lost))
			l := w.mustGoLive()
			a := w.archiver(Config{})
			c := w.continuous(a)
			uploaded := 0
			for step := range steps {
				if step == 0 || step == 4 {
					l.mustTake()
				}
				l.mustGrow(1, mib)
				must(t, c.Step(t.Context()))
				uploaded++
				if step == 3 {
					must(t, l.take.Seal())
				}
				if step == lost {
					break
				}
			}
			l.mustGrow2(lost) // not uploaded
			original := w.localFiles()
			l.mustLose()
			mustStep(t, a)
			row := w.row()
			if row.State != media.Archived || row.Local || !strings.Contains(row.LastError, "lost") || row.Duration == 0 {
				t.Fatalf("lost at %d: row %+v", lost, row)
			}
			rec := l.checkSaved(original, uploaded)
			if n := len(rec.Tracks[0].Segments); n != uploaded {
				t.Fatalf("lost at %d: %d segments, want %d", lost, n, uploaded)
			}
			must(t, c.Step(t.Context()))
			if len(left()) > 0 {
				t.Fatalf("lost at %d: uploads %v are left", lost, left())
			}
		}
	})
}

// mustGrow2 grows unless the take is sealed.
func (l *live) mustGrow2(step int) {
	l.tb.Helper()
	if step != 3 {
		l.mustGrow(1, mib)
	}
}

func TestArchiverStoppedWhileItUploadsIsFollowedByAnother(t *testing.T) {
	w, gateway := newS3World(t)
	l := w.mustGoLive()
	l.mustTake()
	for n := range 6 {
		// Each process is stopped at another place: when an upload was noted, or between two ticks, without a word.
		l.mustGrow(2, mib)
		_, err := w.catalog.LapseClaims(t.Context(), fmt.Sprint("process-", n-1), time.Now())
		must(t, err)
		a := w.archiver(Config{Owner: fmt.Sprint("process-", n)})
		if n%2 == 0 {
			ctx, cancel := context.WithCancel(t.Context())
			a.archives[media.DefaultArchive].Objects = &stoppedAt{Objects: w.objects, at: n/2 + 1, stop: cancel}
			ignoreStop(t, w.continuous(a).Step(ctx))
			cancel()
			continue
		}
		must(t, w.continuous(a).Step(t.Context()))
	}
	if n := len(w.uploads()); n != 2 {
		t.Errorf("%d uploads are noted for two files", n)
	}
	l.mustEnd()
	original := w.localFiles()
	mustStep(t, w.archiver(Config{Owner: "last"}))
	l.checkWhole(original)
	if left := multipart(t, gateway); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// stoppedAt is a store whose user is stopped in the middle of the nth extension of an upload.
type stoppedAt struct {
	Objects
	at   int
	stop context.CancelFunc
}

type stoppingReader struct {
	r    *reclog.Range
	stop context.CancelFunc
}

func (s *stoppingReader) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		s.stop()
	}
	return s.r.ReadAt(p, off)
}

func (s *stoppedAt) ExtendUpload(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error {
	if s.at--; s.at == 0 {
		if source, ok := r.(*reclog.Range); ok {
			r = &stoppingReader{source, s.stop}
		}
	}
	return s.Objects.ExtendUpload(ctx, u, r, size)
}

func TestTwoArchiversUploadOneShow(t *testing.T) {
	w, gateway := newS3World(t)
	l := w.mustGoLive()
	l.mustTake()
	a, b := w.archiver(Config{Owner: "a"}), w.archiver(Config{Owner: "b"})
	first, second := w.continuous(a), w.continuous(b)
	l.mustGrow(4, mib)
	must(t, first.Step(t.Context()))
	must(t, second.Step(t.Context()))
	if len(first.list()) != 1 || len(second.list()) != 0 {
		t.Fatalf("%d and %d shows", len(first.list()), len(second.list()))
	}
	_, err := w.catalog.LapseClaims(t.Context(), "a", time.Now())
	must(t, err)
	l.mustGrow(3, mib)
	must(t, second.Step(t.Context()))
	must(t, first.Step(t.Context())) // it is fenced
	if len(first.list()) != 0 || len(second.list()) != 1 {
		t.Fatalf("%d and %d shows", len(first.list()), len(second.list()))
	}
	l.mustGrow(1, mib)
	must(t, second.Step(t.Context()))
	l.mustEnd()
	original := w.localFiles()
	mustStep(t, a) // the one that has only a part of it
	l.checkWhole(original)
	if left := multipart(t, gateway); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestChangedModeInTheMiddleOfAShow(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, left func() []string) {
		l := w.mustGoLive()
		l.mustTake()
		l.mustGrow(7, mib)
		a := w.archiver(Config{})
		c := w.continuous(a)
		must(t, c.Step(t.Context()))
		noted := w.uploads()
		set := func(p media.SettingsPatch) {
			_, err := w.catalog.ChangeStream(t.Context(), testPath(), media.StreamChange{Settings: p})
			must(t, err)
		}
		after, mode, off := media.ArchiveAfterEnd, media.ArchiveContinuous, media.RecordOff
		set(media.SettingsPatch{ArchiveMode: &after})
		must(t, c.Step(t.Context()))
		if have := w.uploads(); len(c.list()) > 0 || len(have) != len(noted) || !w.row().Uploaded {
			t.Errorf("after_end: %d shows, uploads %v, were %v", len(c.list()), have, noted)
		}
		set(media.SettingsPatch{ArchiveMode: &mode})
		must(t, c.Step(t.Context()))
		if len(c.list()) != 1 || len(w.uploads()) != len(noted) {
			t.Errorf("continuous again: %d shows, uploads %v", len(c.list()), w.uploads())
		}
		set(media.SettingsPatch{Record: &off})
		must(t, c.Step(t.Context()))
		if len(c.list()) > 0 || len(w.uploads()) > 0 || len(left()) > 0 || w.row().Uploaded {
			t.Errorf("record off: %d shows, uploads %v, left %v, row %+v", len(c.list()), w.uploads(), left(), w.row())
		}
		if keys := objstoretest.MustKeys(t, w.objects, ""); len(keys) > 0 {
			t.Errorf("record off: the archive has %v", keys)
		}
	})
}

func TestNothingOfUseUploadedOfALostShow(t *testing.T) {
	w, gateway := newS3World(t)
	l := w.mustGoLive()
	l.mustTake()
	l.mustGrow(1, mib)
	a := w.archiver(Config{})
	a.archives[media.DefaultArchive].Objects = &undescribed{w.objects}
	if err := w.continuous(a).Step(t.Context()); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if row := w.row(); !row.Uploaded || !strings.Contains(row.LastError, errFault.Error()) {
		t.Errorf("row %+v", row)
	}
	l.mustLose()
	mustStep(t, w.archiver(Config{}))
	if row := w.row(); row.State != media.Ended || row.Uploaded || !strings.Contains(row.LastError, "lost") {
		t.Errorf("row %+v", row)
	}
	if left := multipart(t, gateway); len(left) > 0 || len(w.uploads()) > 0 || !w.events.has(media.EventFailed) {
		t.Errorf("left: %v, %v", left, w.uploads())
	}
}

// undescribed is a store that refuses small objects.
type undescribed struct{ Objects }

func (u *undescribed) Put(context.Context, string, io.ReaderAt, int64, media.PutOptions) (media.Object, error) {
	return media.Object{}, errFault
}

// TestSalvageStoppedInTheMiddle has each request of a salvage fail once, or its answer be lost.
func TestSalvageStoppedInTheMiddle(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	for first, mode := range []string{failBefore, failAfter} {
		for at := 1 + first; ; at += 2 * stride {
			w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%d%03d", len(mode)%10, at))
			l := w.mustGoLive()
			l.mustTake()
			l.mustGrow(520, 10) // its index is an object and a tail
			c := w.continuous(w.archiver(Config{}))
			must(t, c.Step(t.Context()))
			l.mustGrow(3, 10)
			must(t, c.Step(t.Context()))
			original := w.localFiles()
			l.mustLose()
			f := &faults{mode: mode, at: at}
			a := w.archiver(Config{RetryMin: time.Nanosecond, RetryMax: time.Nanosecond},
				&faultyObjects{w.objects, f}, &faultyCatalog{w.catalog, w.catalog, f})
			_, err := a.Step(t.Context())
			if err == nil && f.fired() == "" {
				l.checkSaved(original, 523)
				break
			}
			for w.row().State != media.Archived {
				if _, err := a.Step(t.Context()); err != nil && !errors.Is(err, errFault) {
					t.Fatalf("%s at %d (%s): %v", mode, at, f.fired(), err)
				}
				f.restart()
			}
			l.checkSaved(original, 523)
		}
	}
}

// TestTickOfALongShowReadsWhatIsNew holds the costs of a tick to what was added.
func TestTickOfALongShowReadsWhatIsNew(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	l := w.mustGoLive()
	l.mustTake()
	l.mustGrow(3000, 10)
	a := w.archiver(Config{})
	c := w.continuous(a)
	must(t, c.Step(t.Context()))
	text, err := w.objects.ReadFile(t.Context(), w.prefix()+growingName)
	must(t, err)
	if len(text) > 3*maxTail {
		t.Errorf("the description has %d bytes", len(text))
	}
	index := reclog.IndexName(testPath(), w.id, 1, "video")
	before, err := w.objects.Stat(t.Context(), index)
	must(t, err)
	l.mustGrow(5, 10)
	must(t, c.Step(t.Context()))
	after, err := w.objects.Stat(t.Context(), index)
	must(t, err)
	if after.Size != before.Size {
		t.Errorf("the index was stored again for five lines")
	}
	local, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(index)))
	must(t, err)
	object, err := w.objects.ReadFile(t.Context(), index)
	must(t, err)
	text, err = w.objects.ReadFile(t.Context(), w.prefix()+growingName)
	must(t, err)
	doc, err := parseGrowing(text)
	must(t, err)
	for _, lines := range doc.Lines {
		if lines.Object != "1/video.idx" {
			continue
		}
		if whole := append(object[:lines.Base:lines.Base], lines.Tail...); !bytes.Equal(whole, local) {
			t.Errorf("base and tail give %d bytes, the index has %d", len(whole), len(local))
		}
	}
	l.mustEnd()
	original := w.localFiles()
	mustStep(t, a)
	l.checkWhole(original)
}
