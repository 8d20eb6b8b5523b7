package reclog

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// While a recording is written, every Load is a whole recording: consecutive, each segment's bytes its own, and never
// less than a Load before.
func TestLoadWhileWritten(t *testing.T) {
	root := openDir(t, t.TempDir())
	s := &show{tb: t, fsys: newMemFS(), root: root, next: 1, async: true}
	if !s.begin() {
		t.Fatal(s.failed)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for seen, last := 0, false; !last; {
				select {
				case <-done:
					last = true
				default:
				}
				n, err := readAllOf(root.Files(), seen)
				if err != nil {
					t.Error(err)
					return
				}
				seen = n
			}
		})
	}
	for range 8 {
		if !s.startTake() {
			t.Fatal(s.failed)
		}
		for range 12 {
			s.segment(3)
			s.tell()
		}
		s.gap(true)
		s.seal()
	}
	close(done)
	wg.Wait()
	if err := errors.Join(s.failed...); err != nil {
		t.Fatal(err)
	}
	if rec, err := Load(t.Context(), root.Files(), testPath(), testID); err != nil || len(rec.Metadata) != 8*12 {
		t.Errorf("%d pieces: %v", len(rec.Metadata), err)
	}
	if n, err := readAllOf(root.Files(), 0); n != 8*13 || err != nil {
		t.Errorf("%d segments: %v", n, err)
	}
}

// readAllOf loads the recording and checks its newest segments; it gives their number.
func readAllOf(files Files, before int) (int, error) {
	rec, err := Load(context.Background(), files, testPath(), testID)
	if err != nil {
		return 0, err
	}
	if len(rec.Damage) > 0 {
		return 0, rec.Damage[0]
	}
	n := 0
	for _, track := range rec.Tracks {
		n = len(track.Segments)
		if n < before || len(track.Segments) != len(rec.Tracks[0].Segments) {
			return 0, errors.New("segments are gone")
		}
		for i, seg := range track.Segments {
			if seg.MSN != media.MSN(i+1) {
				return 0, errors.New("MSNs are not consecutive")
			}
			if seg.Gap || i < before {
				continue
			}
			data, err := readRange(files, TrackName(rec.Path(), rec.ID, seg.Take, track.Name), seg.Offset, seg.Size)
			if err != nil {
				return 0, err
			}
			if parts, err := ScanParts(bytes.NewReader(data), seg); err != nil || len(parts) != 3 {
				return 0, errors.Join(errors.New("other parts"), err)
			}
		}
	}
	return n, nil
}
