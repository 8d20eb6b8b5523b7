package progressive

import (
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestWholeRecordingDecodesToThePublishersFrames(t *testing.T) {
	clip := mustClip(t, 9, "320x180", 44100)
	root, rec := record(t, nil, clip)
	f := mustBuild(t, source(t, root.Files(), rec), Cut{})
	file := mustWrite(t, root.Files(), f)
	if got, want := hashes(frames(t, file, "v")), hashes(frames(t, clip, "v")); !slices.Equal(got, want) {
		t.Errorf("%d pictures, want %d", len(got), len(want))
	}
	t.Log(mustRun(t, "ffprobe", "-v", "error", "-show_format", "-show_streams", file))
	t.Log(f.Size(), f.HeaderSize(), f.ETag(), f.Duration())
}

var _ = time.Second
var _ = media.Video
