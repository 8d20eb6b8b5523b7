package archiver

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// A store that is away keeps a source's media from going before its clip has a copy: the rows say so, and the clip plays.
func TestSourceStaysWhileItsClipCantBeCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.datedSource(500)
		a := w.archiver(Config{})
		mustStep(t, a)
		clip := w.madeClip(a, clipFrom, clipTo)
		_, err := w.catalog.ChangeRecording(t.Context(), clip.ID, media.RecordingChange{Keep: new(true)})
		must(t, err)
		want := segmentsOf(t, w.objects, clip.ID)
		_, err = w.catalog.RequestDelete(t.Context(), w.id)
		must(t, err)
		left := 0
		away := w.archiver(Config{}, failing{w.objects, &left})
		for range 5 {
			mustStep(t, away)
			if _, err := away.StepClip(t.Context(), true); !errors.Is(err, errPut) {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		source := w.row()
		clip, err = w.catalog.Recording(t.Context(), clip.ID)
		must(t, err)
		if source.State != media.Deleting || !strings.Contains(source.LastError, "1 clips are to get copies of the media first") ||
			!strings.Contains(clip.LastError, "put failed") || clip.State != media.Archived {
			t.Errorf("source %+v\nclip %+v", source, clip)
		}
		sameSegments(t, "while the store is away", segmentsOf(t, w.objects, clip.ID), want)
		for begun := time.Now(); w.row().State != media.Deleted && time.Since(begun) < 48*time.Hour; {
			_, err := a.StepClip(t.Context(), true)
			must(t, err)
			_, err = a.Step(t.Context())
			must(t, err)
			time.Sleep(10 * time.Minute)
		}
		clip, err = w.catalog.Recording(t.Context(), clip.ID)
		must(t, err)
		if row := w.row(); row.State != media.Deleted || row.LastError != "" || clip.LastError != "" {
			t.Errorf("source %+v\nclip %+v", row, clip)
		}
		sameSegments(t, "when it is back", segmentsOf(t, w.objects, clip.ID), want)
	})
}

// A clip of a clip whose source is being deleted has that clip's own media, once that has it.
func TestClipOfAClipWaitsForItsMedia(t *testing.T) {
	for name, archived := range map[string]bool{"local": false, "archived": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDirWorld(t)
				defer w.close()
				w.datedSource(500)
				a := w.archiver(Config{})
				files := w.root.Files()
				if archived {
					files = w.objects
					mustStep(t, a)
				} else {
					late := media.Span(time.Hour)
					_, err := w.catalog.ChangeStream(t.Context(), testPath(), media.StreamChange{Settings: media.SettingsPatch{ArchiveDelay: &late}})
					must(t, err)
				}
				first := w.madeClip(a, clipFrom, clipTo)
				_, err := w.catalog.RequestDelete(t.Context(), w.id)
				must(t, err)
				second, err := w.catalog.CreateClip(t.Context(), media.Recording{
					ClipOf: first.ID, ClipStart: 2500 * time.Millisecond, ClipEnd: first.Duration,
				})
				must(t, err)
				for range 20 {
					for _, made := range []bool{false, true} {
						_, err := a.StepClip(t.Context(), made)
						must(t, err)
					}
					_, err := a.Step(t.Context())
					must(t, err)
					time.Sleep(waitRetry)
				}
				if row := w.row(); row.State != media.Deleted {
					t.Fatalf("source %+v", row)
				}
				rec, err := reclog.Load(t.Context(), files, testPath(), second.ID)
				must(t, err)
				if rec.Source != first.ID {
					t.Errorf("it has the media of %s", rec.Source)
				}
				whole := segmentsOf(t, files, first.ID)
				for name, data := range segmentsOf(t, files, second.ID) {
					if string(whole[name]) != string(data) {
						t.Errorf("%s has other bytes", name)
					}
				}
				if archived && len(objstoretest.MustKeys(t, w.objects, testPath().String()+"/"+string(w.id))) > 0 {
					t.Error("the source is left")
				}
			})
		})
	}
}
