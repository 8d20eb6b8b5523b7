package packager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// told lists types and takes of what was logged, each key once, as the catalog has it.
func (s *sink) told(tb testing.TB) []string {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys, told []string
	for _, e := range s.logged {
		if slices.Contains(keys, e.Key) {
			continue
		}
		if keys = append(keys, e.Key); e.Publisher != "acme" || e.Stream != "show" || e.Time.IsZero() {
			tb.Errorf("event %+v", e)
		}
		told = append(told, e.Type+" "+string(e.Data))
	}
	return told
}

// A process dies while the catalog is away: what it did not come to tell, the next one tells, in order and once.
func TestWhatADeadOwnerDidNotTellIsToldByTheNext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustStage(t, dir)
		p, src := s.open()
		s.play(p, src, 3*time.Second)
		s.wait(time.Second)
		until := func(at time.Time) string { return fmt.Sprintf(`,"until":%q`, at.UTC().Format(time.RFC3339Nano)) }
		want := []string{`stream.live {"take":1}`}
		if diff := cmp.Diff(want, s.sink.told(t)); diff != "" {
			t.Errorf("before: %s", diff)
		}
		s.sink.setFail(errors.New("away"))
		s.close(p, false)
		s.wait(2 * time.Second)
		q := s.publish(2, nil)
		s.tracks(q, videoTrack(), audioTrack())
		s.play(q, &source{fps: 30, gop: 30}, 3*time.Second)
		id := s.show().ID()
		before := s.sink.logged
		s.end() // the manifest says interrupted, as after a clean stop
		if err := s.root.Close(); err != nil {
			t.Fatal(err)
		}
		again := mustStage(t, dir)
		again.sink.logged = before
		rec, w, err := again.root.Reopen(context.Background(), testPath, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Resume(t.Context(), rec, w); err != nil {
			t.Fatal(err)
		}
		again.wait(time.Second)
		want = append(want, `stream.interrupted {"take":1}`, `stream.live {"take":2}`, `stream.interrupted {"take":2}`)
		if diff := cmp.Diff(want, again.sink.told(t)); diff != "" {
			t.Errorf("after: %s", diff)
		}
		r := again.publish(3, nil)
		again.tracks(r, videoTrack(), audioTrack())
		again.play(r, &source{fps: 30, gop: 30}, 3*time.Second)
		again.close(r, false)
		left := time.Now()
		again.wait(time.Second)
		want = append(want, `stream.live {"take":3}`,
			`stream.interrupted {"take":3`+until(left.Add(media.DefaultSettings().ReconnectWindow.D()))+`}`)
		if diff := cmp.Diff(want, again.sink.told(t)); diff != "" {
			t.Errorf("in the end: %s", diff)
		}
		again.end()
	})
}
