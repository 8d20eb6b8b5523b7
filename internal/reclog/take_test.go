package reclog

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/oxbow-video/oxbow/internal/media"
)

// begun gives a show with an open take.
func begun(t *testing.T, policy SyncPolicy) *show {
	t.Helper()
	s := newShow(t, newMemFS(), policy)
	if !s.begin() || !s.startTake() {
		t.Fatal(s.failed)
	}
	return s
}

func TestAppendPartRefusesWhatRecoveryCouldNotRead(t *testing.T) {
	s := begun(t, SyncSegment)
	s.segment(1)
	good := testPart(SequenceNumber(2, 0), 0, 1, 1, true, []byte("x"))
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"no moof":          box("mdat", []byte("x")),
		"no mdat":          good[:len(good)-9],
		"cut":              good[:len(good)-1],
		"more":             append(slices.Clone(good), 0),
		"two":              append(slices.Clone(good), good...),
		"finished segment": testPart(SequenceNumber(1, 1), 0, 1, 1, true, []byte("x")),
	} {
		if _, err := s.take.AppendPart(0, data); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.take.AppendPart(2, good); !errors.Is(err, media.ErrInvalid) {
		t.Errorf("track 2: %v", err)
	}
	if _, err := s.take.AppendPart(0, good); err != nil {
		t.Error(err)
	}
	if _, err := s.take.AppendPart(0, good); !errors.Is(err, media.ErrInvalid) {
		t.Errorf("again: %v", err)
	}
}

func TestFinishSegmentChecksItsLine(t *testing.T) {
	s := begun(t, SyncSegment)
	if !s.part(0, 0) {
		t.Fatal(s.failed)
	}
	first := s.partAt(0, 1, 0)
	good := media.Segment{MSN: 1, DTS: 0, Duration: 45000, Offset: first.offset, Size: int64(len(first.data))}
	for name, change := range map[string]func(*media.Segment){
		"MSN 2":          func(seg *media.Segment) { seg.MSN = 2 },
		"in the init":    func(seg *media.Segment) { seg.Offset-- },
		"past the end":   func(seg *media.Segment) { seg.Size++ },
		"no bytes":       func(seg *media.Segment) { seg.Size = 0 },
		"negative":       func(seg *media.Segment) { seg.Duration = -1 },
		"past all ticks": func(seg *media.Segment) { seg.DTS = maxTicks + 1 },
	} {
		seg := good
		change(&seg)
		if err := s.take.FinishSegment(0, seg); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.take.FinishSegment(0, good); err != nil {
		t.Error(err)
	}
}

func TestAppendPartHealsAfterAFailedCut(t *testing.T) {
	s := begun(t, SyncSegment)
	broken := true
	s.fsys.fail = func(_ int, o op) (int, error) {
		if broken && (o.kind == opWrite || o.kind == opTruncate) {
			return 11, errInjected
		}
		return 0, nil
	}
	for range 3 {
		if s.part(0, 0) {
			t.Fatal("appended to a broken file")
		}
	}
	for _, err := range s.failed {
		if !errors.Is(err, ErrBroken) || !errors.Is(err, errInjected) {
			t.Error(err)
		}
	}
	broken, s.failed = false, nil
	s.segment(2)
	s.seal()
	if err := errors.Join(s.failed...); err != nil {
		t.Fatal(err)
	}
	rec, err := Load(context.Background(), testFiles(t, s.fsys), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	checkRecording(t, testFiles(t, s.fsys), rec, s.told, s.now())
}

// While syncs hang, the live path goes on, gaps are pending after a while, and all lines come in order in the end.
func TestLivePathDoesNotWaitForAStalledVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t, SyncSegment)
		s.async = true
		hold := make(chan struct{})
		s.fsys.mu.Lock()
		s.fsys.hold = hold
		s.fsys.mu.Unlock()
		for range 5 {
			s.segment(2)
		}
		s.gap(false)
		s.segment(1)
		if len(s.failed) != 2 || !errors.Is(s.failed[0], ErrPending) {
			t.Fatalf("gaps on a stalled volume: %v", s.failed)
		}
		s.failed = nil
		close(hold)
		s.seal()
		if err := errors.Join(append(s.failed, s.take.Err())...); err != nil {
			t.Fatal(err)
		}
		rec, err := Load(t.Context(), testFiles(t, s.fsys), testPath(), testID)
		if err != nil {
			t.Fatal(err)
		}
		checkRecording(t, testFiles(t, s.fsys), rec, s.told, s.now())
		if got := len(rec.Tracks[0].Segments); got != 7 {
			t.Errorf("%d segments", got)
		}
	})
}

// A line that comes while the background is about to end is not left behind.
func TestALineThatComesLateIsSeen(t *testing.T) {
	s := begun(t, SyncSegment)
	s.async = true
	s.take.mu.running = true // the background is past this track
	s.segment(1)
	if !s.take.stepped(nil, false) {
		t.Error("the background ended before the line")
	}
	s.take.flush()
	s.seal()
	if err := errors.Join(s.failed...); err != nil {
		t.Error(err)
	}
}

func TestAFailedIndexLineWaitsAndIsTold(t *testing.T) {
	s := begun(t, SyncSegment)
	var mu sync.Mutex
	var reports []error
	s.root.onError = func(ref Ref, err error) {
		mu.Lock()
		defer mu.Unlock()
		if ref.ID == testID {
			reports = append(reports, err)
		}
	}
	s.fsys.fail = func(_ int, o op) (int, error) {
		if o.kind == opWrite && o.name == onDisk("1/audio.idx") {
			return 20, errInjected
		}
		return 0, nil
	}
	s.segment(2)
	s.segment(2)
	if err := s.take.Err(); !errors.Is(err, errInjected) {
		t.Errorf("Err: %v", err)
	}
	s.fsys.fail = nil
	s.segment(2)
	if err := s.take.Err(); err != nil {
		t.Errorf("Err after it went well: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(reports) == 0 || !errors.Is(reports[0], errInjected) {
		t.Errorf("reports: %v", reports)
	}
	s.seal()
	rec, err := Load(context.Background(), testFiles(t, s.fsys), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	checkRecording(t, testFiles(t, s.fsys), rec, s.told, s.now())
}

// A sync that failed stays known, and the take is not called sealed, although later syncs go well.
func TestAFailedSyncIsNotForgotten(t *testing.T) {
	s := begun(t, SyncSegment)
	s.fsys.fail = func(_ int, o op) (int, error) {
		if o.kind == opSync && o.name == onDisk("1/video.mp4") {
			return 0, errInjected
		}
		return 0, nil
	}
	s.segment(2)
	s.fsys.fail = nil
	s.segment(2)
	if err := s.take.Err(); !errors.Is(err, errInjected) {
		t.Errorf("Err: %v", err)
	}
	if err := s.take.Seal(); !errors.Is(err, errInjected) {
		t.Errorf("Seal: %v", err)
	}
	if m := s.writer.Manifest(); m.Recovered() {
		t.Error("sealed")
	}
	rec, err := Load(context.Background(), testFiles(t, s.fsys), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Tracks[0].Segments) != 2 {
		t.Errorf("segments: %v", rec.Tracks[0].Segments)
	}
	if !s.startTake() { // the show goes on
		t.Fatal(s.failed)
	}
}

func TestSyncPartSyncsBeforeItReturns(t *testing.T) {
	s := begun(t, SyncPart)
	if !s.part(0, 0) {
		t.Fatal(s.failed)
	}
	if last := s.fsys.journal[len(s.fsys.journal)-1]; last.kind != opSync || last.name != onDisk("1/video.mp4") {
		t.Errorf("last act: %s", last)
	}
	size := len(s.fsys.contents(onDisk("1/video.mp4")))
	s.fsys.fail = func(_ int, o op) (int, error) {
		if o.kind == opSync {
			return 0, errInjected
		}
		return 0, nil
	}
	if s.part(0, 1) {
		t.Error("a part that is not synced was accepted")
	}
	if got := len(s.fsys.contents(onDisk("1/video.mp4"))); got != size {
		t.Errorf("it is still there: %d bytes, %d before", got, size)
	}
}

func TestSyncNeverSyncsOnlyAtTheEndOfATake(t *testing.T) {
	s := begun(t, SyncNever)
	from := s.now()
	s.segment(2)
	s.gap(false)
	for _, o := range s.fsys.journal[from:] {
		if o.kind == opSync {
			t.Errorf("%s", o)
		}
	}
	from = s.now()
	s.seal()
	synced := 0
	for _, o := range s.fsys.journal[from:] {
		if o.kind == opSync {
			synced++
		}
	}
	if synced < 4 {
		t.Errorf("%d syncs at the end", synced)
	}
}

func TestSealTakesAnEmptyTakeOutAgain(t *testing.T) {
	s := begun(t, SyncSegment)
	s.segment(1)
	s.seal()
	if !s.startTake() {
		t.Fatal(s.failed)
	}
	s.seal()
	if m := s.writer.Manifest(); len(m.Takes) != 1 || s.fsys.contents(onDisk("2/video.mp4")) != nil {
		t.Errorf("takes %d, files %v", len(m.Takes), s.fsys.glob(onDisk("*/*")))
	}
	s.number--
	s.gap(true) // to take 1
	if !s.startTake() {
		t.Fatal(s.failed)
	}
	s.segment(1)
	s.seal()
	if err := errors.Join(s.failed...); err != nil {
		t.Fatal(err)
	}
	rec, err := Load(context.Background(), testFiles(t, s.fsys), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	checkRecording(t, testFiles(t, s.fsys), rec, s.told, s.now())
}

func TestSealWithAnOpenSegmentLeavesTheTakeToReopen(t *testing.T) {
	s := begun(t, SyncSegment)
	s.segment(1)
	if !s.part(0, 0) {
		t.Fatal(s.failed)
	}
	if err := s.take.Seal(); !errors.Is(err, media.ErrConflict) {
		t.Errorf("seal: %v", err)
	}
	if _, err := s.take.AppendPart(0, s.told[0].data); !errors.Is(err, ErrSealed) {
		t.Errorf("append: %v", err)
	}
	if _, err := s.writer.StartTake(testTake(2, 2), testInits()); !errors.Is(err, media.ErrInvalid) {
		t.Errorf("MSN 2 was begun in take 1: %v", err)
	}
	root, rec, w := mustReopen(t, s.fsys)
	checkRecording(t, root.Files(), rec, s.told, s.now())
	checkContinues(t, root, rec, w)
}
