package reclog

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestStartTakeChecksItsPlace(t *testing.T) {
	s := begun(t, SyncSegment)
	if _, err := s.writer.StartTake(testTake(2, 1), testInits()); !errors.Is(err, media.ErrConflict) {
		t.Errorf("two open takes: %v", err)
	}
	s.segment(1)
	s.seal()
	newMemTree(t, s.fsys).mkdir(onDisk("3"))
	other := testTake(2, 2)
	other.Tracks = other.Tracks[:1]
	for name, tc := range map[string]struct {
		take  media.Take
		inits [][]byte
		want  error
	}{
		"number of before":   {testTake(1, 2), testInits(), media.ErrInvalid},
		"MSN of before":      {testTake(2, 1), testInits(), media.ErrInvalid},
		"MSN far away":       {testTake(2, 3+maxSkip), testInits(), media.ErrInvalid},
		"other tracks":       {other, testInits()[:1], media.ErrInvalid},
		"an init too few":    {testTake(2, 2), testInits()[:1], media.ErrInvalid},
		"empty init":         {testTake(2, 2), [][]byte{{1}, nil}, media.ErrInvalid},
		"directory is there": {testTake(3, 2), testInits(), media.ErrExists},
	} {
		if _, err := s.writer.StartTake(tc.take, tc.inits); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := s.take
	if !s.startTake() {
		t.Fatal(s.failed)
	}
	if got := s.take.Take().Tracks[0].InitSize; got != int64(len(testInits()[0])) {
		t.Errorf("init size %d", got)
	}
	if err := before.AppendGap(0, media.Segment{MSN: 2}); !errors.Is(err, ErrSealed) {
		t.Errorf("gap in the take before: %v", err)
	}
}

// Lines that were refused leave a hole between takes; it is read as gaps, also after a recovery.
func TestMSNsPassedOverBetweenTakesAreGaps(t *testing.T) {
	s := begun(t, SyncSegment)
	s.segment(1)
	s.seal()
	s.next += 2
	s.dts = [2]int64{450000, 240000}
	if !s.startTake() {
		t.Fatal(s.failed)
	}
	s.segment(1)
	s.seal()
	for range 2 {
		rec, err := Load(context.Background(), testFiles(t, s.fsys), testPath(), testID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]media.MSN{2, 3}, gaps(rec.Tracks[0])); diff != "" {
			t.Error(diff)
		}
		checkRecording(t, testFiles(t, s.fsys), rec, s.told, s.now())
		_, again, _ := mustReopen(t, s.fsys)
		again.Writer = rec.Writer
		if diff := cmp.Diff(rec, again); diff != "" {
			t.Error(diff)
		}
	}
}

func TestUpdateGuardsWhatIsTheLogs(t *testing.T) {
	s := begun(t, SyncSegment)
	before := s.writer.Manifest()
	before.Takes[0].Number = 99 // a copy
	if err := s.writer.Update(func(m *Manifest) {
		m.State, m.EndedAt, m.Takes, m.Writer, m.Publisher = media.Ended, testStart(), nil, "me", "other"
	}); err != nil {
		t.Fatal(err)
	}
	after := s.writer.Manifest()
	if after.State != media.Ended || after.Writer != before.Writer || len(after.Takes) != 1 || after.Takes[0].Number != 1 ||
		after.Publisher != "acme" {
		t.Errorf("%+v", after)
	}
	stored, err := ParseManifest(s.fsys.contents(onDisk(manifestFile)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&after, stored); diff != "" {
		t.Error(diff)
	}
	if err := s.writer.Update(func(m *Manifest) { m.State = "odd" }); !errors.Is(err, media.ErrInvalid) {
		t.Error(err)
	}
	s.fsys.set(onDisk(manifestFile), nil) // damaged under us: our copy heals it
	if err := s.writer.Update(func(*Manifest) {}); err != nil {
		t.Error(err)
	}
	s.fsys.mustRemove(onDisk(manifestFile))
	if err := s.writer.Update(func(*Manifest) {}); !errors.Is(err, media.ErrGone) {
		t.Error(err)
	}
}
