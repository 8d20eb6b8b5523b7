package diskcache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustOpen(tb testing.TB, config Config) *Store {
	tb.Helper()
	return mustOpenWith(tb, config, createFile)
}

func mustOpenWith(tb testing.TB, config Config, create func(string) (file, error)) *Store {
	tb.Helper()
	if config.Bytes == 0 {
		config.Bytes = minBytes
	}
	s, err := open(config, create, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { mustClose(tb, s) })
	return s
}

func mustClose(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

// bodyOf is the body of a key: any byte tells which key and which place it is of.
func bodyOf(key string, size int) []byte {
	seed := sha256.Sum256([]byte(key))
	b := make([]byte, size)
	r := rand.NewChaCha8(seed)
	_, _ = r.Read(b)
	return b
}

func put(tb testing.TB, s *Store, key, group string, size int) {
	tb.Helper()
	body := bodyOf(key, size)
	cut := min(len(body), 1000)
	if !s.Put(key, group, []byte("meta of "+key), [][]byte{body[:cut], body[cut:]}, nil) {
		tb.Fatalf("put of %s was dropped", key)
	}
}

// flush waits until the queue is written.
func flush(tb testing.TB, s *Store) {
	tb.Helper()
	eventually(tb, "the queue is written", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.mu.queue) == 0 && len(s.mu.unlogged) == 0 && !s.mu.scanning
	})
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			tb.Fatalf("never: %s", what)
		}
	}
}

func heap(n int) []byte { return make([]byte, n) }

// want reads a key; what comes must be what was put.
func want(tb testing.TB, s *Store, key string, size int) bool {
	tb.Helper()
	v, ok := s.Get(tb.Context(), key, heap)
	if !ok {
		return false
	}
	if string(v.Meta) != "meta of "+key || v.Size != int64(size) || !bytes.Equal(slices.Concat(v.Body...), bodyOf(key, size)) {
		tb.Fatalf("%s: wrong bytes", key)
	}
	return true
}

func names(tb testing.TB, dir string) (names []string, bytes int64) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			tb.Fatal(err)
		}
		names = append(names, e.Name())
		bytes += info.Size()
	}
	return names, bytes
}

func TestGetGivesWhatWasPut(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	sizes := []int{0, 1, 999, 60_000, PieceBytes - 1, PieceBytes, PieceBytes + 1, 3*PieceBytes + 17}
	for _, size := range sizes {
		put(t, s, fmt.Sprint("key", size), "group", size)
	}
	flush(t, s)
	for _, size := range sizes {
		if !want(t, s, fmt.Sprint("key", size), size) {
			t.Errorf("%d bytes: a miss", size)
		}
	}
	if _, ok := s.Get(t.Context(), "other", heap); ok || s.Has("other") || !s.Has("key1") {
		t.Error("has what was never put, or not what was")
	}
	put(t, s, "key1", "group", 1)
	body := []byte("second")
	s.Put("key1", "group", nil, [][]byte{body}, nil)
	flush(t, s)
	if v, ok := s.Get(t.Context(), "key1", heap); !ok || string(slices.Concat(v.Body...)) != "second" {
		t.Errorf("what was put last is not there: %q", v.Body)
	}
	if _, ok := s.Get(t.Context(), "key999", func(int) []byte { return nil }); ok || !s.Has("key999") {
		t.Error("without memory it is not a miss, or the entry is gone")
	}
	if s.Put("large", "group", nil, [][]byte{make([]byte, s.layout.segment)}, nil) {
		t.Error("what is larger than a segment was taken")
	}
}

func TestRangeReadsOnlyItsPieces(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	const size = 3*PieceBytes - 100
	put(t, s, "key", "group", size)
	flush(t, s)
	whole := bodyOf("key", size)
	for _, c := range []struct {
		from, to int64
		pieces   int
	}{
		{0, 1, 1},
		{0, size, 3},
		{PieceBytes - 1, PieceBytes + 1, 2},
		{PieceBytes, 2 * PieceBytes, 1},
		{2*PieceBytes + 5, size + 1000, 1},
		{size, size + 1, 0},
	} {
		calls := 0
		v, ok := s.GetRange(t.Context(), "key", c.from, c.to, func(n int) []byte { calls++; return make([]byte, n) })
		if !ok || v.Size != size || !bytes.Equal(slices.Concat(v.Body...), whole[c.from:min(c.to, size)]) {
			t.Errorf("%d..%d: wrong bytes", c.from, c.to)
		}
		if calls != c.pieces {
			t.Errorf("%d..%d: %d pieces read, want %d", c.from, c.to, calls, c.pieces)
		}
	}
}

func TestEntriesAreThereAfterARestart(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		t.Run(fmt.Sprint("crashed=", crashed), func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, Config{Dir: dir})
			for i := range 100 {
				put(t, s, fmt.Sprint(i), "group", 50_000)
			}
			flush(t, s)
			if crashed {
				dir = copied(t, dir)
			} else {
				mustClose(t, s)
			}
			s = mustOpen(t, Config{Dir: dir})
			flush(t, s)
			for i := range 100 {
				if !want(t, s, fmt.Sprint(i), 50_000) {
					t.Errorf("%d is not there", i)
				}
			}
			mustClose(t, s)
			files, _ := names(t, dir)
			for _, name := range files {
				serial, is := parseSegmentName(name)
				if !is {
					continue
				}
				seg, sound, err := openSegment(dir, serial)
				if err != nil {
					t.Fatal(err)
				}
				if !sound {
					t.Errorf("%s has no footer: it is scanned a second time", name)
				}
				if err := seg.file.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// copied is the directory as a process leaves it that is killed now.
func copied(tb testing.TB, dir string) string {
	tb.Helper()
	to := filepath.Join(tb.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		tb.Fatal(err)
	}
	return to
}

func TestBoundsHoldAtEveryMoment(t *testing.T) {
	dir := t.TempDir()
	const files = 24
	s := mustOpen(t, Config{Dir: dir, Files: files, Entries: 2000, QueueBytes: 1 << 20})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 800 {
		for !s.Put(fmt.Sprint(i), "group", nil, [][]byte{bodyOf(fmt.Sprint(i), r.IntN(150_000))}, nil) {
			flush(t, s)
		}
		if i%4 == 0 {
			s.Get(t.Context(), fmt.Sprint(r.IntN(i+1)), heap) // so that much is written again
		}
		if i%8 == 0 {
			if names, bytes := names(t, dir); len(names) > files || bytes > minBytes {
				t.Fatalf("%d bytes in %d files", bytes, len(names))
			}
			if _, _, entries, _ := s.usage(); entries > 2000 {
				t.Fatalf("%d entries", entries)
			}
		}
	}
	if _, bytes := names(t, dir); bytes < minBytes/2 {
		t.Errorf("%d bytes are used of %d", bytes, minBytes)
	}
	if testutil.ToFloat64(s.metrics.evictions) == 0 {
		t.Error("nothing was evicted")
	}
}

func TestWhatIsInUseOutlivesItsSegment(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	put(t, s, "hot", "group", 300_000)
	put(t, s, "cold", "group", 600_000)
	for i := range 70 { // twice the bound
		put(t, s, fmt.Sprint(i), "group", 500_000)
		flush(t, s)
		if !want(t, s, "hot", 300_000) {
			t.Fatalf("what is in use was evicted after %d", i)
		}
	}
	if s.Has("cold") || s.Has("0") {
		t.Error("what nobody asks for is still there")
	}
	if testutil.ToFloat64(s.metrics.readmitted) == 0 {
		t.Error("nothing was written again")
	}
}

func TestEvictionEndsWhereAllIsInUseAndLarge(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	for i := range 60 {
		put(t, s, fmt.Sprint(i), "group", 400_000+i*10_000)
		flush(t, s)
		for j := range i {
			s.Get(t.Context(), fmt.Sprint(j), heap)
		}
	}
}

func TestDropTakesTheGroupForGood(t *testing.T) {
	for _, how := range []string{"closed", "killed", "killed and the log made anew"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, Config{Dir: dir})
			put(t, s, "a", "one", 1000)
			put(t, s, "b", "two", 1000)
			flush(t, s)
			put(t, s, "queued", "one", 1000)
			s.Drop("one")
			s.Drop("unknown")
			if s.mu.drops[hashGroup("unknown")] != 0 {
				t.Error("a drop of nothing is kept")
			}
			put(t, s, "c", "one", 1000) // after the drop: it stays
			flush(t, s)
			if how == "killed and the log made anew" {
				for i := range s.layout.drops {
					put(t, s, "x", fmt.Sprint("group", i), 10)
					flush(t, s)
					s.Drop(fmt.Sprint("group", i))
					if i == 50 {
						flush(t, s) // the writer then reads it only after the next drop
						s.mu.Lock()
						s.layout.drops = 60 // sooner than that
						s.mu.Unlock()
					}
					if i == 70 {
						break
					}
				}
				flush(t, s)
			}
			check := func() {
				t.Helper()
				for _, key := range []string{"a", "queued"} {
					if want(t, s, key, 1000) {
						t.Errorf("%s was dropped and is there", key)
					}
				}
				if !want(t, s, "b", 1000) || !want(t, s, "c", 1000) {
					t.Error("other entries are gone")
				}
			}
			if how != "killed and the log made anew" {
				check()
			}
			if how == "closed" {
				mustClose(t, s)
			} else {
				dir = copied(t, dir)
			}
			s = mustOpen(t, Config{Dir: dir})
			flush(t, s)
			if how == "killed and the log made anew" {
				if want(t, s, "a", 1000) || want(t, s, "queued", 1000) || s.Has("x") {
					t.Error("what was dropped is there")
				}
				return
			}
			check()
		})
	}
}

func TestFullQueueDropsTheWrite(t *testing.T) {
	block := make(chan struct{})
	s := mustOpenWith(t, Config{Dir: t.TempDir(), QueueBytes: 5000}, func(path string) (file, error) {
		<-block
		return createFile(path)
	})
	for i := range 5 {
		put(t, s, fmt.Sprint(i), "group", 1000)
	}
	if s.Put("more", "group", nil, [][]byte{make([]byte, 1000)}, nil) {
		t.Error("the queue has no bound")
	}
	if !s.Has("4") {
		t.Error("what is about to be written is not known")
	}
	if got := testutil.ToFloat64(s.metrics.shed[shedQueue]); got != 1 {
		t.Errorf("%v dropped writes counted", got)
	}
	close(block)
	flush(t, s)
	if !want(t, s, "4", 1000) {
		t.Error("what was queued was not written")
	}
}

func TestCollidingKeysHideEachOther(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	put(t, s, "a", "group", 1000)
	flush(t, s)
	s.mu.Lock()
	s.mu.entries[hashKey("b")] = s.mu.entries[hashKey("a")]
	s.mu.segments[1].slots[0].hash = hashKey("b")
	s.mu.Unlock()
	if _, ok := s.Get(t.Context(), "b", heap); ok {
		t.Error("the other key's body was given")
	}
}
