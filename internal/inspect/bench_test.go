package inspect

import (
	"bytes"
	"io"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// An hour of parts of half a second.
func BenchmarkParts(b *testing.B) {
	var data []byte
	for i := range 7200 {
		data = append(data, testPart(media.MSN(i/4+1), i%4, int64(i)*45000, 45000, i%4 == 0)...)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s := memoryStream(data)
		s.cur = io.NopCloser(bytes.NewReader(data))
		var p part
		for s.left() > 0 {
			if err := s.next(&p); err != nil {
				b.Fatal(err)
			}
		}
	}
}
