package origin

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// lossyFiles lose a line of each index.
type lossyFiles struct {
	reclog.Files
	lost atomic.Pointer[string] // what it begins with
}

func (f *lossyFiles) ReadFile(ctx context.Context, name string) ([]byte, error) {
	data, err := f.Files.ReadFile(ctx, name)
	lost := f.lost.Load()
	if err != nil || lost == nil {
		return data, err
	}
	var kept []byte
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(line, []byte(*lost)) {
			kept = append(kept, line...)
		}
	}
	return kept, nil
}

func TestSEQ2_SEQ3_ReloadsOfAGrowingRecordingKeepItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.interrupt()
		s.leave()
		h, _ := s.handler(Config{})
		files := &lossyFiles{Files: s.root.Files()}
		h.files = files
		r := ref{path: testPath, id: testID}
		var before [][]byte
		lists := []string{sliding, testBase + "/video.m3u8", testBase + "/audio.m3u8"}
		for _, list := range lists {
			before = append(before, get(t, h, list, 200).body)
		}
		get(t, h, testBase+"/1/video/init.mp4", 200)
		old, err := h.find(t.Context(), r)
		s.must(err)
		lost := `{"msn":3,`
		files.lost.Store(&lost)
		s.startTake()
		s.open(false)
		for range 4 {
			s.part()
		}
		s.finish()
		s.must(s.take.Seal())
		time.Sleep(3 * time.Second)
		for i, list := range lists {
			now := get(t, h, list, 200).body
			lines, _, _ := bytes.Cut(before[i], []byte("#EXT-X-RENDITION-REPORT"))
			_, lines, _ = bytes.Cut(lines, []byte("#EXT-X-MAP"))
			if !bytes.Contains(now, lines) || !bytes.Contains(now, []byte("/10.m4s")) {
				t.Errorf("%s was\n%s\nand became\n%s", list, before[i], now)
			}
		}
		rec, err := h.find(t.Context(), r)
		s.must(err)
		if !rec.mu.version.snap.Renditions[0].Segments[2].Gap {
			t.Fatal("nothing was lost")
		}
		if rec == old || rec.cache != old.cache || len(rec.mu.inits) != 1 {
			t.Error("what was read and formatted is not kept")
		}
		s.setState(media.Archived)
		time.Sleep(3 * time.Second)
		if rec, err = h.find(t.Context(), r); err != nil || rec.cache == old.cache {
			t.Errorf("an archived recording keeps the text of a growing one: %v", err)
		}
	})
}
