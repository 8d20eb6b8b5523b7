package reclog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// processRoot opens a directory as one process of several.
func processRoot(tb testing.TB, dir string, fsys fileSystem) *Root {
	tb.Helper()
	r, err := newRoot(Config{Dir: dir, Sync: SyncNever}, fsys, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// watched is a directory that one process writes and another watches.
type watched struct {
	*show
	dir     string
	orphans *Orphans
	now     time.Time
	owned   bool
	away    error
	asked   int
}

func newWatched(tb testing.TB) *watched {
	tb.Helper()
	dir := tb.TempDir()
	w := &watched{
		show: &show{tb: tb, fsys: newMemFS(), root: processRoot(tb, dir, osFS{}), next: 1},
		dir:  dir, orphans: NewOrphans(processRoot(tb, dir, osFS{})), now: time.Now(),
	}
	if !w.begin() || !w.startTake() {
		tb.Fatal(w.failed)
	}
	w.segment(2)
	return w
}

// step looks after a while.
func (w *watched) step(after time.Duration) []Orphan {
	w.tb.Helper()
	w.now = w.now.Add(after)
	list, err := w.orphans.Step(w.tb.Context(), w.now, func(context.Context, Ref) (bool, error) {
		w.asked++
		return w.owned, w.away
	})
	if !errors.Is(err, w.away) {
		w.tb.Fatal(err)
	}
	return list
}

// idle steps, and checks what became of the one recording: its idle time, or none if that is negative.
func (w *watched) idle(after, want time.Duration) Orphan {
	w.tb.Helper()
	list := w.step(after)
	if want < 0 {
		if len(list) != 0 {
			w.tb.Fatalf("orphans %+v", list)
		}
		return Orphan{}
	}
	if len(list) != 1 || list[0].Idle != want || list[0].Ref != (Ref{testPath(), testID}) {
		w.tb.Fatalf("%+v, want %s idle", list, want)
	}
	return list[0]
}

func TestOrphanIsIdleSinceItsLastChange(t *testing.T) {
	w := newWatched(t)
	w.owned = true
	w.idle(0, -1)
	w.idle(10*time.Second, -1)
	w.owned = false
	w.idle(time.Second, 0) // what was before it lost its owner does not count
	w.idle(time.Second, time.Second)
	w.segment(1)
	w.idle(time.Second, 0)
	w.gap(true)
	w.idle(time.Second, 0)
	w.tell()
	w.idle(time.Second, 0)
	w.part(1, 0)
	w.idle(time.Second, 0)
	orphan := w.idle(90*time.Second, 90*time.Second)
	if orphan.Epoch != 1 || orphan.Settings.ReconnectWindow != testManifest().Settings.ReconnectWindow {
		t.Errorf("orphan %+v", orphan)
	}
	w.owned = true
	w.idle(time.Second, -1)
	w.owned = false
	w.idle(time.Second, 0)
}

func TestRegistryThatIsAwayMakesNoOrphansAndForgetsNothing(t *testing.T) {
	w := newWatched(t)
	w.idle(0, 0)
	w.idle(4*time.Second, 4*time.Second)
	w.away = media.ErrUnavailable
	w.idle(time.Hour, -1)
	w.away = nil
	w.idle(time.Second, time.Hour+5*time.Second)
	w.away = media.ErrUnavailable
	w.idle(time.Second, -1)
	w.part(0, 0)
	w.away = nil
	w.idle(time.Second, 0) // changed meanwhile
}

func TestOrphanThatIsTakenOverOrEndedIsNone(t *testing.T) {
	w := newWatched(t)
	w.idle(0, 0)
	orphan := w.idle(9*time.Second, 9*time.Second)
	if same, err := w.orphans.Same(orphan); !same || err != nil {
		t.Fatalf("same is %v, %v", same, err)
	}
	_, writer, err := w.root.Reopen(t.Context(), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := w.orphans.Same(orphan); same || err != nil {
		t.Errorf("reopened: same is %v, %v", same, err)
	}
	w.idle(time.Second, 0)
	orphan = w.idle(time.Second, time.Second)
	if err := writer.Update(func(m *Manifest) { m.State, m.EndedAt = media.Ended, time.Now() }); err != nil {
		t.Fatal(err)
	}
	if same, err := w.orphans.Same(orphan); same || err != nil {
		t.Errorf("ended: same is %v, %v", same, err)
	}
	w.idle(time.Second, -1)
	w.asked = 0
	w.idle(2*sweepEvery, -1)
	if w.asked > 0 {
		t.Errorf("%d questions for the owner of a finished recording", w.asked)
	}
	if err := w.root.Remove(t.Context(), testPath(), testID); err != nil {
		t.Fatal(err)
	}
	if same, err := w.orphans.Same(orphan); same || err != nil {
		t.Errorf("removed: same is %v, %v", same, err)
	}
	w.idle(time.Second, -1)
}

// mustCreate makes recordings without media in any stream.
func mustCreate(tb testing.TB, root *Root, stream string, n int, state media.State) {
	tb.Helper()
	m := testManifest()
	m.Stream, m.State = stream, state
	m.ID = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2%07d", n))
	if _, err := root.Create(m); err != nil {
		tb.Fatal(err)
	}
}

func TestNewRecordingsAndStreamsAreFound(t *testing.T) {
	w := newWatched(t)
	w.idle(0, 0)
	w.idle(5*time.Second, 5*time.Second)
	for i := range 5 { // perhaps within one tick of the file system's clock
		mustCreate(t, w.root, "show", i, media.Interrupted)
		mustCreate(t, w.root, fmt.Sprint("other", i), i, media.Live)
		w.step(10 * time.Millisecond)
	}
	if list := w.step(2 * time.Second); len(list) != 11 {
		t.Errorf("%d orphans of 11", len(list))
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "acme", "other3")); err != nil {
		t.Fatal(err)
	}
	w.step(2 * time.Second)
	if list := w.step(2 * time.Second); len(list) != 10 {
		t.Errorf("%d orphans of 10", len(list))
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "acme")); err != nil {
		t.Fatal(err)
	}
	w.idle(2*time.Second, -1)
	if w.step(2 * time.Second); len(w.orphans.streams) > 0 || len(w.orphans.top) > 1 {
		t.Errorf("remembers %v, %v", w.orphans.streams, w.orphans.top)
	}
}

func TestDirectoryWithoutManifestIsLookedAtAgain(t *testing.T) {
	w := newWatched(t)
	const id = "01kafzq7s8e5gv9mxw2ctr4n6c"
	dir := filepath.Join(w.dir, "acme", "show", id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.idle(0, 0)
	w.idle(3*time.Second, 3*time.Second)
	m := testManifest()
	m.ID, m.Format, m.Writer = id, FormatVersion, "w"
	data, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if list := w.step(time.Second); len(list) != 2 {
		t.Errorf("orphans %+v", list)
	}
}

func TestBadManifestKeepsNoOtherFromBeingFound(t *testing.T) {
	w := newWatched(t)
	mustCreate(t, w.root, "show", 1, media.Live)
	name := filepath.Join(w.dir, "acme", "show", "01kafzq7s8e5gv9mxw20000001", manifestFile)
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := w.orphans.Step(t.Context(), w.now, func(context.Context, Ref) (bool, error) {
		return false, nil
	})
	if len(list) != 1 || !errors.Is(err, media.ErrCorrupt) {
		t.Errorf("%+v, %v", list, err)
	}
}

// countingFS counts what a step asks of the file system.
type countingFS struct {
	osFS
	opened, listed *int
}

func (c countingFS) OpenFile(name string, flag int, perm os.FileMode) (file, error) {
	*c.opened++
	return c.osFS.OpenFile(name, flag, perm)
}

func (c countingFS) ReadDir(name string) ([]os.DirEntry, error) {
	*c.listed++
	return c.osFS.ReadDir(name)
}

// manyRecordings makes streams with one live recording each, and finished ones.
func manyRecordings(tb testing.TB, dir string, streams, finished int) {
	tb.Helper()
	root := processRoot(tb, dir, osFS{})
	for s := range streams {
		name := fmt.Sprint("stream", s)
		for n := range finished {
			mustCreate(tb, root, name, n, media.Ended)
		}
		mustCreate(tb, root, name, finished, media.Live)
	}
}

func TestStepReadsNoFinishedRecordingTwice(t *testing.T) {
	dir := t.TempDir()
	const streams, finished = 5, 20
	manyRecordings(t, dir, streams, finished)
	var opened, listed int
	o := NewOrphans(processRoot(t, dir, countingFS{opened: &opened, listed: &listed}))
	owned := func(context.Context, Ref) (bool, error) { return true, nil }
	now := time.Now()
	step := func(after time.Duration) {
		t.Helper()
		opened, listed = 0, 0
		now = now.Add(after)
		if _, err := o.Step(t.Context(), now, owned); err != nil {
			t.Fatal(err)
		}
	}
	step(0)
	if opened < streams*finished {
		t.Fatalf("%d files were opened at first", opened)
	}
	step(2 * tick)
	step(time.Second)
	if opened != 2+streams || listed != 0 { // a look at each directory: the root, the publisher, the streams
		t.Errorf("a later step opened %d files and listed %d directories", opened, listed)
	}
	step(sweepEvery)
	if opened != 2+streams || listed != 2+streams {
		t.Errorf("a sweep opened %d files and listed %d directories", opened, listed)
	}
}

func BenchmarkOrphansStep(b *testing.B) {
	dir := b.TempDir()
	manyRecordings(b, dir, 100, 100)
	o := NewOrphans(processRoot(b, dir, osFS{}))
	owned := func(context.Context, Ref) (bool, error) { return true, nil }
	now := time.Now()
	for range 3 {
		now = now.Add(2 * time.Second)
		if _, err := o.Step(b.Context(), now, owned); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Step(b.Context(), now, owned); err != nil {
			b.Fatal(err)
		}
	}
}
