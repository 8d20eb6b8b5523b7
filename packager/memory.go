package packager

import (
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// memory keeps the bytes of a show's newest parts, which live viewers ask for as soon as they are there, and which are
// all there is while the recording volume fails or stalls. Older ones are read from the recording. It has a lock of its
// own, a leaf: readers never meet the packager's.
//
// Each part is one allocation of its exact size, beside the buffers that frames are muxed in: bytes that were handed
// out are never written again, however long a reader holds them.
type memory struct {
	keep  time.Duration // how far back parts are kept that storage has too
	limit int64         // bytes

	mu     sync.RWMutex
	bytes  int64
	tracks []memoryTrack
}

type memoryTrack struct {
	name     string
	inits    map[int][]byte  // by take
	segments []memorySegment // consecutive MSNs
}

type memorySegment struct {
	msn      media.MSN
	take     int
	parts    [][]byte
	bytes    int64
	duration time.Duration
	lost     bool // storage does not have it
}

// newMemory makes the memory of a show. keep must reach as far back as playlists list parts: those that were listed
// before storage had them are nowhere else.
func newMemory(names []string, keep time.Duration, limit int64) *memory {
	m := &memory{keep: keep, limit: limit}
	for _, name := range names {
		m.tracks = append(m.tracks, memoryTrack{name: name, inits: make(map[int][]byte)})
	}
	return m
}

// init keeps a take's init section of a track.
func (m *memory) init(track int, take int, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tracks[track].inits[take] = data
}

// open begins a segment. One that was begun under the same number, and got nothing because its take ended, is replaced.
func (m *memory) open(track int, take int, msn media.MSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.tracks[track]
	if n := len(t.segments); n > 0 && t.segments[n-1].msn >= msn {
		m.forget(&t.segments[n-1])
		t.segments = t.segments[:n-1]
	}
	t.segments = append(t.segments, memorySegment{msn: msn, take: take})
}

// add keeps a part of the open segment. data is kept, not copied.
func (m *memory) add(track int, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.tracks[track]
	s := &t.segments[len(t.segments)-1]
	s.parts = append(s.parts, data)
	s.bytes += int64(len(data))
	m.bytes += int64(len(data))
}

// finish ends the open segment and lets go of what is old. horizon is how far back segments that storage lacks are
// kept; they are the only copy.
func (m *memory) finish(track int, duration time.Duration, lost bool, horizon time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.tracks[track]
	last := &t.segments[len(t.segments)-1]
	last.duration, last.lost = duration, lost

	var age time.Duration
	for i := len(t.segments) - 1; i >= 0; i-- {
		s := &t.segments[i]
		if age >= m.keep && (!s.lost || age >= horizon) {
			m.forget(s)
		}
		age += s.duration
	}
	drop := 0
	for drop < len(t.segments)-1 && (t.segments[drop].parts == nil || m.bytes > m.limit) {
		m.forget(&t.segments[drop])
		drop++
	}
	t.segments = t.segments[drop:]
}

// found says that storage has a segment after all.
func (m *memory) found(track int, msn media.MSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.tracks[track]
	if len(t.segments) == 0 {
		return
	}
	if at := int(msn - t.segments[0].msn); at >= 0 && at < len(t.segments) {
		t.segments[at].lost = false
	}
}

func (m *memory) forget(s *memorySegment) {
	m.bytes -= s.bytes
	s.parts, s.bytes = nil, 0
}

// part gives a part's bytes; MSN zero is the take's init section.
func (m *memory) part(take int, name string, msn media.MSN, index int) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range m.tracks {
		t := &m.tracks[i]
		if t.name != name {
			continue
		}
		if msn == 0 {
			data, ok := t.inits[take]
			return data, ok && index == 0
		}
		if len(t.segments) == 0 {
			return nil, false
		}
		at := int(msn - t.segments[0].msn)
		if at < 0 || at >= len(t.segments) {
			return nil, false
		}
		s := &t.segments[at]
		if s.take != take || index < 0 || index >= len(s.parts) {
			return nil, false
		}
		return s.parts[index], true
	}
	return nil, false
}
