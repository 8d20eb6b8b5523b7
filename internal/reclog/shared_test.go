package reclog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sharedRoot is a process's root of a directory that others have too.
func sharedRoot(tb testing.TB, fsys fileSystem) *Root {
	tb.Helper()
	r, err := newRoot(Config{Dir: "/", Sync: SyncSegment, Shared: true}, fsys, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestSharedRootsExcludeExclusiveOnes(t *testing.T) {
	dir := t.TempDir()
	open := func(shared bool) (*Root, error) {
		return OpenRoot(Config{Dir: dir, Shared: shared}, slog.New(slog.DiscardHandler))
	}
	refused := func(shared bool, word string) {
		t.Helper()
		if _, err := open(shared); !errors.Is(err, media.ErrConflict) || !strings.Contains(err.Error(), word) {
			t.Errorf("shared %t: %v, want a conflict that tells of %q", shared, err, word)
		}
	}
	a, err := open(true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(true)
	if err != nil {
		t.Fatalf("second node: %v", err)
	}
	refused(false, "nodes of a cluster")
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if a, err = open(false); err != nil {
		t.Fatal(err)
	}
	refused(true, "oxbow serve")
	refused(false, "process")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGrowingGivesTheNewestThatGoesOn(t *testing.T) {
	root := testRoot(t, newMemFS(), SyncSegment)
	ctx := t.Context()
	if _, floor, err := root.Growing(ctx, testPath()); !errors.Is(err, media.ErrNotFound) || floor != 0 {
		t.Errorf("nothing: floor %d, %v", floor, err)
	}
	if _, _, err := root.Growing(ctx, media.StreamPath{Publisher: ".."}); !errors.Is(err, media.ErrBadName) {
		t.Errorf("bad name: %v", err)
	}
	add := func(id media.RecordingID, epoch uint64) *Writer {
		t.Helper()
		m := testManifest()
		m.ID = id
		w, err := root.Create(m)
		if err != nil {
			t.Fatal(err)
		}
		take := testTake(1, 1)
		take.Epoch = epoch
		if _, err := w.StartTake(take, testInits()); err != nil {
			t.Fatal(err)
		}
		return w
	}
	end := func(w *Writer) {
		t.Helper()
		if err := w.Update(func(m *Manifest) { m.State = media.Ended }); err != nil {
			t.Fatal(err)
		}
	}
	id := func(n int) media.RecordingID { return media.RecordingID(fmt.Sprintf("01k%023d", n)) }
	end(add(id(1), 3))
	second := add(id(2), 7)
	for n := 3; n < 3+maxGrowing-1; n++ {
		end(add(id(n), uint64(n)))
	}
	if ref, floor, err := root.Growing(ctx, testPath()); err != nil || ref.ID != id(2) || floor != 9 {
		t.Errorf("%v, floor %d, %v", ref, floor, err)
	}
	if _, _, err := root.ReopenAs(ctx, testPath(), id(2), 8); err != nil {
		t.Fatal(err)
	}
	if err := second.Update(func(*Manifest) {}); !errors.Is(err, media.ErrFenced) {
		t.Errorf("the writer before: %v", err)
	}
	if _, _, err := root.ReopenAs(ctx, testPath(), id(2), 7); !errors.Is(err, media.ErrFenced) {
		t.Errorf("reopened under an earlier lease: %v", err)
	}
	end(add(id(99), 11))
	if ref, floor, err := root.Growing(ctx, testPath()); !errors.Is(err, media.ErrNotFound) || floor != 11 {
		t.Errorf("behind %d ended ones: %v, floor %d, %v", maxGrowing, ref, floor, err)
	}
}

// A directory without manifest may be one that another process is making.
func TestUnfinishedLeavesWhatAnotherProcessCreates(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenRoot(Config{Dir: dir, Shared: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenRoot(Config{Dir: dir, Shared: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	}()
	a.fsys = stepFS{fileSystem: a.fsys, before: func(act, name string) {
		if act == "rename" {
			if refs, err := b.Unfinished(context.Background()); err != nil || len(refs) != 0 {
				t.Errorf("unfinished: %v, %v", refs, err)
			}
		}
	}}
	if _, err := a.Create(testManifest()); err != nil {
		t.Fatal(err)
	}
	if refs, err := b.Unfinished(t.Context()); err != nil || len(refs) != 1 {
		t.Errorf("unfinished: %v, %v", refs, err)
	}
}

// stepFS is a process's view of a file system: before is told of each step, and what it does there comes between two
// steps of the process, as after a stop.
type stepFS struct {
	fileSystem
	before func(act, name string)
}

func (f stepFS) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	f.before("open", name)
	opened, err := f.fileSystem.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return stepFile{opened, name, f.before}, nil
}

func (f stepFS) Mkdir(name string, perm fs.FileMode) error {
	f.before("mkdir", name)
	return f.fileSystem.Mkdir(name, perm)
}

func (f stepFS) Rename(from, to string) error {
	f.before("rename", from)
	return f.fileSystem.Rename(from, to)
}

func (f stepFS) ReadDir(name string) ([]fs.DirEntry, error) {
	f.before("readdir", name)
	return f.fileSystem.ReadDir(name)
}

type stepFile struct {
	file
	name   string
	before func(act, name string)
}

func (f stepFile) WriteAt(p []byte, off int64) (int, error) {
	f.before("write", f.name)
	return f.file.WriteAt(p, off)
}

func (f stepFile) ReadAt(p []byte, off int64) (int, error) {
	f.before("read", f.name)
	return f.file.ReadAt(p, off)
}

func (f stepFile) Sync() error {
	f.before("sync", f.name)
	return f.file.Sync()
}

// successor takes a recording over from another process, and goes on with it.
type successor struct {
	root   *Root
	writer *Writer
	show   *show
	// seen is what it served.
	seen []Track
}

// takeOver reopens the recording, checks that all is there that was told, and writes some of the next take.
func takeOver(tb testing.TB, fsys *memFS, before []told) *successor {
	tb.Helper()
	root := sharedRoot(tb, fsys)
	rec, w, err := root.Reopen(context.Background(), testPath(), testID)
	if err != nil {
		tb.Fatalf("take over: %v", err)
	}
	checkRecording(tb, root.Files(), rec, before, 1<<30)
	s := &show{tb: tb, fsys: fsys, root: root, writer: w, next: 1}
	if n := len(rec.Takes); n > 0 {
		s.number = rec.Takes[n-1].Number
		s.next = media.MSN(len(rec.Tracks[0].Segments)) + 1
		for i := range s.dts {
			last := rec.Tracks[i].Segments[s.next-2]
			s.dts[i] = last.DTS + last.Duration
		}
	}
	if s.number > 0 { // another than the one before may be about to write
		for i := range s.dts {
			s.gapOn(i, 3, true)
		}
		s.next++
	}
	if !s.startTake() {
		tb.Fatalf("the next take: %v", s.failed)
	}
	s.segment(2)
	if rec, err = Load(context.Background(), root.Files(), testPath(), testID); err != nil {
		tb.Fatal(err)
	}
	return &successor{root: root, writer: w, show: s, seen: rec.Tracks}
}

// goOn writes more, and checks everything that was told in the end, also after another take-over.
func (s *successor) goOn(tb testing.TB, before []told) {
	tb.Helper()
	if len(s.show.failed) > 0 {
		s.show.failed = nil
	}
	if !s.show.part(0, 0) || !s.show.part(1, 0) {
		tb.Fatalf("behind the take-over: %v", s.show.failed)
	}
	rec, err := Load(context.Background(), s.root.Files(), testPath(), testID)
	if err != nil {
		tb.Fatal(err)
	}
	for i, track := range s.seen {
		if diff := cmp.Diff(track.Segments, rec.Tracks[i].Segments); diff != "" {
			tb.Fatalf("%s changed: %s", track.Name, diff)
		}
	}
	all := append(append([]told(nil), before...), s.show.told...)
	takeOver(tb, s.show.fsys, all)
}

// Whatever step of its work a process is stopped at: another takes the recording over and goes on, then the first wakes
// and does what it was about to. Nothing of it is seen, nothing of the other's is spoiled.
func TestAWriterStoppedAtAnyStepSpoilsNothing(t *testing.T) {
	stops, least := 0, 100
	if raceEnabled {
		least /= 2
	}
	for at := 0; ; at++ {
		if leftOut(at, 2) {
			continue
		}
		fsys := newMemFS()
		a := &show{tb: t, fsys: fsys, root: sharedRoot(t, fsys), next: 1}
		plain := a.root.fsys
		var b *successor
		var before []told
		steps := 0
		a.root.fsys = stepFS{fileSystem: plain, before: func(string, string) {
			if steps++; steps-1 == at && created(fsys) {
				before = slices.Clone(a.told)
				b = takeOver(t, fsys, before)
			}
		}}
		runFenced(a)
		if steps <= at {
			break
		}
		if b == nil {
			continue
		}
		stops++
		a.root.fsys = plain
		if a.writer != nil {
			if err := a.writer.Update(func(*Manifest) {}); !errors.Is(err, media.ErrFenced) {
				t.Fatalf("step %d: the writer was never told that it is fenced: %v", at, err)
			}
		}
		b.goOn(t, before)
	}
	if stops < least {
		t.Errorf("only %d stops", stops)
	}
}

// runFenced plays a packager whose writer may be fenced on the way.
func runFenced(a *show) {
	a.tb = fencedTB{a.tb}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(fencedStop); !ok {
				panic(r)
			}
		}
	}()
	a.script()
}

// fencedTB ends a script whose writer may have been fenced, instead of the test.
type fencedTB struct{ testing.TB }

type fencedStop struct{}

func (fencedTB) Fatalf(string, ...any) { panic(fencedStop{}) }
func (fencedTB) Fatal(...any)          { panic(fencedStop{}) }

// Of two processes that reopen a recording at a time one has it in the end, whatever the order of their steps.
func TestOfTwoThatReopenOneHasTheRecording(t *testing.T) {
	whole := newShow(t, newMemFS(), SyncSegment)
	whole.script()
	for at := 0; ; at++ {
		if leftOut(at, 2) {
			continue
		}
		fsys := replay(whole.fsys.journal)
		a, b := sharedRoot(t, fsys), sharedRoot(t, fsys)
		var second *Writer
		var secondErr error
		steps, met := 0, false
		a.fsys = stepFS{fileSystem: a.fsys, before: func(string, string) {
			if steps++; steps-1 == at {
				met = true
				_, second, secondErr = b.Reopen(context.Background(), testPath(), testID)
			}
		}}
		_, first, err := a.Reopen(t.Context(), testPath(), testID)
		if !met {
			break
		}
		valid := 0
		for i, w := range []*Writer{first, second} {
			e := []error{err, secondErr}[i]
			if w != nil {
				e = w.Update(func(*Manifest) {})
			}
			switch {
			case e == nil:
				valid++
			case !errors.Is(e, media.ErrFenced):
				t.Errorf("step %d: writer %d: %v", at, i, e)
			}
		}
		if valid != 1 {
			t.Fatalf("step %d: %d writers are valid: %v, %v", at, valid, err, secondErr)
		}
		takeOver(t, fsys, whole.told)
	}
}

// Stale handles are met wherever something is opened, listed or read, and looked up anew.
func TestStaleHandlesAreLookedUpAnew(t *testing.T) {
	whole := newShow(t, newMemFS(), SyncSegment)
	whole.script()
	fsys := replay(whole.fsys.journal)
	turns := 0
	flaky := &staleFS{fileSystem: fsys, stale: func() bool { turns++; return turns%3 == 0 }}
	root := sharedRoot(t, flaky)
	rec, _, err := root.Reopen(t.Context(), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	checkRecording(t, root.Files(), rec, whole.told, 1<<30)
	if _, _, err := root.Growing(t.Context(), testPath()); err != nil {
		t.Error(err)
	}
	if _, err := root.Unfinished(t.Context()); err != nil {
		t.Error(err)
	}
	flaky.stale = func() bool { return true }
	if _, err := Load(t.Context(), root.Files(), testPath(), testID); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("a server that knows nothing any more: %v", err)
	}
}

// staleFS answers some acts as NFS does of files that were replaced on another client.
type staleFS struct {
	fileSystem
	stale func() bool
}

func (f *staleFS) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	if f.stale() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ESTALE}
	}
	opened, err := f.fileSystem.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &staleFile{file: opened, fs: f}, nil
}

func (f *staleFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if f.stale() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ESTALE}
	}
	return f.fileSystem.ReadDir(name)
}

// staleFile stays stale once it is.
type staleFile struct {
	file
	fs   *staleFS
	gone bool
}

func (f *staleFile) ReadAt(p []byte, off int64) (int, error) {
	if f.gone = f.gone || f.fs.stale(); f.gone {
		return 0, &fs.PathError{Op: "read", Err: syscall.ESTALE}
	}
	return f.file.ReadAt(p, off)
}

// Any interleaving of two processes that write, stop, are killed and take over leaves one whole recording.
func TestAnyOrderOfTwoProcessesKeepsWhatWasTold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tb := rapidTB{t, rt}
		fsys := newMemFS()
		first := &show{tb: tb, fsys: fsys, root: sharedRoot(tb, fsys), next: 1}
		first.script()
		kept := first.told
		var zombies []*show
		owner := first
		for range rapid.IntRange(1, 6).Draw(rt, "take-overs") {
			zombies = append(zombies, owner)
			next := takeOver(tb, fsys, kept)
			for range rapid.IntRange(0, 6).Draw(rt, "steps") {
				z := zombies[rapid.IntRange(0, len(zombies)-1).Draw(rt, "zombie")]
				wake(tb, z, rapid.IntRange(0, 5).Draw(rt, "act"))
				if rapid.Bool().Draw(rt, "owner acts") {
					next.show.segment(1)
				}
			}
			if len(next.show.failed) > 0 && errors.Join(next.show.failed...) != nil {
				rt.Fatalf("the owner failed: %v", next.show.failed)
			}
			owner = next.show
			kept = append(kept, owner.told...)
		}
		takeOver(tb, fsys, kept)
	})
}

// wake has a fenced writer do something. It may succeed where it goes nowhere; where the recording is at stake it must
// be told.
func wake(tb testing.TB, z *show, act int) {
	tb.Helper()
	var err error
	switch act {
	case 0:
		err = z.writer.Update(func(m *Manifest) { m.State = media.Ended })
	case 1:
		_, err = z.writer.StartTake(testTake(z.number+1, z.next), testInits())
		if errors.Is(err, media.ErrConflict) || errors.Is(err, media.ErrInvalid) {
			return // its take is not sealed, or it counts otherwise by now
		}
	case 2:
		err = z.writer.AppendMetadata(media.Metadata{
			Number: 1 << 20, Kind: media.SCTE35, Date: testStart(), Payload: []byte("zombie"),
		})
		if err == nil || errors.Is(err, media.ErrInvalid) {
			return // into a file without a name
		}
	case 3, 4:
		seq := SequenceNumber(z.next, act)
		_, _ = z.take.AppendPart(0, testPart(seq, z.dts[0], 100, 2, true, []byte("zombie, of a long sleep")))
		return
	case 5:
		err = z.take.Seal()
		if err == nil { // a second one
			return
		}
		if errors.Is(err, media.ErrConflict) {
			return // its last segment was not finished
		}
	}
	if !errors.Is(err, media.ErrFenced) {
		tb.Fatalf("act %d of a fenced writer: %v", act, err)
	}
}
