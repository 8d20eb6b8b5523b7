package hls

import (
	"bytes"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// recorder makes the simulation of a show that has so many segments of 2 s.
func recorder(segments int) *sim {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	for i := range s.snap.Renditions {
		r, st := &s.snap.Renditions[i], &s.timeline[i]
		for j := range max(segments, 0) {
			seg := media.Segment{
				MSN: media.MSN(j + 1), Take: 1, DTS: st.dts, Duration: 4 * st.partTicks, Offset: st.offset, Size: 4 * st.perPart,
				Date: s.date(i), Sync: true,
			}
			if i == 0 {
				seg.IFrames = []media.IFrame{{Size: 90_000}}
			}
			r.Segments = append(r.Segments, seg)
			st.dts += seg.Duration
			st.offset += seg.Size
		}
		r.Parts = make([][]media.Part, min(8, len(r.Segments)))
	}
	s.snap.Window = 2 * time.Minute
	return s
}

// recorded makes a finished or growing show of so many segments.
func recorded(segments int, state media.State) *Snapshot {
	s := recorder(segments)
	s.run(8, false)
	s.part()
	s.snap.State = state
	if !state.Growing() {
		s.closeSegment()
	}
	return s.publish()
}

// lengths are those of a recording of a minute and of one of a day.
var lengths = []struct {
	name     string
	segments int
}{{"1min", 30}, {"24h", 43_200}}

// BenchmarkUpdate is what a new version costs that somebody asks for, after the one before it was asked for: text,
// ETag and compressed form. That of a day has to cost no more than that of a minute.
func BenchmarkUpdate(b *testing.B) {
	for _, laden := range []bool{false, true} {
		for _, kind := range []Kind{Whole, Sliding} {
			for _, skip := range []Skip{SkipNone, SkipYes, SkipV2} {
				name := kindName(kind) + "/" + [...]string{"full", "delta", "v2"}[skip]
				if laden {
					name += "/metadata"
				}
				b.Run(name, func(b *testing.B) { benchmarkUpdate(b, Playlist{Kind: kind}, skip, laden) })
			}
		}
	}
}

func benchmarkUpdate(b *testing.B, p Playlist, skip Skip, laden bool) {
	var took [2]time.Duration
	for i, l := range lengths {
		b.Run(l.name, func(b *testing.B) {
			versions := updates(l.segments, laden)
			c := NewCache(&Compressor{})
			size, packed, n := 0, 0, 0
			use := func(s *Snapshot) {
				body := Render(s, p, skip, c)
				size, packed = length(body.Plain()), length(body.Gzip())
			}
			use(versions[0])
			versions = versions[len(versions)/2:] // what the cache saw first is behind the skip boundary
			use(versions[0])
			b.ReportAllocs()
			for b.Loop() {
				n++
				use(versions[n%len(versions)])
			}
			took[i] = b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(size), "plain-bytes")
			b.ReportMetric(float64(packed), "gzip-bytes")
			if i == 1 && took[0] > 0 {
				b.ReportMetric(float64(took[1])/float64(took[0]), "x-of-1min")
			}
		})
	}
}

// updates makes the versions of the last 128 s of a growing recording with a window of a day, a range every 10 s in
// it if so wanted.
func updates(segments int, laden bool) []*Snapshot {
	s := recorder(segments - 16)
	s.snap.Window = 24 * time.Hour
	tell := func() {
		if !laden {
			return
		}
		now := s.date(0)
		for n := len(s.snap.Metadata); s.anchor.Add(time.Duration(n) * 10 * time.Second).Before(now); n++ {
			s.tell(s.anchor.Add(time.Duration(n) * 10 * time.Second))
		}
	}
	tell()
	s.versions = nil
	for range 64 {
		s.run(1, false)
		tell()
	}
	return s.versions
}

func length(chunks [][]byte) int {
	n := 0
	for _, c := range chunks {
		n += len(c)
	}
	return n
}

func benchmarkMedia(b *testing.B, s *Snapshot, kind Kind, skip Skip, cache *Cache) {
	dst := AppendMedia(nil, s, Playlist{Kind: kind}, skip, cache)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		Render(s, Playlist{Kind: kind}, skip, cache)
	}
}

func BenchmarkLiveRender(b *testing.B) {
	benchmarkMedia(b, recorded(300, media.Live), Sliding, SkipNone, NewCache(&Compressor{}))
}

func BenchmarkLiveDelta(b *testing.B) {
	benchmarkMedia(b, recorded(300, media.Live), Sliding, SkipYes, NewCache(&Compressor{}))
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
