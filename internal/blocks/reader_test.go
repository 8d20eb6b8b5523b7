package blocks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

func TestRangesAreWhatTheStoreHas(t *testing.T) {
	const b = testBlock
	for _, size := range []int{1, b - 1, b, b + 1, 3*b - 1, 3 * b, 3*b + 1, 10*b + 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := newWorld(t, Config{})
			w.put(trackFile, 1, size)
			for _, from := range []int{0, 1, b - 1, b, b + 1, 2 * b, size - 1} {
				for _, n := range []int{1, 2, b - 1, b, b + 1, 2*b + 2, size - from} {
					if from < 0 || n < 1 || from+n > size {
						continue
					}
					w.want(trackFile, int64(from), int64(n))
				}
			}
			if n, count := w.Usage(); n != int64(size) || count != (size+b-1)/b {
				t.Errorf("%d bytes in %d blocks are kept of %d", n, count, size)
			}
		})
	}
}

func TestRangesBeyondTheEnd(t *testing.T) {
	w := newWorld(t, Config{})
	w.put(trackFile, 1, 3*testBlock+5)
	for _, c := range []struct{ offset, size int64 }{
		{0, 3*testBlock + 6}, {3*testBlock + 5, 1}, {3*testBlock + 4, 2}, {100 * testBlock, 1}, {100 * testBlock, 0},
	} {
		if _, err := w.read(trackFile, c.offset, c.size); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, c := range []struct{ offset, size int64 }{{-1, 1}, {0, -1}, {1 << 62, 1 << 62}} {
		if _, err := w.read(trackFile, c.offset, c.size); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := w.read(trackFile, 5, 0); err != nil {
		t.Error("empty range:", err)
	}
	if _, err := w.read(audioFile, 0, 1); !errors.Is(err, media.ErrNotFound) {
		t.Error("absent:", err)
	}
	w.want(trackFile, 0, 3*testBlock+5)
	if _, err := w.read(audioFile, 0, 1); !errors.Is(err, media.ErrNotFound) {
		t.Error("absent again:", err)
	}
	w.put(audioFile, 2, 9) // what is absent is not remembered here
	w.want(audioFile, 0, 9)
}

func TestOneReadingServesSegmentIFrameAndDownload(t *testing.T) {
	w := newWorld(t, Config{MaxAhead: -1})
	w.put(trackFile, 1, 8*testBlock)
	w.want(trackFile, testBlock+100, 2*testBlock) // a segment: three blocks
	w.want(trackFile, testBlock+100, 300)         // its first I-frame
	w.want(trackFile, 2*testBlock, 2*testBlock)   // part of a download
	w.want(trackFile, 3*testBlock-10, 20)
	w.wantRequests(reading{trackFile, testBlock, 3 * testBlock})
	w.want(trackFile, 0, 8*testBlock) // what lies on both sides
	w.wantRequests(reading{trackFile, testBlock, 3 * testBlock}, reading{trackFile, 0, testBlock},
		reading{trackFile, 4 * testBlock, 4 * testBlock})
	if got := count(w.metrics.bytes); got != 8*testBlock {
		t.Errorf("%d bytes read", got)
	}
}

func TestThousandViewersOfASegmentAreOneReading(t *testing.T) {
	w := newWorld(t, Config{})
	w.put(trackFile, 1, 6*testBlock)
	g := newGate(0)
	w.store.set(func(s *store) { s.gate = g.pass })
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() { w.want(trackFile, testBlock/2, 5*testBlock) })
	}
	close(g.opened)
	all.Wait()
	w.wantRequests(reading{trackFile, 0, 6 * testBlock})
}

func TestFirstBytesDoNotWaitForTheBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 4*testBlock)
		g := newGate(512)
		w.store.set(func(s *store) { s.gate, s.most = g.pass, 256 })
		w.want(trackFile, 0, 512) // an init section
		w.want(trackFile, 100, 200)
		in, err := w.files.OpenRange(t.Context(), trackFile, 0, 1000) // it is answered, and goes on when there is more
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1000)
		if _, err := io.ReadFull(in, got[:512]); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { close(g.opened) })
		if _, err := io.ReadFull(in, got[512:]); err != nil || string(got) != string(w.have[trackFile][:1000]) {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		w.wantRequests(reading{trackFile, 0, testBlock})
	})
}

func TestReadingThatBreaksIsTakenUpWhereItEnded(t *testing.T) {
	broken := errors.New("connection reset")
	for _, at := range []int64{0, 1, 1000, testBlock - 1, testBlock, testBlock + 1, 3*testBlock - 500} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			w := newWorld(t, Config{MaxAhead: -1})
			w.put(trackFile, 1, 3*testBlock)
			var times atomic.Int64
			w.store.set(func(s *store) {
				s.most = 500
				s.gate = func(_ context.Context, _ string, offset int64) error {
					if offset >= at && times.Add(1) == 1 {
						return broken
					}
					return nil
				}
			})
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { w.want(trackFile, 0, 3*testBlock) })
			}
			all.Wait()
			got := w.store.requests()
			if len(got) != 2 || got[1].offset < at || got[1].offset > at+500 {
				t.Errorf("%v", got)
			}
		})
	}
	t.Run("for good", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 3*testBlock)
		w.want(trackFile, 0, 10)
		w.store.set(func(s *store) { s.open = func(context.Context, string, int64) error { return broken } })
		if _, err := w.read(trackFile, 2*testBlock, 10); !errors.Is(err, broken) {
			t.Error(err)
		}
		if n := len(w.store.requests()); n != 1+maxTries {
			t.Errorf("%d requests", n)
		}
		w.store.set(func(s *store) { s.open = nil })
		w.want(trackFile, 2*testBlock, 10) // nothing remembers the failure
	})
	t.Run("a body that ends early", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 3*testBlock)
		w.store.set(func(s *store) {
			s.gate = func(_ context.Context, _ string, offset int64) error {
				if offset > 0 {
					return io.EOF
				}
				return nil
			}
			s.most = 100
		})
		if data, err := w.read(trackFile, 0, 3*testBlock); !errors.Is(err, io.ErrUnexpectedEOF) || len(data) < 100 {
			t.Error(len(data), err)
		}
	})
}

func TestStoreThatHangsIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, 3*testBlock)
		g := newGate(1000)
		w.store.set(func(s *store) { s.gate, s.most = g.pass, 500 })
		begin := time.Now()
		if _, err := w.read(trackFile, 0, 2000); !errors.Is(err, media.ErrUnavailable) {
			t.Error(err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("after %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // who leaves does not wait
		defer cancel()
		in, err := w.files.OpenRange(t.Context(), trackFile, 1500, 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := in.(*Reader).NextPiece(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(g.opened)
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		w.want(trackFile, 0, 3*testBlock)
	})
}

func TestReplacedObjectIsNeverMixed(t *testing.T) {
	w := newWorld(t, Config{MaxAhead: -1})
	old := w.put(trackFile, 1, 20*testBlock)
	w.want(trackFile, 0, testBlock)
	in, err := w.files.OpenRange(t.Context(), trackFile, 0, 20*testBlock)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, testBlock+10)
	if _, err := io.ReadFull(in, part); err != nil {
		t.Fatal(err)
	}
	w.put(trackFile, 2, 21*testBlock)
	rest, err := io.ReadAll(in) // what the first reading of the store has of the old one, and then no more
	if !errors.Is(err, errChanged) || string(append(part, rest...)) != string(old[:len(part)+len(rest)]) {
		t.Errorf("%d bytes: %v", len(rest), err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	w.want(trackFile, 0, 21*testBlock)
	t.Run("with all blocks in memory, once its manifest changed", func(t *testing.T) {
		w.put(trackFile, 3, 5*testBlock)
		w.replace(manifest, []byte("other"))
		if _, err := w.files.ReadFile(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
		told := w.store.versions()
		w.want(trackFile, 0, 5*testBlock)
		w.want(trackFile, 0, 5*testBlock)
		if n := w.store.versions() - told; n != 1 {
			t.Errorf("the version was asked for %d times", n)
		}
		if _, err := w.files.ReadFile(t.Context(), manifest); err != nil { // the same
			t.Fatal(err)
		}
		w.want(trackFile, 0, 5*testBlock)
		if n := w.store.versions() - told; n != 1 {
			t.Errorf("the version was asked for %d times", n)
		}
	})
}

func TestVersionIsConfirmedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.put(trackFile, 1, testBlock)
		w.want(trackFile, 0, 10)
		time.Sleep(10*time.Minute - 1)
		w.want(trackFile, 0, 10)
		if w.store.versions() != 0 {
			t.Error("asked")
		}
		time.Sleep(time.Nanosecond)
		w.want(trackFile, 0, 10)
		w.want(trackFile, 0, 10)
		if w.store.versions() != 1 {
			t.Error("not asked once")
		}
		time.Sleep(10 * time.Minute)
		w.store.set(func(s *store) {
			s.open = func(context.Context, string, int64) error { return media.ErrUnavailable }
		})
		w.want(trackFile, 0, 10) // a store that is away takes nothing from memory
		w.want(trackFile, 0, 10)
		if n := w.store.versions(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestDroppedRecording(t *testing.T) {
	w := newWorld(t, Config{})
	w.put(trackFile, 1, 3*testBlock)
	w.put(otherFile, 2, 3*testBlock)
	w.want(trackFile, 0, 3*testBlock)
	w.want(otherFile, 0, 3*testBlock)
	in, err := w.files.OpenRange(t.Context(), trackFile, 0, 3*testBlock)
	if err != nil {
		t.Fatal(err)
	}
	p, again, err := in.(*Reader).NextPiece(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Drop(media.StreamPath{Publisher: "acme", Stream: "show"}, "01kabcdefghjkmnpqrstvwxyz0")
	if _, err := io.ReadAll(in); !errors.Is(err, media.ErrUnavailable) {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if string(p.Data) != string(w.have[trackFile][:testBlock]) {
		t.Error("a piece changed")
	}
	if same, ok := again.Piece(); !ok || &same.Data[0] != &p.Data[0] {
		t.Error("a piece that is held is not found again")
	}
	if n, _ := w.Usage(); n != 3*testBlock {
		t.Errorf("%d bytes are left", n)
	}
	before := len(w.store.requests())
	w.want(otherFile, 0, 3*testBlock)
	if n := len(w.store.requests()); n != before {
		t.Error("another recording was dropped")
	}
	w.want(trackFile, 0, 10)
}

// Readers of many objects, at a bound that holds a few of their blocks.
func TestEvictionUnderPressureWhileBeingRead(t *testing.T) {
	w := newWorld(t, Config{MaxBytes: 24 * testBlock, BlockBytes: testBlock})
	w.store.set(func(s *store) { s.most = 1500 })
	names := make([]string, 6)
	for i := range names {
		names[i] = fmt.Sprintf("acme/show/01kabcdefghjkmnpqrstvwxyz%d/1-video.mp4", i)
		w.put(names[i], uint64(i), 15*testBlock+i)
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range 25 {
				name := names[random.IntN(len(names))]
				from := random.IntN(15 * testBlock)
				w.want(name, int64(from), 1+random.Int64N(int64(15*testBlock-from)))
			}
		})
	}
	all.Wait()
	w.want(names[0], 0, testBlock)
	if n, _ := w.Usage(); n > 24*testBlock {
		t.Errorf("%d bytes are kept", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.ahead < 0 || w.mu.ahead > 24*testBlock/aheadShare {
		t.Errorf("%d bytes ahead", w.mu.ahead)
	}
	for _, o := range w.mu.objects {
		if o.readers != 0 {
			t.Errorf("%d readers of %s", o.readers, o.key.name)
		}
	}
}

// pieces takes what a Reader gives by reference.
type pieces struct {
	got   []slab.Piece
	again []slab.Weak
}

func (p *pieces) Write([]byte) (int, error) { return 0, errors.New("copied") }

func (p *pieces) WritePiece(piece slab.Piece, again slab.Weak) error {
	p.got, p.again = append(p.got, piece), append(p.again, again)
	return nil
}

func TestPiecesAreTheBlocksOwn(t *testing.T) {
	w := newWorld(t, Config{})
	data := w.put(trackFile, 1, 3*testBlock)
	w.want(trackFile, 0, 3*testBlock)
	var first, second pieces
	for _, p := range []*pieces{&first, &second} {
		in, err := w.files.OpenRange(t.Context(), trackFile, 100, 2*testBlock)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(p, in)
		if err != nil || n != 2*testBlock {
			t.Fatal(n, err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if string(slab.Concat(first.got)) != string(data[100:100+2*testBlock]) {
		t.Error("wrong bytes")
	}
	for i := range first.got {
		if &first.got[i].Data[0] != &second.got[i].Data[0] {
			t.Error("two copies")
		}
		if p, ok := first.again[i].Piece(); !ok || &p.Data[0] != &first.got[i].Data[0] || len(p.Data) != len(first.got[i].Data) {
			t.Error("not found again")
		}
	}
}
