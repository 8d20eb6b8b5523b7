package packager

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func fillMemory(m *memory, segments int, lost, unplaced func(int) bool) {
	for i := 1; i <= segments; i++ {
		m.open(0, 1, media.MSN(i))
		m.add(0, make([]byte, 1000), unplaced(i))
		m.finish(0, 2*time.Second, lost(i), time.Minute)
	}
}

func never(int) bool { return false }

func TestMemoryKeepsRecentParts(t *testing.T) {
	m := newMemory([]string{"video"}, 2*time.Second, 8*time.Second, 1<<20)
	fillMemory(m, 20, never, never)
	for i := 1; i <= 20; i++ {
		if _, ok := m.part(1, "video", media.MSN(i), 0); ok != (i > 19) {
			t.Errorf("segment %d is kept: %v", i, ok)
		}
	}
	for _, miss := range []struct {
		take  int
		track string
		msn   media.MSN
		index int
	}{{2, "video", 20, 0}, {1, "audio", 20, 0}, {1, "video", 21, 0}, {1, "video", 20, 1}, {1, "video", 20, -1}, {1, "video", -1, 0}} {
		if _, ok := m.part(miss.take, miss.track, miss.msn, miss.index); ok {
			t.Errorf("found %+v", miss)
		}
	}
}

func TestMemoryKeepsWhatStorageLacks(t *testing.T) {
	m := newMemory([]string{"video"}, 2*time.Second, 8*time.Second, 1<<20)
	fillMemory(m, 20, func(i int) bool { return i == 5 }, never)
	for i := 1; i <= 20; i++ {
		if _, ok := m.part(1, "video", media.MSN(i), 0); ok != (i > 19 || i == 5) {
			t.Errorf("segment %d is kept: %v", i, ok)
		}
	}
}

// A part that was listed before storage had it is nowhere else, though its segment is.
func TestMemoryKeepsPartsWithoutAPlace(t *testing.T) {
	m := newMemory([]string{"video"}, 2*time.Second, 8*time.Second, 1<<20)
	fillMemory(m, 20, never, func(i int) bool { return i%2 == 0 })
	for i := 1; i <= 20; i++ {
		if _, ok := m.part(1, "video", media.MSN(i), 0); ok != (i > 19 || i > 16 && i%2 == 0) {
			t.Errorf("segment %d is kept: %v", i, ok)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory([]string{"video"}, time.Hour, time.Hour, 10_500)
	fillMemory(m, 100, func(int) bool { return true }, never)
	if m.bytes > 10_500 || m.bytes < 9_000 {
		t.Errorf("%d bytes are kept", m.bytes)
	}
	if _, ok := m.part(1, "video", 100, 0); !ok {
		t.Error("the newest is not kept")
	}
}
