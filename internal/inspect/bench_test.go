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

// A day in two takes and two tracks of 43,200 segments, with small pictures.
func BenchmarkDay(b *testing.B) {
	r := mustRecordLong(b, true, 21_600)
	for _, fast := range []bool{true, false} {
		b.Run(map[bool]string{true: "fast", false: "whole"}[fast], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				report := r.inspect(fast)
				if report.Errors > 0 {
					b.Fatalf("%+v", report.Findings)
				}
				b.SetBytes(report.Bytes)
			}
		})
	}
}
