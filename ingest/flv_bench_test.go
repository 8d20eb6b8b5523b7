package ingest

import "testing"

// BenchmarkFLV is the way of a message's body to the publication, for what real encoders send all the time.
func BenchmarkFLV(b *testing.B) {
	for number, prefix := range []string{"", "second track, "} {
		for _, track := range MustEncodeAll(b) {
			b.Run(prefix+track.fourCC, func(b *testing.B) {
				d, l := newTestDemuxer(b, discard{})
				l.published = true // nothing is held
				read := d.audio
				if track.isVideo() {
					read = d.video
				}
				if track.start != nil {
					if err := read(0, track.exBody(number, packetStart, true, track.start), testWall); err != nil {
						b.Fatal(err)
					}
				}
				if err := read(0, track.frame(number, track.samples[0]), testWall); err != nil {
					b.Fatal(err)
				}
				body := track.frame(number, track.samples[len(track.samples)-1])
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := read(40, body, testWall); err != nil {
						b.Fatal(err)
					}
				}
				if l.frames < int64(b.N) {
					b.Fatalf("%d frames of %d", l.frames, b.N)
				}
			})
		}
	}
}
