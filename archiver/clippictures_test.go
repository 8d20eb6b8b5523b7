package archiver

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// sameStores says that two stores have the same objects, and gives their keys.
func sameStores(tb testing.TB, a, b objstoretest.Store) []string {
	tb.Helper()
	keys, others := objstoretest.MustKeys(tb, a, ""), objstoretest.MustKeys(tb, b, "")
	if !slices.Equal(keys, others) {
		tb.Errorf("the archive has\n%s\nthe mirror\n%s", strings.Join(keys, "\n"), strings.Join(others, "\n"))
	}
	for _, key := range keys {
		data, err := a.ReadFile(tb.Context(), key)
		other, otherErr := b.ReadFile(tb.Context(), key)
		if err := errors.Join(err, otherErr); err != nil || !bytes.Equal(data, other) {
			tb.Errorf("%s: %d bytes and %d, %v", key, len(data), len(other), err)
		}
	}
	return keys
}

// A recording with pictures and a clip of it: the mirror has all that the archive has, from beginning to end.
func TestClipHasItsPicturesAndTheMirrorHasAll(t *testing.T) {
	w, mirror := newMirrorWorld(t)
	defer w.close()
	s := newPictureShow(t, w, 7)
	s.segments(7)
	s.end()
	rec, err := reclog.Load(t.Context(), w.root.Files(), testPath(), w.id)
	must(t, err)
	must(t, w.catalog.SaveRecording(t.Context(), media.Recording{
		ID: w.id, Path: testPath(), State: media.Ended, StartedAt: rec.Tracks[0].Segments[0].Date, EndedAt: time.Now(),
		Duration: 7 * time.Second, Bytes: 1, Local: true,
	}))
	p := w.pictures(newMaker(t))
	a := w.archiver(Config{Grace: time.Hour, Pictures: p.Finish, Clipped: p.AddClip, RetryMin: time.Millisecond})
	clip := w.madeClip(a, 0, 7*time.Second)
	must(t, p.Step(t.Context()))
	pictures, err := w.root.Pictures(t.Context(), testPath(), clip.ID)
	must(t, err)
	if len(pictures) != 3 {
		t.Fatalf("the clip has %v", pictures)
	}
	clipState := func() media.Recording {
		row, err := w.catalog.Recording(t.Context(), clip.ID)
		must(t, err)
		return row
	}
	until := func(done func() bool) {
		t.Helper()
		for begun := time.Now(); !done(); {
			_, err := a.Step(t.Context())
			must(t, err)
			_, err = a.StepClip(t.Context(), true)
			must(t, err)
			if time.Since(begun) > 5*time.Minute {
				t.Fatalf("source %+v\nclip %+v", w.row(), clipState())
			}
		}
	}
	until(func() bool { return w.row().State == media.Archived && clipState().State == media.Archived })
	keys := sameStores(t, w.objects, mirror)
	for _, suffix := range []string{
		string(clip.ID) + "/thumbnail.jpg", string(clip.ID) + "/sprite-1.jpg", string(clip.ID) + "/thumbnails.vtt",
		string(w.id) + "/1/video.samples", string(w.id) + "/thumbnail.jpg", string(clip.ID) + "/1/video.source.idx",
	} {
		if !slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, suffix) }) {
			t.Errorf("no %s in %v", suffix, keys)
		}
	}

	_, err = w.catalog.RequestDelete(t.Context(), w.id)
	must(t, err)
	until(func() bool { return w.row().State == media.Deleted })
	keys = sameStores(t, w.objects, mirror)
	if len(keys) != 11 || !slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, "1/video.samples") }) {
		t.Errorf("the clip is %v", keys)
	}
	_, err = w.catalog.RequestDelete(t.Context(), clip.ID)
	must(t, err)
	until(func() bool { return clipState().State == media.Deleted })
	if keys := append(sameStores(t, w.objects, mirror), w.localDirs()); len(keys) != 1 || keys[0] != "" {
		t.Errorf("left: %v", keys)
	}
}

// Pictures that a store lost are stored again before the local ones go.
func TestPicturesAreLookedForBeforeTheLocalCopyGoes(t *testing.T) {
	w, mirror := newMirrorWorld(t)
	defer w.close()
	w.record(100)
	must(t, w.root.ReplacePicture(t.Context(), testPath(), w.id, reclog.ThumbnailFile, []byte("picture")))
	a := w.archiver(Config{Grace: time.Nanosecond})
	mustStep(t, a)
	must(t, mirror.Delete(t.Context(), w.prefix()+reclog.ThumbnailFile))
	mustStep(t, a)
	if data, err := mirror.ReadFile(t.Context(), w.prefix()+reclog.ThumbnailFile); err != nil || string(data) != "picture" {
		t.Errorf("%q, %v", data, err)
	}
	if w.row().Local {
		t.Error("the local copy is there")
	}
}
