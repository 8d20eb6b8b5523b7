package reclog

import (
	"errors"
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestIsPicture(t *testing.T) {
	for file, want := range map[string]bool{
		"thumbnail.jpg": true, "thumbnails.vtt": true, "sprite-1.jpg": true, "sprite-99.jpg": true,
		"sprite-0.jpg": false, "sprite-100.jpg": false, "sprite-01.jpg": false, "sprite-+1.jpg": false, "sprite-1": false,
		"sprite-.jpg": false, "recording.json": false, "thumbnail.jpg.X.tmp": false, "": false, "../thumbnail.jpg": false,
	} {
		if IsPicture(file) != want {
			t.Errorf("%q: %v", file, !want)
		}
	}
}

func TestPicturesLieBesideTheRecordingAndGoWithIt(t *testing.T) {
	ctx := t.Context()
	root := openDir(t, t.TempDir())
	s := &show{tb: t, fsys: newMemFS(), root: root, next: 1}
	if !s.begin() {
		t.Fatal(s.failed)
	}
	path, id := s.writer.ref.Path, s.writer.ref.ID
	if _, err := root.PictureTime(path, id, ThumbnailFile); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("no picture yet: %v", err)
	}
	for _, text := range []string{"old", "new"} {
		if err := root.ReplacePicture(ctx, path, id, ThumbnailFile, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.ReplacePicture(ctx, path, id, "1/video.mp4", nil); !errors.Is(err, media.ErrBadName) {
		t.Errorf("a name that is no picture's: %v", err)
	}
	if err := root.ReplacePicture(ctx, path, id, ThumbnailFile, make([]byte, MaxPicture+1)); !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("a picture that is too large: %v", err)
	}
	names, err := root.Pictures(ctx, path, id)
	if err != nil || !slices.Equal(names, []string{PictureName(path, id, ThumbnailFile)}) {
		t.Errorf("pictures are %v, %v", names, err)
	}
	if data, err := root.Files().ReadFile(ctx, names[0]); err != nil || string(data) != "new" {
		t.Errorf("the picture is %q, %v", data, err)
	}
	if _, err := root.PictureTime(path, id, ThumbnailFile); err != nil {
		t.Error(err)
	}
	if err := root.Remove(ctx, path, id); err != nil {
		t.Fatal(err)
	}
	if err := root.ReplacePicture(ctx, path, id, ThumbnailFile, []byte("late")); !errors.Is(err, media.ErrGone) {
		t.Errorf("of a recording that is removed: %v", err)
	}
	if _, err := root.Pictures(ctx, path, id); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("the directory came back: %v", err)
	}
}

func TestPictureTrackIsTheNarrowestThatIsWideEnough(t *testing.T) {
	video := func(width int) media.Track { return media.Track{Kind: media.Video, Width: width} }
	for name, tt := range map[string]struct {
		tracks []media.Track
		want   int
		ok     bool
	}{
		"one too many":  {[]media.Track{video(1920), video(1280), video(640), video(320)}, 2, true},
		"all too small": {[]media.Track{{Kind: media.Audio}, video(160), video(320)}, 2, true},
		"unknown":       {[]media.Track{video(0)}, 0, true},
		"audio only":    {[]media.Track{{Kind: media.Audio}}, 0, false},
	} {
		if got, ok := PictureTrack(tt.tracks, 640); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %d %v, want %d", name, got, ok, tt.want)
		}
	}
}
