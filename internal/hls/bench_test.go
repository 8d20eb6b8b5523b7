package hls

import (
	"bytes"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// recorded makes a finished or growing show of so many segments of 2 s.
func recorded(segments int, state media.State) *Snapshot {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	for i := range s.snap.Renditions {
		r := &s.snap.Renditions[i]
		for j := range segments {
			r.Segments = append(r.Segments, media.Segment{
				MSN: media.MSN(j + 1), Take: 1, DTS: int64(j) * 180000, Duration: 180000, Offset: int64(j) * 1e6, Size: 1e6,
				Date: s.anchor.Add(time.Duration(j) * 2 * time.Second), Sync: true,
			})
		}
		r.Parts = make([][]media.Part, 8)
	}
	s.snap.Window = 2 * time.Minute
	s.run(8, false)
	s.part()
	s.snap.State = state
	if !state.Growing() {
		s.closeSegment()
	}
	return s.publish()
}

func benchmarkMedia(b *testing.B, s *Snapshot, kind Kind, skip Skip, cache *Cache) {
	dst := AppendMedia(nil, s, Playlist{Kind: kind}, skip, cache)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendMedia(dst[:0], s, Playlist{Kind: kind}, skip, cache)
	}
}

func BenchmarkLiveRender(b *testing.B) {
	benchmarkMedia(b, recorded(300, media.Live), Sliding, SkipNone, NewCache(&Compressor{}))
}

func BenchmarkLiveDelta(b *testing.B) {
	benchmarkMedia(b, recorded(300, media.Live), Sliding, SkipYes, NewCache(&Compressor{}))
}

// A growing recording of 24 hours: what every part costs that somebody asks the full playlist for, and the delta.
func BenchmarkEvent24h(b *testing.B) {
	benchmarkMedia(b, recorded(43_200, media.Live), Whole, SkipNone, NewCache(&Compressor{}))
}

func BenchmarkEvent24hDelta(b *testing.B) {
	benchmarkMedia(b, recorded(43_200, media.Live), Whole, SkipYes, NewCache(&Compressor{}))
}

func BenchmarkVOD6h(b *testing.B) {
	benchmarkMedia(b, recorded(10_800, media.Archived), Whole, SkipNone, nil)
}

func BenchmarkEnded6h(b *testing.B) {
	benchmarkMedia(b, recorded(10_800, media.Ended), Whole, SkipNone, nil)
}

func BenchmarkLinesAppend(b *testing.B) {
	s := recorded(10_800, media.Live)
	b.ReportAllocs()
	for b.Loop() {
		newLines("video", Whole, Media).view(s, &s.Renditions[0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_800, "ns/segment")
}

func BenchmarkBodyLive(b *testing.B) {
	text := AppendMedia(nil, recorded(300, media.Live), Playlist{Kind: Sliding}, SkipNone, nil)
	benchmarkGzip(b, text)
}

func BenchmarkBodyVOD6h(b *testing.B) {
	benchmarkGzip(b, AppendMedia(nil, recorded(10_800, media.Archived), Playlist{Kind: Whole}, SkipNone, nil))
}

func benchmarkGzip(b *testing.B, text []byte) {
	var c Compressor
	packed := 0
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		packed = len(bytes.Join(NewBody(text, &c).Gzip(), nil))
	}
	b.ReportMetric(float64(len(text))/float64(packed), "ratio")
}

func BenchmarkDecide(b *testing.B) {
	s := recorded(300, media.Live)
	b.ReportAllocs()
	for b.Loop() {
		d, err := ParseDirectives("_HLS_msn=309&_HLS_part=2&_HLS_skip=YES")
		if err != nil || Decide(s, Playlist{}, d, nil) != Wait {
			b.Fatal(err)
		}
	}
}
