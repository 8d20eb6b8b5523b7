package slab

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits for what collections and cleanups bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		runtime.GC()
	}
}

// mapped makes an arena with a memory file, or skips.
func mapped(t testing.TB, a *Arena) *Arena {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("memory files are Linux's")
	}
	if a.Get(1 << 20); a.Stats().Used == 0 {
		t.Fatal("no memory file")
	}
	return a
}

func TestBuffersAreAsLargeAsAskedAndApart(t *testing.T) {
	a := mapped(t, New())
	var all []*Buffer
	for i, size := range []int{0, 1, 4095, least - 1, least, least + 1, 60_000, 100_000, 1 << 20, 1<<20 + 1, 5 << 20} {
		b := a.Get(size)
		if n := len(b.Bytes()); n < size || size >= least && n > size+size/8+pageBytes {
			t.Errorf("%d bytes for %d", n, size)
		}
		if b.Mapped() != (size >= least) {
			t.Errorf("%d bytes: mapped is %t", size, b.Mapped())
		}
		for j := range b.Bytes() {
			b.Bytes()[j] = byte(i)
		}
		all = append(all, b)
	}
	for i, b := range all {
		if n := bytes.Count(b.Bytes(), []byte{byte(i)}); n != len(b.Bytes()) {
			t.Errorf("buffer %d was written by another", i)
		}
	}
	runtime.KeepAlive(all)
}

func TestWhatIsHeldStaysAndWhatIsNotIsFree(t *testing.T) {
	a := mapped(t, New())
	piece := part(a.Get(100_000))
	copy(piece.Data, "0123456789")
	let := make([]*Buffer, 100)
	for i := range let {
		let[i] = a.Get(100_000)
	}
	if used := a.Stats().Used; used < 101*100_000 {
		t.Fatalf("%d bytes in use", used)
	}
	clear(let)
	eventually(t, "all but one are free", func() bool { return a.Stats().Buffers == 1 })
	if s := a.Stats(); s.Used > 120_000 || s.Idle > slack {
		t.Errorf("%+v", s)
	}
	for range 100 {
		b := a.Get(100_000)
		clear(b.Bytes())
	}
	if string(piece.Data) != "0123456789" {
		t.Errorf("the piece shows %q", piece.Data)
	}
	runtime.KeepAlive(piece)
}

// part gives ten bytes of a buffer.
func part(b *Buffer) Piece { return Piece{Buffer: b, Data: b.Bytes()[10:20]} }

func TestAFreedRunThatWasNotSentIsUsedAgain(t *testing.T) {
	a := mapped(t, New())
	a.Get(100_000)
	eventually(t, "it is idle", func() bool { return a.Stats().Idle > 0 && a.Stats().Used == 0 })
	idle := a.Stats().Idle
	b := a.Get(100_000)
	if s := a.Stats(); s.Idle >= idle {
		t.Errorf("%+v: the idle run was left", s)
	}
	runtime.KeepAlive(b)
}

func TestWithoutMemoryThereIsTheHeap(t *testing.T) {
	a := mapped(t, New())
	m := a.memory.Load()
	m.mu.Lock()
	m.mu.places = newExtents(64)
	clear(m.mu.idle)
	m.mu.idleBytes = 0
	m.mu.Unlock()
	b := a.Get(1 << 20)
	if b.Mapped() || len(b.Bytes()) < 1<<20 || a.Stats().Fallbacks != 1 {
		t.Errorf("mapped %t, %d bytes, %+v", b.Mapped(), len(b.Bytes()), a.Stats())
	}
	if _, _, ok := b.File(); ok {
		t.Error("ordinary memory has a file")
	}
	full := New()
	full.open.Do(func() {
		m := newMemory(false)
		m.file = &file{fd: -1, mapping: m.file.mapping} // which gives no pages
		full.memory.Store(m)
	})
	if b := full.Get(1 << 20); b.Mapped() || full.Stats().Fallbacks != 1 || full.Stats().Used != 0 {
		t.Errorf("mapped %t, %+v", b.Mapped(), full.Stats())
	}
	none := New()
	none.open.Do(func() {})
	if b := none.Get(1 << 20); b.Mapped() || none.Stats() != (Stats{Fallbacks: 1}) {
		t.Errorf("mapped %t, %+v", b.Mapped(), none.Stats())
	}
}

func TestAStrictArenaShowsWhoReadsWithoutHolding(t *testing.T) {
	a := mapped(t, NewStrict())
	stray := a.Get(100).Bytes()
	copy(stray, "mine")
	eventually(t, "what nobody holds is overwritten", func() bool { return stray[0] == 0xdb && stray[99] == 0xdb })
	runtime.KeepAlive(a)
}

func TestConcatCopiesWhatItsPiecesWouldTakeAway(t *testing.T) {
	a := mapped(t, NewStrict())
	b := a.Get(4)
	copy(b.Bytes(), "text")
	text := Concat([]Piece{{Buffer: b, Data: b.Bytes()[:4]}})
	copy(b.Bytes(), "gone")
	if string(text) != "text" {
		t.Errorf("%q", text)
	}
	if plain := []byte("x"); &Concat([]Piece{Of(plain)})[0] != &plain[0] {
		t.Error("ordinary memory was copied")
	}
	if all := Concat([]Piece{Of([]byte("a")), {Buffer: b, Data: b.Bytes()[:4]}, {}}); string(all) != "agone" {
		t.Errorf("%q", all)
	}
}

// collecting says whether a collection is under way or due.
func collecting(a *Arena) bool {
	m := a.memory.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.rest = 0
	return m.mu.collecting
}

// Under churn, memory must stay near what is alive though the heap, which is small, would be collected rarely.
func TestChurnStaysNearWhatIsAlive(t *testing.T) {
	a := mapped(t, New())
	const alive = 64 << 20
	var live []Piece
	var bytes, worst int64
	for i := range 8000 { // some 800 MB
		b := a.Get(40_000 + i*7919%120_000)
		b.Bytes()[0] = 1
		if i%16 == 0 {
			b.File()
		}
		live = append(live, Piece{Buffer: b, Data: b.Bytes()})
		for bytes += int64(len(b.Bytes())); bytes > alive; live = live[1:] {
			bytes -= int64(len(live[0].Data))
			live[0] = Piece{}
		}
		// As fast as this goes, gigabytes a second, the collector's share of the time would be the limit.
		for collecting(a) {
			runtime.Gosched()
		}
		if s := a.Stats(); bytes > alive*9/10 {
			worst = max(worst, (s.Used+s.Idle)*100/bytes)
		}
	}
	s := a.Stats()
	t.Logf("worst %d %% of what is alive, %+v", worst, s)
	if worst > 135 || s.Collections == 0 || s.Fallbacks != 0 {
		t.Errorf("resident memory was %d %% of what is alive: %+v", worst, s)
	}
	runtime.KeepAlive(live)
}

func TestNoRestLetsMemoryGrowWithoutBound(t *testing.T) {
	a := mapped(t, New())
	m := a.memory.Load()
	m.mu.Lock()
	m.mu.rest, m.mu.ended = time.Hour, time.Now() // as if the last collection had taken a quarter of that
	m.mu.Unlock()
	for range 4 * urgent >> 20 {
		a.Get(1 << 20)
	}
	for deadline := time.Now().Add(10 * time.Second); a.Stats().Used > triggerOf(0)+urgent; {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was collected of %d bytes", a.Stats().Used)
		}
		a.Get(least) // what was given out during a collection is found by the next, which somebody must want
		runtime.Gosched()
	}
}
