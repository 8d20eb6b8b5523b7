package blocks

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

func TestPlaybackIsReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 40*testBlock)
		const segment = testBlock / 2
		before := 0
		for i := range 40 {
			if i > 4 {
				before = count(w.metrics.misses)
			}
			w.want(trackFile, int64(i)*segment, segment)
			synctest.Wait() // until what is read ahead is there
			if n := count(w.metrics.misses); i > 4 && n != before {
				t.Errorf("segment %d was waited for", i)
			}
		}
		used, ahead := count(w.metrics.used), count(w.metrics.ahead)
		if used < 15 || ahead-used > 4 {
			t.Errorf("%d blocks ahead, %d of them used", ahead, used)
		}
		if n := len(w.store.requests()); n > 12 {
			t.Errorf("%d requests for 20 blocks", n)
		}
	})
}

func TestSeeksAreNotReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 100*testBlock)
		for i := range 40 {
			w.want(trackFile, int64(i*37%100)*testBlock, testBlock)
			synctest.Wait()
		}
		if n := count(w.metrics.ahead); n != 0 {
			t.Errorf("%d blocks ahead", n)
		}
		if got := count(w.metrics.bytes); got != 40*testBlock {
			t.Errorf("%d bytes", got)
		}
	})
}

// What is read ahead for viewers who stop after two segments is bounded, and no more once it was for nothing.
func TestReadAheadEndsWhereItIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxBytes: 32 * testBlock})
		w.put(trackFile, 1, 1000*testBlock)
		most := int64(0)
		for i := range 50 {
			at := int64(i) * 20 * testBlock
			w.want(trackFile, at, testBlock)
			w.want(trackFile, at+testBlock, testBlock)
			synctest.Wait()
			w.mu.Lock()
			most = max(most, w.mu.ahead)
			w.mu.Unlock()
		}
		if most > 4*testBlock {
			t.Errorf("%d blocks ahead at a time, of 32", most/testBlock)
		}
		if n := count(w.metrics.wasted); n == 0 || n > 100 {
			t.Errorf("%d blocks for nothing", n)
		}
	})
}

// A store that takes its time over what is read ahead does not keep a viewer from what it wants.
func TestReadAheadDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 100*testBlock)
		g := newGate(8 * testBlock)
		w.store.set(func(s *store) {
			s.gate = func(ctx context.Context, name string, offset int64) error {
				if offset >= 50*testBlock {
					return nil
				}
				return g.pass(ctx, name, offset)
			}
		})
		w.want(trackFile, 0, 8*testBlock)
		w.want(trackFile, 0, 2*testBlock)
		in, err := w.files.OpenRange(t.Context(), trackFile, 8*testBlock, 8*testBlock) // it hangs
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		w.want(trackFile, 60*testBlock, 8*testBlock)
		// A block that the hanging reading would come to much later is read by itself.
		w.store.set(func(s *store) { s.gate = nil })
		w.want(trackFile, 12*testBlock, testBlock)
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %s", took)
		}
		close(g.opened)
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
}

// When nobody wants them any more, blocks behind the one that is being read are left.
func TestAbandonedReadingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxAhead: -1})
		w.put(trackFile, 1, 100*testBlock)
		w.want(trackFile, 0, 10)
		g := newGate(10 * testBlock)
		w.store.set(func(s *store) { s.gate = g.pass })
		in, err := w.files.OpenRange(t.Context(), trackFile, 10*testBlock, 8*testBlock)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		close(g.opened)
		synctest.Wait()
		if n, _ := w.Usage(); n != 2*testBlock {
			t.Errorf("%d bytes are kept", n)
		}
	})
}

func TestHotBlocksSurviveAScan(t *testing.T) {
	w := newWorld(t, Config{MaxBytes: 32 * testBlock, MaxAhead: -1})
	w.put(trackFile, 1, 500*testBlock)
	w.put(otherFile, 2, 8*testBlock)
	for range 3 {
		w.want(otherFile, 0, 8*testBlock)
	}
	for i := range 500 {
		w.want(trackFile, int64(i)*testBlock, testBlock)
	}
	before := len(w.store.requests())
	w.want(otherFile, 0, 8*testBlock)
	if n := len(w.store.requests()); n != before {
		t.Error("a scan flushed what is wanted")
	}
}

// tier is a second tier of real memory: what it is told to keep it does.
type tier struct {
	mu      sync.Mutex
	entries map[string]slab.Piece
	groups  map[string]string
	gets    atomic.Int64
}

func (d *tier) Get(_ context.Context, key string, _ int) (slab.Piece, bool) {
	d.gets.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.entries[key]
	return p, ok
}

func (d *tier) Put(key, group string, p slab.Piece) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[key] = slab.Of(append([]byte(nil), p.Data...))
	d.groups[key] = group
	return true
}

func (d *tier) Drop(group string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, of := range d.groups {
		if of == group {
			delete(d.entries, key)
			delete(d.groups, key)
		}
	}
}

func TestSecondTier(t *testing.T) {
	d := &tier{entries: make(map[string]slab.Piece), groups: make(map[string]string)}
	first := newWorld(t, Config{Tier: d, MaxAhead: -1})
	data := first.put(trackFile, 1, 6*testBlock+7)
	first.want(trackFile, 0, 6*testBlock+7)
	if len(d.entries) != 0 {
		t.Errorf("%d entries of what was wanted once", len(d.entries))
	}
	first.want(trackFile, 0, 3*testBlock)
	first.want(trackFile, 6*testBlock, 7)
	if len(d.entries) != 1+4 {
		t.Errorf("%d entries", len(d.entries))
	}
	// As after a restart.
	second := newWorld(t, Config{Tier: d, MaxAhead: -1})
	second.store, second.have = first.store, first.have
	second.files = second.Storage("default", second.store)
	before, told := len(first.store.requests()), first.store.versions()
	second.want(trackFile, 0, 6*testBlock+7)
	if got := first.store.requests()[before:]; len(got) != 1 || got[0] != (reading{trackFile, 3 * testBlock, 3 * testBlock}) {
		t.Errorf("%v", got)
	}
	if n := first.store.versions() - told; n != 1 {
		t.Errorf("%d requests for the version", n)
	}
	if n := count(second.metrics.tier); n != 4 {
		t.Errorf("%d hits", n)
	}
	// Another object under the name, while the tier has the old one's blocks.
	third := newWorld(t, Config{Tier: d, MaxAhead: -1})
	third.store, third.have = first.store, first.have
	third.files = third.Storage("default", third.store)
	third.put(trackFile, 2, 6*testBlock+7)
	if string(data) == string(third.have[trackFile]) {
		t.Fatal("the same")
	}
	third.want(trackFile, 0, 6*testBlock+7)
	third.Drop(media.StreamPath{Publisher: "acme", Stream: "show"}, "01kabcdefghjkmnpqrstvwxyz0")
	if len(d.entries) != 0 {
		t.Errorf("%d entries of a dropped recording", len(d.entries))
	}
}

func TestCloseCutsReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 3*testBlock)
		g := newGate(100)
		w.store.set(func(s *store) { s.gate, s.most = g.pass, 100 })
		in, err := w.files.OpenRange(t.Context(), trackFile, 0, 200)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { _ = w.Close() })
		var p pieces
		if _, err := in.(*Reader).WriteTo(&p); !errors.Is(err, errClosed) {
			t.Error(err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if _, err := w.read(trackFile, 0, 10); !errors.Is(err, errClosed) {
			t.Error(err)
		}
	})
}

func BenchmarkRangeHit(b *testing.B) {
	w := newWorld(b, Config{BlockBytes: 1 << 20, MaxBytes: 64 << 20})
	w.put(trackFile, 1, 8<<20)
	w.want(trackFile, 0, 8<<20)
	var p pieces
	b.SetBytes(2 << 20)
	b.ReportAllocs()
	for b.Loop() {
		p.got, p.again = p.got[:0], p.again[:0]
		in, err := w.files.OpenRange(b.Context(), trackFile, 3<<19, 2<<20)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.(*Reader).WriteTo(&p); err != nil {
			b.Fatal(err)
		}
		if err := in.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
