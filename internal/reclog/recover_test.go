package reclog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

// created says whether the recording's manifest had come to storage.
func created(fsys *memFS) bool { return len(fsys.glob("/"+ManifestName(testPath(), testID))) > 0 }

// leftOut says that round n is not played under the race detector, but one in each is: it has nothing to find in one
// goroutine and makes it ten times as long. `make e2e` plays all without it.
func leftOut(n, each int) bool { return raceEnabled && n%each != 0 }

// cuts gives the places inside a write at which it is cut: a dozen, and two under the race detector.
func cuts(o op) []int {
	var at []int
	step := max(1, len(o.data)/12)
	if raceEnabled {
		step = max(1, len(o.data)/2)
	}
	for i := 1; i < len(o.data); i += step {
		at = append(at, i)
	}
	return at
}

// crashes calls fn with every state that a crash of the process can leave: after each entry of the journal, and with
// the next write cut anywhere.
func crashes(journal []op, fn func(at int, left []op)) {
	for at := range len(journal) + 1 {
		fn(at, journal[:at:at])
		if at == len(journal) || journal[at].kind != opWrite {
			continue
		}
		for _, n := range cuts(journal[at]) {
			torn := journal[at]
			torn.data = torn.data[:n]
			fn(at, append(journal[:at:at], torn))
		}
	}
}

func TestReopenAfterEveryPrefixOfWrites(t *testing.T) {
	for i, policy := range []SyncPolicy{SyncSegment, SyncPart, SyncNever} {
		t.Run(string(policy), func(t *testing.T) {
			s := newShow(t, newMemFS(), policy)
			s.script()
			if err := errors.Join(s.failed...); err != nil {
				t.Fatal(err)
			}
			if last := s.fsys.journal[len(s.fsys.journal)-1]; last.kind == "" || len(s.told) < 20 {
				t.Fatalf("script told %d things", len(s.told))
			}
			seen := 0
			crashes(s.fsys.journal, func(at int, left []op) {
				if seen++; leftOut(seen+i, 2) && at != len(s.fsys.journal) {
					return
				}
				fsys := replay(left)
				if !created(fsys) {
					return
				}
				root, rec, w := mustReopen(t, fsys)
				if len(rec.Damage) > 0 {
					t.Fatalf("crash at %d: a torn tail is called damage: %v", at, rec.Damage)
				}
				checkRecording(t, root.Files(), rec, s.told, at)
				checkPieces(t, rec, s.pieces, func(p piece) bool { return p.at <= at })
				checkNoTail(t, fsys, rec)
				checkContinues(t, root, rec, w)
			})
		})
	}
}

// checkNoTail asserts that nothing torn is left: each file ends with its last segment.
func checkNoTail(t *testing.T, fsys *memFS, rec *Recording) {
	t.Helper()
	for _, take := range rec.Takes {
		for _, track := range take.Tracks {
			size := len(fsys.contents(onDisk(takeFile(take.Number, track.Name, trackSuffix))))
			if end := rec.MediaEnd(take.Number, track.Name); end != int64(size) {
				t.Fatalf("take %d, %s: %d bytes, media to %d", take.Number, track.Name, size, end)
			}
		}
	}
}

func TestReopenAfterACrashInReopen(t *testing.T) {
	s := newShow(t, newMemFS(), SyncSegment)
	s.script()
	seen, each := 0, 23
	if raceEnabled {
		each = 31
	}
	crashes(s.fsys.journal, func(at int, left []op) {
		if seen++; seen%each != 0 && at != len(s.fsys.journal) {
			return
		}
		fsys := replay(left)
		if !created(fsys) {
			return
		}
		mustReopen(t, fsys)
		crashes(fsys.journal, func(_ int, more []op) {
			again := replay(append(slices.Clone(left), more...))
			root, rec, _ := mustReopen(t, again)
			if len(rec.Damage) > 0 {
				t.Fatalf("damage: %v", rec.Damage)
			}
			checkRecording(t, root.Files(), rec, s.told, at)
			checkPieces(t, rec, s.pieces, func(p piece) bool { return p.at <= at })
		})
	})
}

// failures runs the script with one failing act, or a run of them, and hands over what is left. Every act fails in one
// of three rounds that follow each other.
func failures(t *testing.T, round, length, through int, fn func(n int, s *show)) {
	t.Helper()
	whole := newShow(t, newMemFS(), SyncSegment)
	whole.script()
	for n := range whole.fsys.acts {
		if leftOut(n+round, 3) {
			continue
		}
		s := newShow(t, newMemFS(), SyncSegment)
		s.fsys.fail = func(at int, o op) (int, error) {
			if at >= n && at < n+length {
				return through, fmt.Errorf("act %d, %s: %w", at, o, errInjected)
			}
			return 0, nil
		}
		s.script()
		if s.take != nil {
			s.settle()
		}
		s.fsys.fail = nil
		fn(n, s)
	}
}

func TestReopenAfterEveryFailingAct(t *testing.T) {
	for i, length := range []int{1, 2, 5} {
		for j, through := range []int{0, 7} {
			t.Run(fmt.Sprintf("%d acts, %d bytes through", length, through), func(t *testing.T) {
				failures(t, i+j, length, through, func(n int, s *show) {
					if len(s.failed) == 0 && length > 1 {
						t.Fatalf("act %d failed and nobody knows", n)
					}
					fsys := replay(s.fsys.journal)
					if !created(fsys) {
						return
					}
					root, rec, w := mustReopen(t, fsys)
					if len(rec.Damage) > 0 {
						t.Fatalf("act %d: damage: %v", n, rec.Damage)
					}
					checkRecording(t, root.Files(), rec, s.told, len(s.fsys.journal))
					checkPieces(t, rec, s.pieces, func(piece) bool { return true })
					checkContinues(t, root, rec, w)
				})
			})
		}
	}
}

func TestReopenItselfMayFailAtEveryAct(t *testing.T) {
	s := newShow(t, newMemFS(), SyncSegment)
	s.script()
	whole := replay(s.fsys.journal)
	mustReopen(t, whole)
	for n := range whole.acts {
		fsys := replay(s.fsys.journal)
		root := testRoot(t, fsys, SyncSegment)
		fsys.acts = 0
		fsys.fail = func(at int, _ op) (int, error) {
			if at == n {
				return 3, errInjected
			}
			return 0, nil
		}
		if _, _, err := root.Reopen(context.Background(), testPath(), testID); err != nil && !errors.Is(err, errInjected) {
			t.Fatalf("act %d: %v", n, err)
		}
		fsys.fail = nil
		root, rec, w := mustReopen(t, fsys)
		checkRecording(t, root.Files(), rec, s.told, len(s.fsys.journal))
		checkPieces(t, rec, s.pieces, func(piece) bool { return true })
		checkContinues(t, root, rec, w)
	}
}

// After a loss of power, what was synced is there: each segment that has an index line on storage. Parts of later
// segments may be gone, but what is left makes one recording, without holes.
func TestReopenAfterLossOfPowerKeepsWhatWasSynced(t *testing.T) {
	s := newShow(t, newMemFS(), SyncSegment)
	s.script()
	rng := rand.New(rand.NewPCG(1, 2))
	for at := range len(s.fsys.journal) + 1 {
		for round := range 8 {
			if leftOut(at+round, 4) {
				continue
			}
			left := powerLoss(s.fsys.journal[:at], func(n int) int { return rng.IntN(n + 1) })
			fsys := replay(left)
			if !created(fsys) {
				continue
			}
			root, rec, w := mustReopen(t, fsys)
			checkRecording(t, root.Files(), rec, nil, at)
			checkPieces(t, rec, s.pieces, func(p piece) bool { return p.synced && p.at <= at })
			checkContinues(t, root, rec, w)
			for _, what := range s.told {
				if (what.gap && what.at <= at) || lineBy(s.fsys.journal[:at], what) {
					if err := checkTold(root.Files(), rec, what); err != nil {
						t.Fatalf("loss of power at %d: %d.%d of track %d: %v", at, what.msn, what.part, what.track, err)
					}
				}
			}
		}
	}
}

// lineBy says whether the index line of what was told is in the journal, so that the bytes were synced before.
func lineBy(journal []op, what told) bool {
	name := onDisk(takeFile(what.take, testTake(1, 1).Tracks[what.track].Name, indexSuffix))
	return slices.ContainsFunc(journal, func(o op) bool {
		var seg media.Segment
		return o.kind == opWrite && o.name == name && len(o.data) > 0 &&
			parseLine(o.data[:len(o.data)-1], &seg) == nil && seg.MSN == what.msn && !what.gap
	})
}

// rapidTB tells rapid of failures, so that it looks for a smaller one.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (t rapidTB) Fatal(args ...any)                 { t.rt.Fatal(args...) }
func (t rapidTB) Fatalf(format string, args ...any) { t.rt.Fatalf(format, args...) }

// A recording of any shape, with failures at any time and lines written at any time, is whole after a crash.
func TestAnyRecordingSurvivesACrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		t := rapidTB{t, rt}
		s := newShow(t, newMemFS(), rapid.SampledFrom([]SyncPolicy{SyncSegment, SyncPart, SyncNever}).Draw(rt, "policy"))
		s.async = rapid.Bool().Draw(rt, "async")
		failing := rapid.SliceOfN(rapid.IntRange(0, 120), 0, 6).Draw(rt, "failing")
		through := rapid.IntRange(0, 200).Draw(rt, "through")
		s.fsys.fail = func(at int, _ op) (int, error) {
			if slices.Contains(failing, at) {
				return through, errInjected
			}
			return 0, nil
		}
		if !s.begin() {
			return
		}
		for range rapid.IntRange(1, 4).Draw(rt, "takes") {
			if !s.startTake() {
				break
			}
			for range rapid.IntRange(0, 4).Draw(rt, "segments") {
				if rapid.IntRange(0, 3).Draw(rt, "gap") == 0 {
					s.gap(false)
				} else {
					s.segment(rapid.IntRange(1, 3).Draw(rt, "parts"))
				}
				if rapid.IntRange(0, 2).Draw(rt, "tell") == 0 {
					s.tell()
				}
			}
			s.seal()
			for range rapid.IntRange(0, 2).Draw(rt, "fillers") {
				if s.writer.mu.tail != nil {
					s.number = s.writer.mu.tail.take.Number
					s.gap(true)
				}
			}
			s.number = s.take.take.Number
		}
		if s.take == nil {
			return
		}
		_ = s.take.drainForTest()
		s.fsys.fail = nil
		journal := s.fsys.journal
		at := rapid.IntRange(0, len(journal)).Draw(rt, "crash")
		left := slices.Clone(journal[:at])
		if at < len(journal) && journal[at].kind == opWrite {
			torn := journal[at]
			torn.data = torn.data[:rapid.IntRange(0, len(torn.data)).Draw(rt, "torn")]
			left = append(left, torn)
		}
		fsys := replay(left)
		if !created(fsys) {
			return
		}
		root, rec, w := mustReopen(t, fsys)
		if len(rec.Damage) > 0 {
			rt.Fatalf("damage: %v", rec.Damage)
		}
		checkRecording(t, root.Files(), rec, s.told, at)
		checkPieces(t, rec, s.pieces, func(p piece) bool { return p.at <= at })
		checkContinues(t, root, rec, w)
	})
}
