package packager

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func fillMemory(m *memory, segments int, lost func(int) bool) {
	for i := 1; i <= segments; i++ {
		m.open(0, 1, media.MSN(i))
		m.add(0, make([]byte, 1000))
		m.finish(0, 2*time.Second, lost(i), time.Minute)
	}
}

func TestMemoryKeepsRecentParts(t *testing.T) {
	m := newMemory([]string{"video"}, 8*time.Second, 1<<20)
	fillMemory(m, 20, func(int) bool { return false })
	for i := 1; i <= 20; i++ {
		if _, ok := m.part(1, "video", media.MSN(i), 0); ok != (i > 16) {
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
	m := newMemory([]string{"video"}, 8*time.Second, 1<<20)
	fillMemory(m, 20, func(i int) bool { return i == 5 })
	for i := 1; i <= 20; i++ {
		if _, ok := m.part(1, "video", media.MSN(i), 0); ok != (i > 16 || i == 5) {
			t.Errorf("segment %d is kept: %v", i, ok)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory([]string{"video"}, time.Hour, 10_500)
	fillMemory(m, 100, func(int) bool { return true })
	if m.bytes > 10_500 || m.bytes < 9_000 {
		t.Errorf("%d bytes are kept", m.bytes)
	}
	if _, ok := m.part(1, "video", 100, 0); !ok {
		t.Error("the newest is not kept")
	}
}
