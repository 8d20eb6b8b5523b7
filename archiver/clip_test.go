package archiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// clipOf asks for a clip of the world's recording.
func (w *world) clipOf(start, end time.Duration) media.Recording {
	w.tb.Helper()
	r, err := w.catalog.CreateClip(w.tb.Context(), media.Recording{ClipOf: w.id, ClipStart: start, ClipEnd: end})
	must(w.tb, err)
	return r
}

// madeClip asks for one, and has it made.
func (w *world) madeClip(a *Archiver, start, end time.Duration) media.Recording {
	w.tb.Helper()
	clip := w.clipOf(start, end)
	did, err := a.StepClip(w.tb.Context(), false)
	must(w.tb, err)
	if !did {
		w.tb.Fatal("the clip is not due")
	}
	clip, err = w.catalog.Recording(w.tb.Context(), clip.ID)
	must(w.tb, err)
	return clip
}

// datedSource writes the world's recording, its row's start where its first segment's date is.
func (w *world) datedSource(payload int) {
	w.tb.Helper()
	must(w.tb, w.write(payload, media.Ended))
	rec, err := reclog.Load(w.tb.Context(), w.root.Files(), testPath(), w.id)
	must(w.tb, err)
	time.Sleep(time.Minute) // of the bubble
	must(w.tb, w.catalog.SaveRecording(w.tb.Context(), media.Recording{
		ID: w.id, Path: testPath(), State: media.Ended, StartedAt: rec.Tracks[0].Segments[0].Date, EndedAt: time.Now(),
		Duration: 14 * time.Second, Bytes: 1, Local: true,
	}))
}

// steps does all that is due.
func steps(tb testing.TB, a *Archiver) {
	tb.Helper()
	for did := true; did; {
		var err error
		did, err = a.Step(tb.Context())
		must(tb, err)
	}
}

// segmentsOf reads every segment and init section of a recording, by its name in URLs.
func segmentsOf(tb testing.TB, files reclog.Files, id media.RecordingID) map[string][]byte {
	tb.Helper()
	rec, err := reclog.Load(tb.Context(), files, testPath(), id)
	must(tb, err)
	if len(rec.Damage) > 0 {
		tb.Fatalf("%s has damage: %v", id, rec.Damage)
	}
	read := func(name string, offset, size int64) []byte {
		in, err := files.OpenRange(tb.Context(), name, offset, size)
		must(tb, err)
		data, err := io.ReadAll(in)
		must(tb, errors.Join(err, in.Close()))
		return data
	}
	out := make(map[string][]byte)
	for i, track := range rec.Tracks {
		for _, take := range rec.Takes {
			name := rec.TrackName(take.Number, track.Name)
			key := track.Name + "/" + string(rune('0'+take.Number))
			out[key] = read(name, 0, take.Tracks[i].InitSize)
		}
		for _, seg := range track.Segments {
			if !seg.Gap {
				out[track.Name+"/"+seg.Date.String()] = read(rec.TrackName(seg.Take, track.Name), seg.Offset, seg.Size)
			}
		}
	}
	return out
}

func sameSegments(tb testing.TB, what string, have, want map[string][]byte) {
	tb.Helper()
	if len(have) != len(want) {
		tb.Fatalf("%s: %d pieces of media, want %d", what, len(have), len(want))
	}
	for name, data := range want {
		if !bytes.Equal(have[name], data) {
			tb.Fatalf("%s: other bytes of %s", what, name)
		}
	}
}

// The takes of the test's recording have four segments of two seconds each, the last of the first a filler: a clip from
// 3 s to 11 s is MSNs 2 to 6, over both takes.
const clipFrom, clipTo = 3 * time.Second, 11 * time.Second

func TestClipRefersToItsSourceAndIsArchivedBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.datedSource(1000)
		a := w.archiver(Config{})
		clip := w.madeClip(a, clipFrom, clipTo)
		if !clip.Local || clip.State != media.Ended || clip.Duration != 8*time.Second || clip.ClipOf != w.id {
			t.Fatalf("made: %+v", clip)
		}
		rec, err := reclog.Load(t.Context(), w.root.Files(), testPath(), clip.ID)
		must(t, err)
		video := rec.Tracks[0].Segments
		if rec.Source != w.id || len(video) != 5 || video[0].MSN != 2 || len(rec.Takes) != 2 {
			t.Fatalf("clip %+v", rec)
		}
		for name := range w.localFiles() {
			if strings.Contains(name, string(clip.ID)) && strings.HasSuffix(name, ".mp4") {
				t.Errorf("%s was copied", name)
			}
		}
		want := segmentsOf(t, w.root.Files(), clip.ID)

		if row, err := w.catalog.LatestRecording(t.Context(), testPath()); err != nil || row.ID != w.id {
			t.Errorf("latest is %s, %v", row.ID, err)
		}
		if id, err := w.root.Latest(t.Context(), testPath()); err != nil || id != w.id {
			t.Errorf("latest on storage is %s, %v", id, err)
		}

		// Both are due; the clip waits for its source, whichever is claimed first.
		for range 3 {
			steps(t, a)
			time.Sleep(sourceRetry)
		}
		clip, err = w.catalog.Recording(t.Context(), clip.ID)
		must(t, err)
		if clip.State != media.Archived || clip.Attempts != 0 || clip.LastError != "" {
			t.Fatalf("archived: %+v", clip)
		}
		sameSegments(t, "archived clip", segmentsOf(t, w.objects, clip.ID), want)
		text, err := w.objects.ReadFile(t.Context(), testPath().String()+"/"+string(clip.ID)+"/video.m3u8")
		must(t, err)
		if !strings.Contains(string(text), "\n../"+string(w.id)+"/1/video.mp4\n") {
			t.Errorf("static playlist:\n%s", text)
		}
	})
}

func TestSourceIsDeletedOnceItsClipsHaveCopies(t *testing.T) {
	for name, archived := range map[string]bool{"local": false, "archived": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDirWorld(t)
				defer w.close()
				w.datedSource(5000)
				a := w.archiver(Config{})
				files := w.root.Files()
				if archived {
					files = w.objects
					mustStep(t, a)
				} else { // nothing is archived in this test
					late := media.Span(time.Hour)
					_, err := w.catalog.ChangeStream(t.Context(), testPath(), media.StreamChange{Settings: media.SettingsPatch{ArchiveDelay: &late}})
					must(t, err)
				}
				clip := w.madeClip(a, clipFrom, clipTo)
				if archived != (clip.State == media.Archived) || archived == clip.Local {
					t.Fatalf("made: %+v", clip)
				}
				_, err := w.catalog.ChangeRecording(t.Context(), clip.ID, media.RecordingChange{Keep: new(true)})
				must(t, err)
				want := segmentsOf(t, files, clip.ID)

				_, err = w.catalog.RequestDelete(t.Context(), w.id)
				must(t, err)
				mustStep(t, a) // the deletion waits
				if row := w.row(); row.State != media.Deleting || row.Attempts != 0 {
					t.Fatalf("source %+v", row)
				}
				sameSegments(t, "while its source is deleted", segmentsOf(t, files, clip.ID), want)
				did, err := a.StepClip(t.Context(), true)
				must(t, err)
				if !did {
					t.Fatal("no copy is due")
				}
				sameSegments(t, "with its own media", segmentsOf(t, files, clip.ID), want)
				time.Sleep(2 * waitRetry)
				for w.row().State != media.Deleted {
					mustStep(t, a)
					time.Sleep(waitRetry)
				}
				sameSegments(t, "after its source is gone", segmentsOf(t, files, clip.ID), want)
				rec, err := reclog.Load(t.Context(), files, testPath(), clip.ID)
				must(t, err)
				if rec.Source != "" || rec.Clip == nil || rec.Format != reclog.FormatVersion {
					t.Errorf("clip %+v", rec.Manifest)
				}
				if !archived { // it is a recording like any other
					rec, _, err := w.root.Reopen(t.Context(), testPath(), clip.ID)
					must(t, err)
					if len(rec.Damage) > 0 {
						t.Errorf("reopened: %v", rec.Damage)
					}
					sameSegments(t, "reopened", segmentsOf(t, files, clip.ID), want)
				} else {
					w.checkSamples(rec)
					for _, key := range objstoretest.MustKeys(t, w.objects, "") {
						if strings.Contains(key, string(w.id)) || strings.HasSuffix(key, reclog.SourceIndexSuffix) {
							t.Errorf("%s is left", key)
						}
					}
				}

				// Deleting it takes its own files only, and all of them.
				_, err = w.catalog.ChangeRecording(t.Context(), clip.ID, media.RecordingChange{Keep: new(false)})
				must(t, err)
				_, err = w.catalog.RequestDelete(t.Context(), clip.ID)
				must(t, err)
				mustStep(t, a)
				if keys := objstoretest.MustKeys(t, w.objects, ""); len(keys) > 0 {
					t.Errorf("left in the archive: %v", keys)
				}
			})
		})
	}
}

// checkSamples says that the archive has the sample tables that follow from a recording's media there.
func (w *world) checkSamples(rec *reclog.Recording) {
	w.tb.Helper()
	for _, take := range rec.Takes {
		for i, track := range take.Tracks {
			table, err := progressive.Scan(w.tb.Context(), w.objects, rec.TrackName(take.Number, track.Name), take.Number,
				rec.Tracks[i].Segments)
			must(w.tb, err)
			name := progressive.SamplesName(testPath(), rec.ID, take.Number, track.Name)
			have, err := w.objects.ReadFile(w.tb.Context(), name)
			if err != nil || !bytes.Equal(have, table.Object()) {
				w.tb.Errorf("%s: %d bytes, want %d, %v", name, len(have), len(table.Object()), err)
			}
		}
	}
}

func TestLocalCopyIsDroppedBehindItsClips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.datedSource(1000)
		a := w.archiver(Config{Grace: time.Minute})
		clip := w.madeClip(a, clipFrom, clipTo)
		want := segmentsOf(t, w.root.Files(), clip.ID)
		for range 40 {
			steps(t, a)
			row, err := w.catalog.Recording(t.Context(), clip.ID)
			must(t, err)
			if row.Local {
				sameSegments(t, "local", segmentsOf(t, w.root.Files(), clip.ID), want)
			}
			time.Sleep(10 * time.Second)
		}
		row, err := w.catalog.Recording(t.Context(), clip.ID)
		must(t, err)
		if row.Local || w.row().Local || row.State != media.Archived {
			t.Fatalf("clip %+v\nsource %+v", row, w.row())
		}
		sameSegments(t, "archived", segmentsOf(t, w.objects, clip.ID), want)
		if left := w.localFiles(); len(left) > 0 {
			t.Errorf("%d local files are left", len(left))
		}
	})
}

// failing is a store whose n-th put, and all behind it, fail.
type failing struct {
	objstoretest.Store
	left *int
}

var errPut = errors.New("put failed")

func (f failing) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	if *f.left--; *f.left < 0 {
		return media.Object{}, errPut
	}
	return f.Store.Put(ctx, key, r, size, options)
}

// A copy in the archive that is cut off anywhere leaves a clip that plays, and is finished by the next try.
func TestCopyInTheArchiveIsCutOffAnywhere(t *testing.T) {
	for cut := 0; ; cut += min(stride, 3) {
		whole := false
		synctest.Test(t, func(t *testing.T) {
			w := newDirWorld(t)
			defer w.close()
			w.datedSource(500)
			a := w.archiver(Config{})
			mustStep(t, a)
			clip := w.madeClip(a, clipFrom, clipTo)
			want := segmentsOf(t, w.objects, clip.ID)
			if _, err := w.catalog.ReleaseClips(t.Context(), w.id, time.Now()); err != nil {
				t.Fatal(err)
			}
			left := cut
			_, err := w.archiver(Config{}, failing{w.objects, &left}).StepClip(t.Context(), true)
			whole = err == nil
			if err != nil && !errors.Is(err, errPut) {
				t.Fatal(err)
			}
			sameSegments(t, "cut off", segmentsOf(t, w.objects, clip.ID), want)
			time.Sleep(time.Hour)
			if _, err := a.StepClip(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			sameSegments(t, "finished", segmentsOf(t, w.objects, clip.ID), want)
			if n, err := w.catalog.ReleaseClips(t.Context(), w.id, time.Now()); n != 0 || err != nil {
				t.Fatalf("%d clips have no media of their own, %v", n, err)
			}
		})
		if whole || t.Failed() {
			if cut < 10 {
				t.Errorf("only %d puts", cut)
			}
			return
		}
	}
}

func TestClipOfNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.datedSource(100)
		a := w.archiver(Config{})
		clip := w.madeClip(a, 40*time.Second, 50*time.Second)
		if clip.Local || clip.State != media.Ended || !strings.Contains(clip.LastError, "nothing was recorded") {
			t.Errorf("clip %+v", clip)
		}
		if did, err := a.StepClip(t.Context(), false); did || err != nil {
			t.Errorf("it is due again: %v", err)
		}
		if n, err := w.catalog.ReleaseClips(t.Context(), w.id, time.Now()); n != 0 || err != nil {
			t.Errorf("it holds its source: %d, %v", n, err)
		}
	})
}
