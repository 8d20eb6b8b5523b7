package origin

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
	n      int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); return len(p), nil }

func benchmarkPath(b *testing.B, path string, gzip bool) {
	s := newStudio(b)
	s.startTake()
	s.segments(40)
	s.part()
	s.publish()
	h, _ := s.handler(Config{})
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
	if gzip {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	w := &sink{header: http.Header{}}
	h.ServeHTTP(w, r)
	b.SetBytes(int64(w.n))
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		w.status = 0
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

func BenchmarkPlaylistHit(b *testing.B) { benchmarkPath(b, sliding, false) }

func BenchmarkPlaylistHitGzip(b *testing.B) { benchmarkPath(b, sliding, true) }

func BenchmarkPlaylistHitBlockingDelta(b *testing.B) {
	benchmarkPath(b, sliding+"?_HLS_msn=41&_HLS_part=0&_HLS_skip=YES", true)
}

func BenchmarkMultivariantHit(b *testing.B) { benchmarkPath(b, "/acme/show/index.m3u8", true) }

func BenchmarkSegmentFromMemory(b *testing.B) { benchmarkPath(b, testBase+"/1/video/40.m4s", false) }

func BenchmarkPartFromMemory(b *testing.B) { benchmarkPath(b, testBase+"/1/video/41.0.m4s", false) }

func BenchmarkInit(b *testing.B) { benchmarkPath(b, testBase+"/1/video/init.mp4", false) }
