package reclog

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The owner announces a segment before its line is written; a reader of its storage finds it all the same.
func TestLoadFindsSegmentsWithoutLines(t *testing.T) {
	for lines := range 5 {
		t.Run(fmt.Sprint(lines, " lines"), func(t *testing.T) {
			s := newShow(t, newMemFS(), SyncSegment)
			if !s.begin() || !s.startTake() {
				t.Fatal(s.failed)
			}
			for range 4 {
				s.segment(3)
			}
			_ = s.part(0, 0) && s.part(1, 0)
			whole, err := Load(t.Context(), s.root.Files(), testPath(), testID)
			if err != nil || len(whole.Tracks[0].Segments) != 4 {
				t.Fatalf("%+v, %v", whole, err)
			}
			cut := func(track string, keep int) {
				name := onDisk("1/" + track + ".idx")
				all := bytes.SplitAfter(s.fsys.contents(name), []byte("\n"))
				s.fsys.set(name, slices.Concat(all[:keep]...))
			}
			cut("video", lines)
			cut("audio", max(0, lines-1))
			rec, err := Load(t.Context(), s.root.Files(), testPath(), testID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole.Tracks, rec.Tracks); diff != "" {
				t.Errorf("without lines: %s", diff)
			}
			// What lies behind something broken is not listed.
			data := s.fsys.contents(onDisk("1/video.mp4"))
			at := whole.Tracks[0].Segments[2].Offset
			s.fsys.set(onDisk("1/video.mp4"), slices.Concat(data[:at], bytes.Repeat([]byte{1}, 50), data[at+50:]))
			if rec, err = Load(t.Context(), s.root.Files(), testPath(), testID); err != nil {
				t.Fatal(err)
			}
			if n := len(rec.Tracks[0].Segments); lines < 3 && n != max(lines, 1) {
				t.Errorf("%d segments: the second is not followed by a part", n)
			}
			if err := s.writer.Update(func(m *Manifest) { m.State = media.Ended }); err != nil {
				t.Fatal(err)
			}
			if rec, err = Load(t.Context(), s.root.Files(), testPath(), testID); err != nil {
				t.Fatal(err)
			}
			if n := len(rec.Tracks[1].Segments); n != max(0, lines-1) {
				t.Errorf("ended: %d segments", n)
			}
		})
	}
}
