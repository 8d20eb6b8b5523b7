package diskcache

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

const (
	damagedKeys = 12
	damagedSize = 400
)

// damageable makes a directory with a sealed segment, one without a footer, and a drop log that matters.
func damageable(tb testing.TB) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	s := mustOpen(tb, Config{Dir: dir})
	put(tb, s, "deleted", "dead", damagedSize)
	for i := range damagedKeys / 2 {
		put(tb, s, fmt.Sprint(i), "group", damagedSize)
	}
	flush(tb, s)
	s.Drop("dead")
	mustClose(tb, s)
	s = mustOpen(tb, Config{Dir: dir})
	for i := damagedKeys / 2; i < damagedKeys; i++ {
		put(tb, s, fmt.Sprint(i), "group", damagedSize)
	}
	flush(tb, s)
	return copied(tb, dir)
}

// survivors opens the directory, and gives how many entries are there; none is wrong, and none is of the dead.
func survivors(t *testing.T, dir string) int {
	t.Helper()
	s := mustOpen(t, Config{Dir: dir})
	flush(t, s)
	n := 0
	for i := range damagedKeys {
		if want(t, s, fmt.Sprint(i), damagedSize) {
			n++
		}
	}
	if want(t, s, "deleted", damagedSize) {
		t.Error("what was dropped is there")
	}
	put(t, s, "new", "group", damagedSize)
	flush(t, s)
	if !want(t, s, "new", damagedSize) {
		t.Error("what is put behind the damage is not kept")
	}
	mustClose(t, s)
	return n
}

// TestFlippedBits flips a bit in every file, at every position of the small ones and of each kind of the large ones.
func TestFlippedBits(t *testing.T) {
	dir := damageable(t)
	files, _ := names(t, dir)
	if len(files) != 4 {
		t.Fatalf("files %q", files)
	}
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			_, segment := parseSegmentName(name)
			for at := range whole {
				if segment && at%17 != 0 && at < len(whole)-trailerSize {
					continue
				}
				b := append([]byte(nil), whole...)
				b[at] ^= 1 << (at % 8)
				there := copied(t, dir)
				if err := os.WriteFile(filepath.Join(there, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
				// A segment loses an entry, or from a bad head on all if it has no footer; with the mark or the drop log
				// all may go.
				if n := survivors(t, there); segment && n < damagedKeys/2 {
					t.Errorf("bit of byte %d of %d: %d entries are left", at, len(whole), n)
				}
				if err := os.RemoveAll(there); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestDamagedFooterIsNoFooter(t *testing.T) {
	slots := []slot{{hash: 1, size: 100, head: 40, group: 3, epoch: 1}, {hash: 2, offset: 100, size: 50, head: 50}}
	whole := appendFooter(nil, 7, 150, slots)
	for at := range whole {
		for bit := range 8 {
			b := append([]byte(nil), whole...)
			b[at] ^= 1 << bit
			tr, ok := parseTrailer(b[len(b)-trailerSize:], 7, int64(150+len(b)))
			if ok {
				_, ok = parseSlots(b[:len(b)-trailerSize], tr)
			}
			if ok {
				t.Errorf("bit %d of byte %d is not missed", bit, at)
			}
		}
	}
}

func TestTruncatedFiles(t *testing.T) {
	dir := damageable(t)
	files, _ := names(t, dir)
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for size := int64(0); size < info.Size(); size += max(1, info.Size()/40) {
				if name == dropsFile && (size-dropsHeader)%dropSize == 0 || size == dropsHeader {
					continue // whole records were never written: a machine that died before they reached the device
				}
				there := copied(t, dir)
				if err := os.Truncate(filepath.Join(there, name), size); err != nil {
					t.Fatal(err)
				}
				if name == dropsFile && size > dropsHeader {
					mustClose(t, mustOpen(t, Config{Dir: there})) // a write that was cut short: the drop never was
					continue
				}
				survivors(t, there)
			}
		})
	}
}

func TestLostDropLogCostsAll(t *testing.T) {
	dir := damageable(t)
	if err := os.Remove(filepath.Join(dir, dropsFile)); err != nil {
		t.Fatal(err)
	}
	if n := survivors(t, dir); n != 0 {
		t.Errorf("%d entries are there, and nobody knows what was dropped", n)
	}
}

// TestNewestBodyCountsWhateverIsScannedLast has an older segment read after a newer one.
func TestNewestBodyCountsWhateverIsScannedLast(t *testing.T) {
	dir := t.TempDir()
	for _, body := range []string{"old", "new"} {
		s := mustOpen(t, Config{Dir: dir})
		s.Put("key", "group", nil, [][]byte{[]byte(body)}, nil)
		flush(t, s)
		mustClose(t, s)
	}
	first := filepath.Join(dir, segmentName(1))
	info, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(first, info.Size()-1); err != nil { // its footer is no more
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Dir: dir})
	flush(t, s)
	if v, ok := s.Get(t.Context(), "key", heap); !ok || string(v.Body[0]) != "new" {
		t.Errorf("found %q", v.Body)
	}
}

// TestMoreDropsThanAreRememberedCostAll has a store that does not know yet what it has.
func TestMoreDropsThanAreRememberedCostAll(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	put(t, s, "key", "group", 1000)
	flush(t, s)
	s.mu.Lock()
	s.mu.scanning = true
	s.mu.Unlock()
	for i := range maxDrops + 1 {
		s.mu.Lock()
		s.mu.drops[uint32(i)] = 1
		s.mu.Unlock()
	}
	s.Drop("group")
	if want(t, s, "key", 1000) {
		t.Error("what was dropped is there")
	}
}

func TestDamageWhileOpenIsAMiss(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	const size = PieceBytes + 1000
	put(t, s, "a", "group", size)
	put(t, s, "b", "group", size)
	put(t, s, "c", "group", size)
	flush(t, s)
	f, err := os.OpenFile(filepath.Join(dir, segmentName(1)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.mu.Lock()
	a, b := s.mu.segments[1].slots[0], s.mu.segments[1].slots[1]
	s.mu.Unlock()
	flip(t, f, a.end()-5)                 // the second piece of the body
	flip(t, f, int64(b.offset)+headFixed) // the key
	v, ok := s.GetRange(t.Context(), "a", 0, 10, heap)
	if !ok || v.Size != size {
		t.Error("a piece that is good was not given")
	}
	for i, key := range []string{"a", "b"} {
		if want(t, s, key, size) || s.Has(key) {
			t.Errorf("%s was given, or kept", key)
		}
		if got := testutil.ToFloat64(s.metrics.corrupt); got != float64(i+1) {
			t.Errorf("%v damaged entries counted", got)
		}
	}
	if !want(t, s, "c", size) {
		t.Error("an entry beside the damage is gone")
	}
	if err := f.Truncate(100); err != nil {
		t.Fatal(err)
	}
	if want(t, s, "c", size) {
		t.Error("an entry that is cut off was given")
	}
}

func flip(t *testing.T, f *os.File, at int64) {
	t.Helper()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
